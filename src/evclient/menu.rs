//! The menu of the legacy clients, with line editing, history and completion of names.

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::path::PathBuf;

use rustyline::completion::{Completer, FilenameCompleter, Pair, Quote, escape, extract_word, unescape};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

use super::batch;
use super::failure::Failure;
use super::messages::Messages;
use super::options::{Command, Options};
use super::session::Session;

const COMMANDS: [&str; 4] = ["get ", "list", "put ", "quit"];

/// The completion of commands, the server's names and local paths.
struct Completion {
    /// The names of the server's files, as of the start, the last list or the last upload.
    names: Vec<String>,
    files: FilenameCompleter,
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..at];
        let (start, word) = extract_word(before, at, Some('\\'), is_special);
        let word = unescape(word, Some('\\'));
        let words: Vec<&str> = match before.split_once(' ') {
            None => COMMANDS.to_vec(),
            Some(("put", _)) => return self.files.complete(line, at, context),
            Some(("get", _)) if before[..start].trim_end().ends_with(" --to") => {
                return self.files.complete(line, at, context);
            }
            Some(("get", _)) => self.names.iter().map(String::as_str).collect(),
            Some(_) => return Ok((at, Vec::new())),
        };
        let pair = |known: &str| {
            let is_command = start == 0;
            let escaped = |name: &str| escape(name.to_owned(), Some('\\'), is_special, Quote::None);
            let replacement = if is_command { known.to_owned() } else { escaped(known) };
            Pair { display: known.to_owned(), replacement }
        };
        Ok((start, words.into_iter().filter(|known| known.starts_with(&*word)).map(pair).collect()))
    }
}

/// Returns whether a character of a name needs a backslash.
fn is_special(character: char) -> bool {
    character.is_whitespace() || "'\"\\".contains(character)
}

/// Splits a line into words as a shell does, at spaces outside of quotes. Returns `None` if a quote is open.
fn split_words(line: &str) -> Option<Vec<OsString>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then(|| words.into_iter().map(OsString::from).collect())
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

/// Reads and runs commands until `quit`, the end of input or a lost connection.
pub(crate) fn run(session: &mut dyn Session, messages: &Messages) -> Result<(), Failure> {
    let terminal = |error: ReadlineError| Failure::Local(format!("the terminal: {error}"));
    let mut editor: Editor<Completion, DefaultHistory> = Editor::new().map_err(terminal)?;
    let mut known = match names(session) {
        Err(Failure::NeedsTls) => return Err(Failure::NeedsTls),
        // Some legacy servers fail to list an empty folder.
        names => names.unwrap_or_default(),
    };
    editor.set_helper(Some(Completion { names: known.clone(), files: FilenameCompleter::new() }));
    let history = history_file();
    if let Some(path) = &history {
        let _ = editor.load_history(path);
    }
    let ended = loop {
        say(messages.menu);
        let line = match editor.readline(messages.prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break Ok(()),
            Err(error) => break Err(terminal(error)),
        };
        let _ = editor.add_history_entry(line.trim());
        if line.trim() == "quit" {
            break Ok(());
        }
        match obey(line.trim(), session, messages, &mut known) {
            Err(failure) if failure.is_final() => break Err(failure),
            Err(failure) => failure.report(),
            Ok(()) => {}
        }
        if let Some(completion) = editor.helper_mut() {
            completion.names.clone_from(&known);
        }
    };
    if let Some(path) = &history {
        let _ = editor.save_history(path);
    }
    session.quit();
    say(messages.farewell);
    ended
}

fn names(session: &mut dyn Session) -> Result<Vec<String>, Failure> {
    Ok(session.list()?.into_iter().map(|entry| entry.name).collect())
}

/// Runs a line, and updates the server's names if it shows or changes them.
fn obey(
    line: &str,
    session: &mut dyn Session,
    messages: &Messages,
    known: &mut Vec<String>,
) -> Result<(), Failure> {
    let Some(words) = split_words(line) else {
        return Err(Failure::Local("a quote is not closed; \\' and \\\" are characters of a name".into()));
    };
    let has_command =
        words.first().is_some_and(|word| ["get", "list", "put"].iter().any(|name| word == name));
    // The address is that of the session.
    let words = std::iter::once(OsString::from("localhost")).chain(words);
    match Options::parse(words).map(|options| options.command) {
        Ok(Command::Menu) => Ok(()),
        Ok(Command::List) => {
            let entries = session.list()?;
            entries.iter().for_each(|entry| say(&entry.line()));
            say(messages.listed);
            *known = entries.into_iter().map(|entry| entry.name).collect();
            Ok(())
        }
        Ok(Command::Get { names, to }) => {
            let done = |name: &str| say(&format!("{name} {}", messages.downloaded));
            batch::download(session, &names, to.as_deref(), done)
        }
        Ok(Command::Put { paths, stored_as }) => {
            let done = |name: &str| say(&format!("{name} {}", messages.uploaded));
            let uploaded = batch::upload(session, &paths, stored_as.as_deref(), done);
            // After a lost connection, the names are of no use.
            if uploaded.as_ref().err().is_none_or(|failure| !failure.is_final()) {
                *known = names(session).unwrap_or_default();
            }
            uploaded
        }
        Err(exit) if has_command => {
            let _ = exit.print();
            Ok(())
        }
        Ok(Command::Stat(_) | Command::Say { .. }) | Err(_) => {
            say(messages.unknown);
            Ok(())
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

/// Returns the path of the history, as in the XDG Base Directory Specification, and creates its folder.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder = state.or_else(home)?.join("evclient");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_into_words_as_in_a_shell() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            ("get  a b ", Some(&["get", "a", "b"])),
            (r"get a\ b", Some(&["get", "a b"])),
            (r#"put 'a b' "c \" d"x '' 'e\'"#, Some(&["put", "a b", "c \" dx", "", r"e\"])),
            ("get it's", None),
        ];
        for (line, words) in cases {
            let words = words.map(|words| words.iter().map(OsString::from).collect());
            assert_eq!(split_words(line), words, "{line}");
        }
    }
}
