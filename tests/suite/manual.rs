//! Generates the man pages and shell completions from the options, and checks that the committed files are up
//! to date; `make manual` rewrites them. To add a program, add it to `programs`.

mod bash;
mod command;
mod fish;
mod page;
mod table;
mod trial;
mod zsh;

use std::fs;
use std::path::Path;

use argh::{ArgsInfo, CommandInfoWithArgs, SubCommandInfo};
use evserve::config::{ClientOptions, Config, ORDERS, Options, TopOptions};

use crate::process::run;

/// Returns the programs with their options. The other text of the man pages is in `man/NAME.in`.
fn programs() -> Vec<(&'static str, CommandInfoWithArgs)> {
    vec![("evserve", evserve()), ("evclient", ClientOptions::get_args_info())]
}

/// Returns the options of evserve, with `evserve top` as its command. main.rs distinguishes the two, not argh.
fn evserve() -> CommandInfoWithArgs {
    let top = SubCommandInfo { name: "top", command: TopOptions::get_args_info() };
    CommandInfoWithArgs { commands: vec![top], ..Options::get_args_info() }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Generates the files of one program: paths and contents.
fn generated_files(name: &str, command: &CommandInfoWithArgs) -> Vec<(String, String)> {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let prose = read(&format!("man/{name}.in"));
    let mut files = vec![
        (format!("man/{name}.1"), page::write(name, command, &prose)),
        (format!("completions/{name}.bash"), bash::write(name, command)),
        (format!("completions/_{name}"), zsh::write(name, command)),
        (format!("completions/{name}.fish"), fish::write(name, command)),
    ];
    if name == "evserve" {
        files.push(("docs/options.md".into(), table::write(&read("docs/options.md"), command)));
    }
    files
}

#[test]
fn manual_is_in_step_with_the_options() {
    for (name, command) in programs() {
        for (path, made) in generated_files(name, &command) {
            assert!(!made.contains("{{"), "{path} has braces as a format string has them");
            let file = root().join(&path);
            if std::env::var_os("EVSERVE_WRITE").is_some() {
                fs::write(&file, made).unwrap();
            } else {
                let committed = fs::read_to_string(&file).unwrap_or_default();
                assert!(committed == made, "{path} is out of step with the options: make manual");
            }
        }
    }
}

#[test]
fn manual_prose_names_only_existing_options() {
    for (name, command) in programs() {
        let prose = fs::read_to_string(root().join(format!("man/{name}.in"))).unwrap().replace("\\-", "-");
        let commands = command::tree(&command).into_iter();
        let flags = commands.flat_map(|(_, command)| command::flags(command));
        let known: Vec<String> = flags.flat_map(|flag| flag.names).collect();
        // Other lines may show options of curl and other programs.
        let ours =
            prose.lines().filter(|line| [name, ".B ", ".BR "].iter().any(|begin| line.starts_with(begin)));
        for word in ours.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')) {
            assert!(!word.starts_with("--") || known.iter().any(|one| one == word), "man/{name}.in: {word}");
        }
    }
}

#[test]
fn manual_completions_offer_only_valid_and_documented_values() {
    let mut offered = 0;
    for flag in command::flags(&Options::get_args_info()) {
        let Some(command::Value::OneOf(words)) = flag.value() else { continue };
        for word in words {
            let line = [flag.long, word].map(Into::into);
            assert!(Config::new(&Options::parse(line).unwrap()).is_ok(), "{} {word}", flag.long);
            assert!(flag.text.contains(word), "{} does not name {word}", flag.long);
            offered += 1;
        }
    }
    assert!(offered > 10);
    let sort = command::flags(&TopOptions::get_args_info()).into_iter().find(|flag| flag.long == "--sort");
    let Some(command::Value::OneOf(words)) = sort.unwrap().value() else { panic!("no values for --sort") };
    assert_eq!(words, ORDERS);
}

/// argh does not report `-h`, so command.rs adds it to the manual.
#[test]
fn manual_option_h_is_the_same_as_help() {
    assert_eq!(run(&["-h"]), run(&["--help"]));
}
