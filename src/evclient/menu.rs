//! The menu of the legacy clients, with line editing, history and completion of names.

use std::io::{Write, stdout};
use std::path::PathBuf;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

use super::failure::Failure;
use super::local::{Source, Target};
use super::messages::Messages;
use super::options::local_name;
use super::session::Session;

const COMMANDS: [&str; 4] = ["get ", "list", "put ", "quit"];

/// The completion of commands, the server's names and local paths.
struct Completion {
    /// The names of the server's files, as of the start or the last upload.
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
        let (start, words): (usize, Vec<&str>) = match before.split_once(' ') {
            None => (0, COMMANDS.to_vec()),
            Some(("get", _)) => (4, self.names.iter().map(String::as_str).collect()),
            Some(("put", _)) => return self.files.complete(line, at, context),
            Some(_) => return Ok((at, Vec::new())),
        };
        let known = words.into_iter().filter(|word| word.starts_with(&before[start..]));
        Ok((
            start,
            known.map(|word| Pair { display: word.to_owned(), replacement: word.to_owned() }).collect(),
        ))
    }
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
    // Some legacy servers fail to list an empty folder.
    let names = names(session).unwrap_or_default();
    editor.set_helper(Some(Completion { names, files: FilenameCompleter::new() }));
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
        match obey(line.trim(), session, messages) {
            Err(failure) if failure.is_final() => break Err(failure),
            Err(failure) => failure.report(),
            Ok(()) => {}
        }
        if let (Some(completion), Ok(names)) = (editor.helper_mut(), names_after(&line, session)) {
            completion.names = names.unwrap_or_else(|| std::mem::take(&mut completion.names));
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

/// Lists the server's names again, if the command may have changed them.
fn names_after(line: &str, session: &mut dyn Session) -> Result<Option<Vec<String>>, Failure> {
    if line.starts_with("put ") { names(session).map(Some) } else { Ok(None) }
}

fn obey(line: &str, session: &mut dyn Session, messages: &Messages) -> Result<(), Failure> {
    match line.split_once(' ').map_or((line, ""), |(command, rest)| (command, rest.trim())) {
        ("", _) => Ok(()),
        ("list", "") => {
            session.list()?.iter().for_each(|entry| say(&entry.line()));
            say(messages.listed);
            Ok(())
        }
        ("get", name) if !name.is_empty() => {
            session.get(name, &Target::File(PathBuf::from(local_name(name)?)))?;
            say(&format!("{name} {}", messages.downloaded));
            Ok(())
        }
        ("put", path) if !path.is_empty() => {
            let name = local_name(path)?;
            session.put(&mut Source::open(path)?, name)?;
            say(&format!("{name} {}", messages.uploaded));
            Ok(())
        }
        _ => {
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
