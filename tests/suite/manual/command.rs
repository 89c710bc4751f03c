//! The options of a program as argh reports them, in the form that all four writers use. To offer values, add
//! them to `value`; `LINES` in trial.rs tests them.

use argh::{CommandInfoWithArgs, FlagInfoKind, Optionality};

/// The programs that also run without one of their commands.
pub const RUN_ALONE: [&str; 1] = ["evserve"];

/// An option or a switch.
#[derive(Clone)]
pub struct Flag {
    /// All names, such as `-h` and `--help`.
    pub names: Vec<String>,
    pub long: &'static str,
    /// The placeholder for the value of an option, such as `DIR`.
    pub argument: Option<&'static str>,
    pub repeatable: bool,
    pub text: String,
}

/// The values that completion offers.
#[derive(Clone, Copy)]
pub enum Value {
    Folder,
    File,
    OneOf(&'static [&'static str]),
    Free,
}

/// Returns the values to offer for an argument of this name.
pub fn value(argument: &str) -> Value {
    match argument {
        "DIR" => Value::Folder,
        "FILE" | "PATH" => Value::File,
        "DIALECT" => Value::OneOf(&["auto", "lines", "joined", "listed"]),
        // The dialect of a server, which a client cannot detect.
        "KIND" => Value::OneOf(&["lines", "joined", "listed"]),
        "MODE" => Value::OneOf(&["refuse", "replace", "rename"]),
        "LEVEL" => Value::OneOf(&["off", "error", "warn", "info", "debug", "trace"]),
        "COLUMN" => Value::OneOf(&["out", "in", "queued", "requests", "age", "inactive", "deadline", "id"]),
        // A command, usually followed by local files.
        "COMMAND" => Value::File,
        "FORMAT" => Value::OneOf(&["combined", "extended", "json"]),
        _ => Value::Free,
    }
}

impl Flag {
    pub fn value(&self) -> Option<Value> {
        self.argument.map(value)
    }
}

/// Returns the options of a command in order, with --help last.
pub fn flags(command: &CommandInfoWithArgs) -> Vec<Flag> {
    let shown = command.flags.iter().filter(|flag| !flag.hidden);
    let mut flags: Vec<Flag> = shown
        .map(|flag| {
            // argh does not report the short name of --help.
            let short = if flag.long == "--help" { Some('h') } else { flag.short };
            let mut names: Vec<String> = short.iter().map(|short| format!("-{short}")).collect();
            names.push(flag.long.to_owned());
            let argument = match flag.kind {
                FlagInfoKind::Option { arg_name } => Some(arg_name),
                FlagInfoKind::Switch => None,
            };
            let repeatable = matches!(flag.optionality, Optionality::Repeating);
            // argh keeps the text as a format string with doubled braces.
            let text = flag.description.replace("{{", "{").replace("}}", "}");
            Flag { names, long: flag.long, argument, repeatable, text }
        })
        .collect();
    flags.sort_by_key(|flag| flag.long == "--help");
    flags
}

/// A positional argument.
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

/// Returns the program and its commands, each with the words that select it.
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
