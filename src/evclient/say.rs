//! The documents' message clients: a prompt, a message, its answer; an empty line ends.

use std::io::{Read, Write, stdout};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::address::Address;
use super::failure::Failure;
use super::messages::Messages;

/// Bytes of an answer, which a datagram may have at most.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Sends a message and takes its answer, of which it returns the length.
type Exchange = dyn FnMut(&[u8], &mut [u8]) -> std::io::Result<usize>;

/// Sends what is typed and prints what comes back.
pub(crate) fn converse(address: &Address, udp: bool, messages: &Messages) -> Result<(), Failure> {
    let mut exchange: Box<Exchange> = if udp {
        let socket = address.datagrams()?;
        Box::new(move |message, answer| {
            socket.send(message)?;
            socket.recv(answer)
        })
    } else {
        let mut stream = address.connect()?;
        Box::new(move |message, answer| {
            stream.write_all(message)?;
            match stream.read(answer)? {
                0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
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
        let _ = writeln!(stdout(), "{}{}", messages.answer, String::from_utf8_lossy(&answer[..count]));
    }
}
