//! The vocabulary: words that code, documents and pages do not use, with their replacements. A row of [`OLD_WORDS`]
//! also covers identifiers: `under way` matches `under_way` and `UnderWay`.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::root;

const OLD_WORDS: &[(&str, &str)] = &[
    ("anew", "again, reopened, rebuilt"),
    ("appetite", "demand"),
    ("besides", "other than, in addition to, also"),
    ("bury", "reap"),
    ("cannot be told", "cannot be distinguished"),
    ("door", "protocol, interface"),
    ("doors", "protocols, interfaces"),
    ("everybody", "every client, every connection"),
    ("go on", "continue"),
    ("goes on", "continues"),
    ("went on", "continued"),
    ("hang on", "depend on"),
    ("hangs on", "depends on"),
    ("housekeep", "run background tasks"),
    ("intake", "input"),
    ("longest idle", "least recently active"),
    ("looked at", "checked, revalidated"),
    ("made room", "was evicted"),
    ("make room", "be evicted"),
    ("makes room", "is evicted"),
    ("nobody", "no client, no connection"),
    ("put off", "postpone, extend"),
    ("puts off", "postpones, extends"),
    ("refusal", "error"),
    ("remembered", "cached"),
    ("so many", "the number of"),
    ("somebody", "the client, another program"),
    ("someone", "the client, another program"),
    ("stands in", "is in"),
    ("taken up again", "resumed"),
    ("the documents' clients", "legacy clients"),
    ("the documents' own", "legacy"),
    ("thrown away", "discarded"),
    ("told apart", "distinguished"),
    ("under way", "in progress"),
    ("unwanted", "discarded, unread"),
    ("who", "the client, the peer, the program"),
    ("whoever", "any client, any program"),
    ("whom", "the client, the peer"),
    ("wish", "preference, header"),
    ("wishes", "preferences, headers"),
    ("worth to", "worth …ing"),
];

/// The maximum number of words in a row of [`OLD_WORDS`].
const PHRASE_WORDS_MAX: usize = 3;

/// Text files with these endings are checked.
const ENDINGS: [&str; 13] =
    ["1", "rs", "md", "html", "svg", "css", "js", "py", "sh", "in", "toml", "service", "Makefile"];

/// Generated or foreign files, and this one.
const SKIPPED: [&str; 6] = ["target", "corpus", "artifacts", ".git", "models", "words.rs"];

#[test]
fn tidy_files_use_the_vocabulary() {
    let mut files = 0;
    let mut found = Vec::new();
    for path in text_files() {
        files += 1;
        let text = fs::read_to_string(&path).unwrap();
        // A phrase may be broken across two lines, so each line is read with the beginning of the next one.
        let lines: Vec<String> = text.lines().map(words).collect();
        for (number, line) in lines.iter().enumerate() {
            let next = lines.get(number + 1).map_or("", |next| next.as_str());
            let next: Vec<&str> = next.split(' ').take(PHRASE_WORDS_MAX - 1).collect();
            let words = format!(" {line} {} ", next.join(" "));
            for (old, better) in OLD_WORDS {
                // A phrase within the next line alone is found there.
                let alone = format!(" {} ", next.join(" "));
                if words.contains(&format!(" {old} ")) && !alone.contains(&format!(" {old} ")) {
                    let path = path.strip_prefix(root()).unwrap().display();
                    found.push(format!("{path}:{}: \"{old}\"; write: {better}", number + 1));
                }
            }
        }
    }
    assert!(files > 200, "{files} files");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn text_files() -> Vec<PathBuf> {
    let mut folders = vec![root().to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let has_ending = |ending: &str| name == ending || name.ends_with(&format!(".{ending}"));
            if SKIPPED.contains(&name) {
            } else if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if ENDINGS.iter().any(|ending| has_ending(ending)) && is_regular(&path) {
                files.push(path);
            }
        }
    }
    files
}

fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.is_file())
}

/// Returns the words of a line in small letters, with identifiers split, separated by single spaces.
fn words(line: &str) -> String {
    let mut words = String::new();
    let mut before = ' ';
    for letter in line.chars() {
        if letter.is_uppercase() && before.is_lowercase() {
            words.push(' ');
        }
        match letter.is_alphanumeric() || letter == '\'' {
            true => words.extend(letter.to_lowercase()),
            false if !words.ends_with(' ') => words.push(' '),
            false => {}
        }
        before = letter;
    }
    words.trim_matches([' ', '\'']).to_owned()
}

#[test]
fn words_are_split_at_underscores_and_capitals() {
    assert_eq!(words("let under_way = UnderWay::new(\"it's\");"), "let under way under way new it's");
}
