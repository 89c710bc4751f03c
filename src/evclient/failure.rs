//! The failures of a command, and their exit codes.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use evserve::protocol::file::PLAIN_REPLY;

/// A failure, with the text that is printed. The text does not name the transferred file: [`Failure::about`]
/// adds the name, so that all messages have it at the same place.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A refused command, or a transfer with a wrong result.
    Rejected(String),
    /// An error of a local file or the terminal.
    Local(String),
    /// A failed connect, an error of the connection, or a violation of the protocol by the server.
    Connection(String),
    /// A plain connection to a port that needs TLS.
    NeedsTls,
    /// The reader of standard output, such as head(1), has closed it. This ends the program without a message.
    OutputClosed,
}

impl Failure {
    /// Returns the failure for an error of writing to `path`.
    pub(crate) fn write(path: &Path, error: &io::Error) -> Failure {
        Failure::Local(format!("cannot write {}: {error}", path.display()))
    }

    /// Returns the failure for an error of writing to standard output.
    pub(crate) fn stdout(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Local(format!("cannot write to standard output: {error}")),
        }
    }

    pub(crate) fn connection(error: io::Error) -> Failure {
        Failure::Connection(match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the server does not respond".into(),
            io::ErrorKind::ConnectionAborted => "the connection was cut off".into(),
            io::ErrorKind::UnexpectedEof => "the server closed the connection".into(),
            _ => format!("the connection failed: {error}"),
        })
    }

    /// Returns the failure for a reply of a server that expects TLS.
    pub(crate) fn of_tls_port(reply: &[u8]) -> Option<Failure> {
        (reply.trim_ascii_end() == PLAIN_REPLY.trim_ascii_end()).then_some(Failure::NeedsTls)
    }

    pub(crate) fn protocol(text: impl fmt::Display) -> Failure {
        Failure::Connection(format!("the server does not speak the expected protocol: {text}"))
    }

    /// Adds the name of the file that the failure is about.
    pub(crate) fn about(self, name: &str) -> Failure {
        match self {
            Failure::Rejected(text) => Failure::Rejected(format!("{name}: {text}")),
            Failure::Local(text) => Failure::Local(format!("{name}: {text}")),
            Failure::Connection(text) => Failure::Connection(format!("{name}: {text}")),
            Failure::NeedsTls | Failure::OutputClosed => self,
        }
    }

    /// Returns whether the server refused the command with this code.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        matches!(self, Failure::Rejected(text) if text.split(' ').next() == Some(code))
    }

    /// Returns the exit code: 1 if the command was refused or failed locally, 3 if the connection failed.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::OutputClosed => 0,
            Failure::Rejected(_) | Failure::Local(_) => 1,
            Failure::Connection(_) | Failure::NeedsTls => 3,
        }
    }

    /// Returns whether no further command can be run.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Failure::Connection(_) | Failure::NeedsTls | Failure::OutputClosed)
    }

    /// Prints the failure to standard error.
    pub(crate) fn report(&self) {
        if !matches!(self, Failure::OutputClosed) {
            let _ = writeln!(io::stderr(), "evclient: {self}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Rejected(text) | Failure::Local(text) | Failure::Connection(text) => f.write_str(text),
            Failure::NeedsTls => f.write_str("the port needs TLS; give the option --tls"),
            Failure::OutputClosed => f.write_str("standard output was closed"),
        }
    }
}
