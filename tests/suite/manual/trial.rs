//! Tests the completions in the shells themselves, with evserve and with a program that has commands,
//! positional arguments and short options. To add a case, add a line and the offered words to `LINES`.

#![allow(dead_code)] // The fields are only read by argh's derive.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use argh::{ArgsInfo, CommandInfoWithArgs};
use tempfile::TempDir;

use super::{bash, fish, page, zsh};
use crate::process::tool;

/// Asks a server for files. It has more to say.
#[derive(ArgsInfo)]
struct Trial {
    /// where the server is; repeatable (7890)
    #[argh(option, short = 's', arg_name = "ADDR")]
    server: Vec<String>,

    /// where copies go
    #[argh(option, short = 'd', arg_name = "DIR")]
    to: Option<String>,

    #[argh(subcommand)]
    command: Commands,
}

#[derive(ArgsInfo)]
#[argh(subcommand)]
enum Commands {
    Get(Get),
    Put(Put),
}

/// fetches a file: 'whole' or [in part]
#[derive(ArgsInfo)]
#[argh(subcommand, name = "get")]
struct Get {
    /// what it is called
    #[argh(positional, arg_name = "NAME")]
    name: String,

    /// where it goes
    #[argh(positional, arg_name = "FILE")]
    file: Option<String>,

    /// say nothing
    #[argh(switch, short = 'q')]
    quiet: bool,
}

/// stores files
#[derive(ArgsInfo)]
#[argh(subcommand, name = "put")]
struct Put {
    /// what is stored
    #[argh(positional, arg_name = "FILE")]
    files: Vec<String>,

    /// what is logged
    #[argh(option, arg_name = "LEVEL")]
    log: Option<String>,
}

/// A command line, and the words offered for its last word in a folder with `plain` and `sub/`.
const LINES: &[(&str, &str)] = &[
    ("evserve --lo", "--log-level --log-file"),
    ("evserve --http 1 --htm", "--html"),
    ("evserve --log-level ", "off error warn info debug trace"),
    ("evserve --log-level=d", "debug"),
    ("evserve --log-level=debug --log-f", "--log-file"),
    ("evserve --http=:8080 --access-f", "--access-format"),
    ("evserve --http ", ""),
    ("evserve --html ", "sub/"),
    ("evserve --html=", "sub/"),
    ("evserve --log-file ", "plain sub/"),
    ("evserve t", "top"),
    ("evserve top --o", "--once"),
    ("evserve top --sort q", "queued"),
    ("evserve top --htm", ""),
    ("trial ", "get put"),
    ("trial --server 127.0.0.1:7890 g", "get"),
    ("trial --server=get p", "put"),
    ("trial -d ", "sub/"),
    ("trial get -", "-q --quiet -h --help"),
    ("trial get a ", "plain sub/"),
    ("trial get a b --q", "--quiet"),
    ("trial put a b ", "plain sub/"),
    ("trial put a --log t", "trace"),
];

type Writer = fn(&str, &CommandInfoWithArgs) -> String;

/// Creates a folder with the scripts of both programs and the files to offer.
fn scripts(write: Writer) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, command) in [("evserve", super::evserve()), ("trial", Trial::get_args_info())] {
        fs::write(folder.path().join(format!(".{name}")), write(name, &command)).unwrap();
    }
    fs::write(folder.path().join("plain"), "").unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    folder
}

fn ask(shell: &Path, arguments: &[&str], folder: &TempDir) -> String {
    let output = Command::new(shell).args(arguments).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn check(line: &str, offered: &str, expected: &str) {
    let words = |text: &str| -> BTreeSet<String> { text.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(words(offered), words(expected), "{line:?}");
}

/// Splits a line into words as bash does, that is, also at `:` and `=`.
fn bash_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let mut parts: Vec<String> = vec![String::new()];
        for letter in word.chars() {
            let joins = |letter: char| letter == ':' || letter == '=';
            let last = parts.last_mut().unwrap();
            match last.chars().next() {
                Some(first) if joins(first) != joins(letter) => parts.push(letter.to_string()),
                _ => last.push(letter),
            }
        }
        words.extend(parts);
    }
    words
}

#[test]
fn manual_completion_works_in_bash() {
    let Some(bash) = tool("bash") else { return };
    let folder = scripts(bash::write);
    // `compopt` prints the file names that readline would offer.
    let script = "compopt() { [[ $2 == dirnames ]] && echo sub/ || echo plain sub/; }
        . ./.$1; COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)); _$1; echo ${COMPREPLY[*]}";
    let offered = |line: &str| {
        let words = bash_words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        ask(&bash, &[&["--norc", "-c", script, "bash"], &words[..]].concat(), &folder)
    };
    for (line, expected) in LINES {
        check(line, &offered(line), expected);
    }
    // An option that must not be repeated is not offered again.
    check("twice", &offered("evserve --list --lis"), "");
}

#[test]
fn manual_completion_works_in_fish() {
    let Some(fish) = tool("fish") else { return };
    let folder = scripts(fish::write);
    for (line, expected) in LINES {
        let script = format!("source .evserve; source .trial; complete -C'{line}'");
        let offered = ask(&fish, &["--no-config", "-c", &script], &folder);
        let offered = offered.lines().map(|line| line.split('\t').next().unwrap());
        // fish repeats the part before the value.
        let word = line.rsplit_once(' ').unwrap().1;
        let before = &word[..word.find('=').map_or(0, |at| at + 1)];
        let offered: Vec<&str> = offered.map(|word| word.strip_prefix(before).unwrap()).collect();
        check(line, &offered.join(" "), expected);
    }
}

/// zsh completes only in a terminal, so this test only parses the scripts.
#[test]
fn manual_completion_scripts_parse_in_zsh() {
    let Some(zsh) = tool("zsh") else { return };
    let folder = scripts(zsh::write);
    ask(&zsh, &["-f", "-n", ".evserve"], &folder);
    ask(&zsh, &["-f", "-n", ".trial"], &folder);
}

#[test]
fn manual_page_lists_commands_and_their_arguments() {
    let page = page::write("trial", &Trial::get_args_info(), "More.\n.SH SEE ALSO\nnothing\n");
    for part in [
        "trial \\- asks a server for files\n",
        "\\fBtrial\\fR [\\fIOPTION\\fR]...\n\\fBget\\fR [\\fIOPTION\\fR]... \\fINAME\\fR [\\fIFILE\\fR]\n",
        ".SH DESCRIPTION\nAsks a server for files.\nMore.\n.SH OPTIONS\n",
        ".TP\n\\fB\\-s\\fR, \\fB\\-\\-server\\fR \\fIADDR\\fR\nWhere the server is; repeatable.\nDefault: 7890.\n",
        "Fetches a file: \\(aqwhole\\(aq or [in part].\n",
        ".SH COMMANDS\n",
    ] {
        assert!(page.contains(part), "{part:?} is missing in {page}");
    }
    assert!(page.ends_with(".SH SEE ALSO\nnothing\n"));
    assert_eq!(page.matches("help").count(), 1);
}
