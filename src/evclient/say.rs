//! The message client, like the legacy ones: sends each typed line and prints the reply, until an empty line.

use std::io::{ErrorKind, Read, Write, stdout};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::connector::Connector;
use super::failure::Failure;
use super::messages::Messages;
use super::options::Options;

/// The maximum length of a reply in bytes, which holds any datagram.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Sends a message, receives the reply into the buffer, and returns the reply's length.
type Exchange = dyn FnMut(&[u8], &mut [u8]) -> std::io::Result<usize>;

pub(crate) fn converse(options: &Options, udp: bool, messages: &Messages) -> Result<(), Failure> {
    let mut exchange: Box<Exchange> = if udp {
        let socket = options.address.datagrams()?;
        Box::new(move |message, answer| {
            socket.send(message)?;
            loop {
                match socket.recv(answer) {
                    // As for a `Stream`.
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    done => return done,
                }
            }
        })
    } else {
        let mut stream = Connector::new(&options.address, options.trust.as_ref())?.connect()?;
        Box::new(move |message, answer| {
            stream.write_all(message)?;
            match stream.read(answer)? {
                0 => Err(ErrorKind::UnexpectedEof.into()),
                count => Ok(count),
            }
        })
    };
    let terminal = |error: ReadlineError| Failure::Local(format!("the terminal: {error}"));
    let mut editor = DefaultEditor::new().map_err(terminal)?;
    let mut answer = vec![0; ANSWER_MAX_BYTES];
    loop {
        let line = match editor.readline(messages.message) {
            Ok(line) if !line.is_empty() => line,
            Ok(_) | Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(()),
            Err(error) => return Err(terminal(error)),
        };
        let _ = editor.add_history_entry(&line);
        let count = exchange(line.as_bytes(), &mut answer).map_err(Failure::connection)?;
        print(&format!("{}{}", messages.answer, String::from_utf8_lossy(&answer[..count])))?;
    }
}

/// Prints a line to standard output.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    writeln!(stdout(), "{line}").map_err(|error| Failure::stdout(&error))
}
