//! Why `evserve top` ends with an error: one line that names the server and says what to do.

use std::fmt;
use std::io;

/// The version of the admin interface that this program reads.
pub(super) const INTERFACE_VERSION: u64 = 1;

/// An error that ends the program.
#[derive(Debug)]
pub(super) enum TopError {
    /// The host name has no address.
    Unresolved { host: String, error: io::Error },
    /// There was no connection yet, so that waiting for the server is not worthwhile.
    Unreachable { server: String, reason: LostReason },
    /// The server rejects the host name that the request gives.
    HostRejected { server: String },
    /// The answer is not one of the admin interface.
    NotEvserve { server: String, why: String },
    /// The server is an evserve with another version of the interface.
    OtherVersion { server: String, version: u64 },
    /// The terminal cannot be used.
    Terminal(io::Error),
}

impl fmt::Display for TopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopError::Unresolved { host, error } => {
                write!(f, "cannot resolve {host:?}: {error}; give the address of --admin")
            }
            TopError::Unreachable { server, reason } => {
                write!(f, "cannot reach {server}: {reason}; is evserve running there with --admin?")
            }
            TopError::HostRejected { server } => write!(
                f,
                "{server} rejects this host name (403); use an IP address, or start evserve with --host NAME"
            ),
            TopError::NotEvserve { server, why } => write!(
                f,
                "{server} is not the admin interface of evserve: {why}; give the address of --admin"
            ),
            TopError::OtherVersion { server, version } => write!(
                f,
                "{server} has version {version} of the admin interface, and this program reads version \
                 {INTERFACE_VERSION}; use the evserve top of that server"
            ),
            TopError::Terminal(error) => write!(f, "cannot use the terminal: {error}; try --once"),
        }
    }
}

/// Why the connection to the server was lost. It may come back.
#[derive(Debug)]
pub(super) enum LostReason {
    /// Connecting, sending or receiving failed.
    Failed(io::Error),
    /// The server closed the connection before the end of an answer.
    Ended,
    /// The server did not answer in time.
    Silent,
    /// The server answered with an error of its own, such as 503.
    Status(u16),
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LostReason::Failed(error) => error.fmt(f),
            LostReason::Ended => f.write_str("the server closed the connection"),
            LostReason::Silent => f.write_str("the server does not answer"),
            LostReason::Status(status) => write!(f, "the server answers {status}"),
        }
    }
}
