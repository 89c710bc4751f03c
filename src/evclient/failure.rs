//! What can go wrong, and what the program's exit says of it.

use std::fmt;
use std::io::{self, Write};

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no: a code and a text.
    Refused(String),
    /// A file of ours, or the terminal.
    Local(String),
    /// The connection could not be made, or broke.
    Connection(String),
    /// The server says what it must not.
    Garbage(String),
}

impl Failure {
    /// An error of a file.
    pub(crate) fn local(what: impl fmt::Display, error: io::Error) -> Failure {
        Failure::Local(format!("{what}: {error}"))
    }

    /// An error of the connection.
    pub(crate) fn connection(error: io::Error) -> Failure {
        Failure::Connection(match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the server does not answer".into(),
            io::ErrorKind::UnexpectedEof => "the server has closed the connection".into(),
            _ => format!("the connection broke: {error}"),
        })
    }

    /// The exit code: 1 for what was refused, 3 for the connection.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Refused(_) | Failure::Local(_) => 1,
            Failure::Connection(_) | Failure::Garbage(_) => 3,
        }
    }

    /// Whether nothing more can be done over this connection.
    pub(crate) fn is_final(&self) -> bool {
        self.code() == 3
    }

    /// Says it.
    pub(crate) fn report(&self) {
        let _ = writeln!(io::stderr(), "evclient: {self}");
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(text) | Failure::Local(text) | Failure::Connection(text) => f.write_str(text),
            Failure::Garbage(text) => write!(f, "the server speaks no protocol that is known here: {text}"),
        }
    }
}
