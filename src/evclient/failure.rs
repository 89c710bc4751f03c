//! The failures of a command, and their exit codes.

use std::fmt;
use std::io::{self, Write};

/// A failure, with the text that is printed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A refused command, or a transfer with a wrong result. The connection can still be used.
    Rejected(String),
    /// An error of a local file or the terminal.
    Local(String),
    /// A failed connect, or an error of the connection.
    Connection(String),
    /// A violation of the protocol by the server.
    Protocol(String),
}

impl Failure {
    /// Returns the failure for an error of `what`, a local file.
    pub(crate) fn local(what: impl fmt::Display, error: io::Error) -> Failure {
        Failure::Local(format!("{what}: {error}"))
    }

    pub(crate) fn connection(error: io::Error) -> Failure {
        Failure::Connection(match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the server does not respond".into(),
            io::ErrorKind::UnexpectedEof => "the server closed the connection".into(),
            _ => format!("the connection failed: {error}"),
        })
    }

    /// Returns the exit code: 1 if the command was refused or failed locally, 3 if the connection failed.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Rejected(_) | Failure::Local(_) => 1,
            Failure::Connection(_) | Failure::Protocol(_) => 3,
        }
    }

    /// Returns whether the connection can no longer be used.
    pub(crate) fn is_final(&self) -> bool {
        self.code() == 3
    }

    /// Prints the failure to standard error.
    pub(crate) fn report(&self) {
        let _ = writeln!(io::stderr(), "evclient: {self}");
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Rejected(text) | Failure::Local(text) | Failure::Connection(text) => f.write_str(text),
            Failure::Protocol(text) => write!(f, "the server does not speak the expected protocol: {text}"),
        }
    }
}
