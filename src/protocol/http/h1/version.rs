//! What becomes of a connection, by the version and the words of its requests.

use crate::close_reason::CloseReason;

/// The versions that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.0, which has no chunks.
    Http10,
    /// HTTP/1.1, and later minor versions (RFC 9110 section 2.5).
    Http11,
}

/// What a request says about the life of its connection (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// HTTP/1.1 without `close`: it persists, and nothing needs to be said.
    Implied,
    /// HTTP/1.0 with `keep-alive`: it persists, and the response must say so.
    Agreed,
    /// It ends with the response.
    Close,
}

/// What becomes of a connection after a response: the one decision that is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// It persists, and nothing needs to be said.
    KeepAlive,
    /// It persists, and the response says so.
    AnnounceKeepAlive,
    /// It is closed, for this reason.
    Close(CloseReason),
}
