//! The reasons why connections are closed.

use std::fmt;

/// Why a connection was closed. Every closed connection has one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed the connection between two requests.
    PeerClosed,
    /// The peer closed the connection in the middle of a request.
    PeerLeft,
    /// The connection broke: it was reset, or the peer's host became unreachable.
    Reset,
    /// The system failed to send, to receive or to read a body, for example because of a disk error.
    Failed,
    /// A request was answered, and the peer had said that it was the last.
    CloseRequested,
    /// A request was answered, and the server decided that it was the last.
    ServerClosed,
    /// A request was malformed or exceeded a limit.
    Rejected,
    /// A request was answered, but its body is not read to its end.
    BodyUnread,
    /// No request was received for too long.
    IdleTimeout,
    /// A request head was not complete in time.
    HeadTimeout,
    /// A request body stopped arriving.
    BodyTimeout,
    /// The peer accepted no output for too long.
    WriteTimeout,
    /// The peer closed a TLS connection without close_notify, or the network cut it off (RFC 8446 section 6.1).
    NoCloseNotify,
    /// A TLS handshake failed, for example because the client does not trust the certificate.
    HandshakeFailed,
    /// A TLS handshake was not complete in time.
    HandshakeTimeout,
    /// The peer broke the TLS protocol after the handshake.
    TlsViolated,
    /// A file became shorter than its announced length.
    FileShrank,
    /// A connection that waited for a request was closed to accept another one.
    Evicted,
    /// An idle connection was closed because the server drains.
    Drained,
    /// The connection was cut off at the end of the drain timeout.
    Aborted,
    /// The connection was closed in the inspector.
    AdminClosed,
}

impl CloseReason {
    /// All reasons, in the order of their declaration.
    pub const ALL: [CloseReason; 21] = [
        CloseReason::PeerClosed,
        CloseReason::PeerLeft,
        CloseReason::Reset,
        CloseReason::Failed,
        CloseReason::CloseRequested,
        CloseReason::ServerClosed,
        CloseReason::Rejected,
        CloseReason::BodyUnread,
        CloseReason::IdleTimeout,
        CloseReason::HeadTimeout,
        CloseReason::BodyTimeout,
        CloseReason::WriteTimeout,
        CloseReason::NoCloseNotify,
        CloseReason::HandshakeFailed,
        CloseReason::HandshakeTimeout,
        CloseReason::TlsViolated,
        CloseReason::FileShrank,
        CloseReason::Evicted,
        CloseReason::Drained,
        CloseReason::Aborted,
        CloseReason::AdminClosed,
    ];

    /// Returns the reason's name for programs, as in the access log. It never changes.
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::PeerClosed => "peer_closed",
            CloseReason::PeerLeft => "peer_left",
            CloseReason::Reset => "reset",
            CloseReason::Failed => "failed",
            CloseReason::CloseRequested => "close_requested",
            CloseReason::ServerClosed => "server_closed",
            CloseReason::Rejected => "rejected",
            CloseReason::BodyUnread => "body_unread",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::HeadTimeout => "head_timeout",
            CloseReason::BodyTimeout => "body_timeout",
            CloseReason::WriteTimeout => "write_timeout",
            CloseReason::NoCloseNotify => "no_close_notify",
            CloseReason::HandshakeFailed => "handshake_failed",
            CloseReason::HandshakeTimeout => "handshake_timeout",
            CloseReason::TlsViolated => "tls_violated",
            CloseReason::FileShrank => "file_shrank",
            CloseReason::Evicted => "evicted",
            CloseReason::Drained => "drained",
            CloseReason::Aborted => "aborted",
            CloseReason::AdminClosed => "admin_closed",
        }
    }

    /// Returns whether the peer may still be sending, so that its input must be read and dropped for a while:
    /// a close with unread input is a reset, which destroys the response in flight.
    pub fn lingers(self) -> bool {
        use CloseReason::{
            BodyTimeout, BodyUnread, HandshakeFailed, HeadTimeout, Rejected, ServerClosed, TlsViolated,
        };
        matches!(
            self,
            ServerClosed | Rejected | BodyUnread | HeadTimeout | BodyTimeout | HandshakeFailed | TlsViolated
        )
    }

    /// Returns whether all output was sent, so that the peer may be told that none follows.
    pub fn is_orderly(self) -> bool {
        use CloseReason::{
            Aborted, AdminClosed, Failed, FileShrank, HandshakeFailed, HandshakeTimeout, Reset, TlsViolated,
            WriteTimeout,
        };
        !matches!(
            self,
            Aborted
                | AdminClosed
                | Failed
                | FileShrank
                | HandshakeFailed
                | HandshakeTimeout
                | Reset
                | TlsViolated
                | WriteTimeout
        )
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::PeerClosed => "the peer closed",
            CloseReason::PeerLeft => "the peer closed before its request was complete",
            CloseReason::Reset => "the connection was reset",
            CloseReason::Failed => "sending or receiving failed",
            CloseReason::CloseRequested => "the client asked to close",
            CloseReason::ServerClosed => "the server closed after a response",
            CloseReason::Rejected => "a request was rejected",
            CloseReason::BodyUnread => "a request body was left unread",
            CloseReason::IdleTimeout => "idle timeout",
            CloseReason::HeadTimeout => "request head timeout",
            CloseReason::BodyTimeout => "request body timeout",
            CloseReason::WriteTimeout => "write timeout",
            CloseReason::NoCloseNotify => "the peer closed without close_notify",
            CloseReason::HandshakeFailed => "the TLS handshake failed",
            CloseReason::HandshakeTimeout => "TLS handshake timeout",
            CloseReason::TlsViolated => "the peer broke the TLS protocol",
            CloseReason::FileShrank => "a file shrank while it was sent",
            CloseReason::Evicted => "evicted for a new connection",
            CloseReason::Drained => "idle while draining",
            CloseReason::Aborted => "drain timeout",
            CloseReason::AdminClosed => "closed in the inspector",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_variants_in_snake_case() {
        for reason in CloseReason::ALL {
            let mut name = String::new();
            for letter in format!("{reason:?}").chars() {
                if letter.is_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(letter.to_ascii_lowercase());
            }
            assert_eq!(reason.name(), name);
        }
    }
}
