//! HTTP versions, and whether a connection persists after a response.

use crate::close_reason::CloseReason;

/// The versions that the server distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.0, which has no chunks.
    Http10,
    /// HTTP/1.1, and later minor versions (RFC 9110 section 2.5).
    Http11,
}

/// Whether a request lets its connection persist (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// HTTP/1.1 without `close`: the connection persists, and the response need not say so.
    Implied,
    /// HTTP/1.0 with `keep-alive`: the connection persists, and the response must say so.
    Agreed,
    /// The connection closes after the response.
    Close,
}

/// What happens to a connection after a response. Only `Head::disposition` decides that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// The connection persists, and the response does not mention it.
    KeepAlive,
    /// The connection persists, and the response says so.
    AnnounceKeepAlive,
    /// The connection closes, for this reason.
    Close(CloseReason),
}

impl Disposition {
    /// Returns why the connection closes, if it does.
    pub(super) fn close_reason(self) -> Option<CloseReason> {
        if let Disposition::Close(reason) = self { Some(reason) } else { None }
    }
}
