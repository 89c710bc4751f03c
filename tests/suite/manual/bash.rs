//! Completion for bash 4 and newer, with or without the package bash-completion. The cases are in trial.rs.

use std::collections::BTreeMap;
use std::fmt::Write;

use argh::CommandInfoWithArgs;

use super::command::{RUN_ALONE, Value, flags, places, tree, value};

/// Writes the script. File names are left to readline, which quotes them.
pub fn write(name: &str, program: &CommandInfoWithArgs) -> String {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut below, mut takers, mut known, mut at) = (vec![], vec![], String::new(), String::new());
    for (words, command) in tree(program) {
        let path: String = words.iter().map(|word| format!(" {word}")).collect();
        let (mut once, mut many) = (vec![], vec![]);
        for flag in flags(command) {
            if flag.repeatable { &mut many } else { &mut once }.extend(flag.names.clone());
            let Some(value) = flag.value() else { continue };
            let patterns = flag.names.iter().map(|name| format!("'{path} {name}'"));
            takers.extend(patterns.clone());
            if let Some(offer) = offer(value) {
                values.entry(offer).or_default().extend(patterns);
            }
        }
        let mut commands: Vec<&str> = command.commands.iter().map(|below| below.name).collect();
        below.extend(commands.iter().map(|word| format!("'{path} {word}'")));
        // The options are offered together with the commands.
        if words.is_empty() && RUN_ALONE.contains(&name) {
            many.extend(commands.drain(..).map(str::to_owned));
        }
        let (once, many, commands) = (once.join(" "), many.join(" "), commands.join(" "));
        let _ = writeln!(known, "        '{path}') once='{once}' many='{many}' words='{commands}' ;;");
        for (index, place) in places(command).iter().enumerate() {
            let pattern = if place.repeatable { format!("'{path} '*") } else { format!("'{path} {index}'") };
            let offer = offer(value(place.name)).map_or_else(String::new, |offer| format!("{offer}; "));
            let _ = writeln!(at, "        {pattern}) [[ $cur == -* ]] || {{ {offer}return; }} ;;");
        }
    }
    let mut steps = String::new();
    for (patterns, step) in
        [(below, "command+=\" $word\" place=0"), (takers, "value=$word given+=\"$word \"")]
    {
        if !patterns.is_empty() {
            let _ = writeln!(steps, "            {}) {step} ;;", patterns.join(" | "));
        }
    }
    let offers =
        values.iter().map(|(offer, patterns)| format!("            {}) {offer} ;;\n", patterns.join(" | ")));
    let offers: String = offers.collect();
    if !at.is_empty() {
        at = format!("    case \"$command $place\" in\n{at}    esac\n");
    }
    TEMPLATE
        .replace("NAME", name)
        .replace("STEPS\n", &steps)
        .replace("OFFERS\n", &offers)
        .replace("KNOWN\n", &known)
        .replace("PLACES\n", &at)
}

fn offer(value: Value) -> Option<String> {
    match value {
        Value::Folder => Some("compopt -o dirnames".to_owned()),
        Value::File => Some("compopt -o default".to_owned()),
        Value::OneOf(words) => Some(format!("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", words.join(" "))),
        Value::Free => None,
    }
}

const TEMPLATE: &str = r#"# Completion of NAME for bash. Made from its options by make manual.

_NAME() {
    local cur=${COMP_WORDS[COMP_CWORD]} command= value= given=' ' place=0 joined= word once many words
    COMPREPLY=()
    # bash makes words of = and : and of what they join.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [[ -z ${word//[:=]/} ]]; then
            joined=yes
            continue
        fi
        if [[ $joined || $value ]]; then
            joined= value=
            continue
        fi
        case "$command $word" in
STEPS
            *' -'*) given+="$word " ;;
            *) ((place += 1)) ;;
        esac
    done
    if [[ $cur && -z ${cur//[:=]/} ]]; then
        joined=yes cur=
    fi
    if [[ $value ]]; then
        case "$command $value" in
OFFERS
        esac
        return
    fi
    [[ ! $joined ]] || return
    case $command in
KNOWN
    esac
PLACES
    if [[ ! $words || $cur == -* ]]; then
        words=$many
        # A second one would be refused.
        for word in $once; do
            [[ $given == *" $word "* ]] || words+=" $word"
        done
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}

complete -F _NAME NAME
"#;
