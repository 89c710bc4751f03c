//! Completion for fish: one line per option. The cases are in trial.rs.

use std::fmt::Write;

use argh::CommandInfoWithArgs;

use super::command::{Value, flags, places, tree, value};

pub fn write(name: &str, program: &CommandInfoWithArgs) -> String {
    let mut script = format!(
        "# Completion of {name} for fish. Made from its options by make manual.\n\ncomplete -c {name} -f\n"
    );
    for (words, command) in tree(program) {
        let begin = format!("complete -c {name}{}", condition(&words, command));
        for below in &command.commands {
            let said = quoted(below.command.description.trim_end_matches('.'));
            let _ = writeln!(script, "{begin} -a {} -d {said}", below.name);
        }
        for place in places(command) {
            if let Some(offer) = offer(value(place.name)) {
                let _ = writeln!(script, "{begin}{offer}");
            }
        }
        for flag in flags(command) {
            script.push_str(&begin);
            for name in &flag.names {
                let _ = match name.strip_prefix("--") {
                    Some(long) => write!(script, " -l {long}"),
                    None => write!(script, " -s {}", name.trim_start_matches('-')),
                };
            }
            if let Some(value) = flag.value() {
                let _ = write!(script, "{}", if matches!(value, Value::File) { " -r" } else { " -x" });
                script.push_str(&offer(value).unwrap_or_default());
            }
            let _ = writeln!(script, " -d {}", quoted(&flag.text));
        }
    }
    script
}

/// Returns the condition for the options of a command: after its words, and before those of its subcommands.
fn condition(words: &[&str], command: &CommandInfoWithArgs) -> String {
    let seen = "__fish_seen_subcommand_from";
    let mut tests: Vec<String> = words.iter().map(|word| format!("{seen} {word}")).collect();
    if !command.commands.is_empty() {
        let below: Vec<&str> = command.commands.iter().map(|below| below.name).collect();
        tests.push(format!("not {seen} {}", below.join(" ")));
    }
    if tests.is_empty() { String::new() } else { format!(" -n '{}'", tests.join("; and ")) }
}

fn offer(value: Value) -> Option<String> {
    match value {
        // fish takes the text before `=` for a part of the name.
        Value::Folder => Some(
            " -a '(__fish_complete_directories (commandline -ct | string replace -r -- \"^--[^=]*=\" \"\"))'"
                .to_owned(),
        ),
        Value::File => Some(" -F".to_owned()),
        Value::OneOf(words) => Some(format!(" -a '{}'", words.join(" "))),
        Value::Free => None,
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
