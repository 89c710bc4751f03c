//! The man page: the options, and the prose before and after them. The cases are in trial.rs.
//!
//! The crate `roff` cannot be used: it omits the empty date, so that the version moves to the date's place.

use std::fmt::Write;

use argh::CommandInfoWithArgs;
use evserve::config::help::{GROUPS, split_default};

use super::command::{Flag, RUN_ALONE, flags, places, tree};

/// Writes a man page. `prose` is roff: the rest of the description, then the sections after the options.
pub fn write(name: &str, program: &CommandInfoWithArgs, prose: &str) -> String {
    let (first, _) = program.description.split_once(". ").unwrap_or((program.description, ""));
    let first = first.trim_end_matches('.');
    let sections = prose.find("\n.SH ").map_or(prose.len(), |at| at + 1);
    let mut page = format!(
        ".\\\" Made from the options and man/{name}.in by make manual.\n\
         .TH {} 1 \"\" \"{name} {}\" \"User Commands\"\n\
         .SH NAME\n{name} \\- {}\n.SH SYNOPSIS\n{}.SH DESCRIPTION\n{}.\n{}.SH OPTIONS\n",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        text(&uncapitalised(first)),
        synopsis(name, program),
        text(first),
        &prose[..sections],
    );
    list(&mut page, program, true);
    if !program.commands.is_empty() {
        page.push_str(".SH COMMANDS\n");
        for (words, command) in tree(program).into_iter().skip(1) {
            let _ = write!(page, ".SS {}", line(Some(name), &words, command));
            let _ = writeln!(page, "{}", text(&sentences(command.description)));
            list(&mut page, command, false);
        }
    }
    page.push_str(&prose[sections..]);
    page
}

fn synopsis(name: &str, program: &CommandInfoWithArgs) -> String {
    let lines = tree(program).into_iter().filter(|(_, command)| command.commands.is_empty());
    // The command does not take the options of the program.
    if RUN_ALONE.contains(&name) {
        let lines = lines.map(|(words, command)| line(Some(name), &words, command));
        let own = format!("{}{OPTIONS}\n", bold(&[name]));
        return std::iter::once(own).chain(lines).collect::<Vec<_>>().join(".br\n");
    }
    // Options of the program itself go before the command, unless --help is the only one.
    let own = flags(program).len() > 1 && !program.commands.is_empty();
    let begin = if own { format!("{}{OPTIONS}\n", bold(&[name])) } else { String::new() };
    let name = if own { None } else { Some(name) };
    let lines = lines.map(|(words, command)| format!("{begin}{}", line(name, &words, command)));
    lines.collect::<Vec<_>>().join(".br\n")
}

/// Returns the synopsis of one command.
fn line(name: Option<&str>, words: &[&str], command: &CommandInfoWithArgs) -> String {
    let words: Vec<&str> = name.into_iter().chain(words.iter().copied()).collect();
    let mut line = format!("{}{OPTIONS}", bold(&words));
    for place in places(command) {
        let (open, close) = if place.optional { ("[", "]") } else { ("", "") };
        let more = if place.repeatable { "..." } else { "" };
        let _ = write!(line, " {open}\\fI{}\\fR{close}{more}", text(place.name));
    }
    line + "\n"
}

const OPTIONS: &str = " [\\fIOPTION\\fR]...";

fn bold(words: &[&str]) -> String {
    format!("\\fB{}\\fR", text(&words.join(" ")))
}

/// Writes the arguments and options of a command. Only the program itself lists `--help`.
fn list(page: &mut String, command: &CommandInfoWithArgs, with_help: bool) {
    for place in places(command) {
        let _ = writeln!(page, ".TP\n\\fI{}\\fR\n{}", text(place.name), text(&sentences(place.text)));
    }
    for (heading, flags) in groups(command) {
        if let Some(heading) = heading {
            let _ = writeln!(page, ".SS {heading}");
        }
        for flag in flags.iter().filter(|flag| with_help || flag.long != "--help") {
            let _ = writeln!(page, ".TP\n{}\n{}", tag(flag), text(&sentences(&flag.text)));
        }
    }
}

/// The options under the headings of `--help`, or under none if the program has no groups.
fn groups(command: &CommandInfoWithArgs) -> Vec<(Option<&'static str>, Vec<Flag>)> {
    let flags = flags(command);
    let is_grouped = |flag: &Flag| GROUPS.iter().any(|(_, names)| names.contains(&flag.long));
    if !flags.iter().all(is_grouped) {
        return vec![(None, flags)];
    }
    let find = |name: &str| flags.iter().find(|flag| flag.long == name).cloned();
    let group = |names: &[&str]| names.iter().filter_map(|name| find(name)).collect();
    GROUPS.iter().map(|(heading, names)| (Some(*heading), group(names))).collect()
}

fn tag(flag: &Flag) -> String {
    let names = flag.names.iter().map(|name| bold(&[name]));
    let argument = flag.argument.map(|argument| format!(" \\fI{}\\fR", text(argument)));
    names.collect::<Vec<_>>().join(", ") + &argument.unwrap_or_default()
}

/// Turns the text of an option into sentences; parentheses at its end hold the default.
fn sentences(said: &str) -> String {
    let mut letters = said.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let said: String = first.chain(letters).collect();
    match split_default(said.trim_end_matches('.')) {
        (said, Some(default)) => format!("{said}.\nDefault: {default}."),
        (said, None) => format!("{said}."),
    }
}

fn uncapitalised(said: &str) -> String {
    let mut letters = said.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

/// Escapes text for roff.
fn text(said: &str) -> String {
    let said = said.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    let lines =
        said.split('\n').map(|line| if line.starts_with('.') { format!("\\&{line}") } else { line.into() });
    lines.collect::<Vec<_>>().join("\n")
}
