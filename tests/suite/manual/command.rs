//! A program's options as argh tells them, in the form that all four writers want. To have values offered,
//! add them to `value`; `LINES` in trial.rs tests them.

use argh::{CommandInfoWithArgs, FlagInfoKind, Optionality};

/// An option or a switch.
pub struct Flag {
    /// `-h` and `--help`.
    pub names: Vec<String>,
    pub long: &'static str,
    /// What stands for the value of an option.
    pub argument: Option<&'static str>,
    pub repeatable: bool,
    pub text: String,
}

/// What can be offered for a value.
#[derive(Clone, Copy)]
pub enum Value {
    Folder,
    File,
    OneOf(&'static [&'static str]),
    Free,
}

/// What the name of an argument says of its values.
pub fn value(argument: &str) -> Value {
    match argument {
        "DIR" => Value::Folder,
        "FILE" | "PATH" => Value::File,
        "DIALECT" => Value::OneOf(&["auto", "lines", "joined", "listed"]),
        "LEVEL" => Value::OneOf(&["off", "error", "warn", "info", "debug", "trace"]),
        // A command, and behind it most often a file of ours.
        "COMMAND" => Value::File,
        "FORMAT" => Value::OneOf(&["combined", "json"]),
        _ => Value::Free,
    }
}

impl Flag {
    pub fn value(&self) -> Option<Value> {
        self.argument.map(value)
    }
}

/// The options of a command in their order, help at the end.
pub fn flags(command: &CommandInfoWithArgs) -> Vec<Flag> {
    let shown = command.flags.iter().filter(|flag| !flag.hidden);
    let mut flags: Vec<Flag> = shown
        .map(|flag| {
            // argh does not tell what else triggers help.
            let short = if flag.long == "--help" { Some('h') } else { flag.short };
            let mut names: Vec<String> = short.iter().map(|short| format!("-{short}")).collect();
            names.push(flag.long.to_owned());
            let argument = match flag.kind {
                FlagInfoKind::Option { arg_name } => Some(arg_name),
                FlagInfoKind::Switch => None,
            };
            let repeatable = matches!(flag.optionality, Optionality::Repeating);
            // argh keeps it as a format string, in which braces are doubled.
            let text = flag.description.replace("{{", "{").replace("}}", "}");
            Flag { names, long: flag.long, argument, repeatable, text }
        })
        .collect();
    flags.sort_by_key(|flag| flag.long == "--help");
    flags
}

/// An argument that is told by its place.
pub struct Place {
    pub name: &'static str,
    pub text: &'static str,
    pub optional: bool,
    pub repeatable: bool,
}

pub fn places(command: &CommandInfoWithArgs) -> Vec<Place> {
    let shown = command.positionals.iter().filter(|place| !place.hidden);
    let place = |place: &argh::PositionalInfo<'static>| Place {
        name: place.name,
        text: place.description,
        optional: !matches!(place.optionality, Optionality::Required),
        repeatable: matches!(place.optionality, Optionality::Repeating | Optionality::Greedy),
    };
    shown.map(place).collect()
}

/// The program and its commands, each with the words that lead to it.
pub fn tree(program: &CommandInfoWithArgs) -> Vec<(Vec<&'static str>, &CommandInfoWithArgs)> {
    let mut found = vec![(Vec::new(), program)];
    let mut next = 0;
    while next < found.len() {
        let (words, command) = found[next].clone();
        for below in &command.commands {
            found.push(([&words[..], &[below.name]].concat(), &below.command));
        }
        next += 1;
    }
    found
}
