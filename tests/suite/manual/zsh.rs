//! Completion for zsh: specifications for its `_arguments`. The cases are in trial.rs.

use std::fmt::Write;

use argh::CommandInfoWithArgs;

use super::command::{Flag, Value, flags, places, tree, value};

/// Writes a script that works as a file of `$fpath` and when it is sourced.
pub fn write(name: &str, program: &CommandInfoWithArgs) -> String {
    let mut script =
        format!("#compdef {name}\n# Completion of {name} for zsh. Made from its options by make manual.\n");
    for (words, command) in tree(program) {
        function(&mut script, &[&[name], &words[..]].concat().join("_"), command);
    }
    let _ = write!(
        script,
        "\nif [[ $funcstack[1] == _{name} ]]; then\n    _{name} \"$@\"\nelse\n    compdef _{name} {name}\nfi\n"
    );
    script
}

fn function(script: &mut String, name: &str, command: &CommandInfoWithArgs) {
    let mut specifications: Vec<String> = flags(command).iter().map(option).collect();
    for place in places(command) {
        let kind = match (place.repeatable, place.optional) {
            (true, _) => "*:",
            (false, true) => "::",
            (false, false) => ":",
        };
        specifications.push(quoted(&format!("{kind}{}:{}", place.name, action(value(place.name)))));
    }
    if command.commands.is_empty() {
        let specifications = specifications.join(" \\\n        ");
        let _ = write!(script, "\n_{name}() {{\n    _arguments -S \\\n        {specifications}\n}}\n");
        return;
    }
    specifications.extend(["': :->command'".to_owned(), "'*:: :->rest'".to_owned()]);
    let specifications = specifications.join(" \\\n        ");
    let known = command.commands.iter().map(|below| {
        let said = below.command.description.trim_end_matches('.');
        format!("                {}\n", quoted(&format!("{}:{said}", below.name)))
    });
    let known: String = known.collect();
    let calls =
        command.commands.iter().map(|below| format!("                {0}) _{name}_{0} ;;\n", below.name));
    let calls: String = calls.collect();
    let _ = write!(
        script,
        "
_{name}() {{
    local context state state_descr line ret=1
    local -A opt_args
    _arguments -C -S \\
        {specifications} && ret=0
    case $state in
        command)
            local -a commands=(
{known}            )
            _describe -t commands command commands && ret=0
            ;;
        rest)
            case $line[1] in
{calls}            esac && ret=0
            ;;
    esac
    return ret
}}
"
    );
}

fn option(flag: &Flag) -> String {
    // The value follows `=` or is the next word; after a short option it may also follow directly.
    let name = |name: &String| match (flag.argument, name.starts_with("--")) {
        (None, _) => name.clone(),
        (Some(_), true) => format!("{name}="),
        (Some(_), false) => format!("{name}+"),
    };
    let names: Vec<String> = flag.names.iter().map(name).collect();
    let said: String = flag
        .text
        .chars()
        .flat_map(|c| ['\\', c].into_iter().skip(usize::from(!"[]:\\".contains(c))))
        .collect();
    let argument = flag.argument.map(|argument| format!(":{argument}:{}", action(value(argument))));
    let rest = format!("[{said}]{}", argument.unwrap_or_default());
    // --help excludes all other words, and an option that is not repeatable excludes itself.
    let once =
        if flag.long == "--help" { "(- : *)".to_owned() } else { format!("({})", flag.names.join(" ")) };
    let mark = if flag.repeatable { "*" } else { &once };
    match &names[..] {
        [only] if flag.repeatable => quoted(&format!("*{only}{rest}")),
        [only] => quoted(&format!("{only}{rest}")),
        several => format!("{}{{{}}}{}", quoted(mark), several.join(","), quoted(&rest)),
    }
}

fn action(value: Value) -> String {
    match value {
        Value::Folder => "_directories".to_owned(),
        Value::File => "_files".to_owned(),
        Value::OneOf(words) => format!("({})", words.join(" ")),
        Value::Free => " ".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
