//! Why connections end.

use std::fmt;

/// Why a connection ended. Every ending has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed between two requests.
    PeerClosed,
    /// The peer closed in the middle of a request.
    PeerLeft,
    /// The connection broke: a reset, a host that vanished.
    Reset,
    /// The system failed at sending or receiving: a disk error under a file, for one.
    Failed,
    /// The last request was answered; the peer had said that it would be the last.
    Answered,
    /// A request was answered, and we said that it was the last.
    LastAnswer,
    /// A request could not be understood or went over a limit.
    Refused,
    /// A request was answered whose body nobody wants to read to its end.
    BodyUnwanted,
    /// Nothing was asked for too long.
    IdleTimeout,
    /// A request head did not become whole in time.
    HeadTimeout,
    /// A body stopped on its way in.
    BodyTimeout,
    /// The peer took none of its output for too long.
    WriteTimeout,
    /// A file became shorter than it was promised to be.
    FileShrank,
    /// Closed while idle, to make room for another.
    Evicted,
    /// Closed while idle, as the server ends.
    Drained,
    /// Cut off, as the server's time to end is over.
    Aborted,
}

impl CloseReason {
    /// All of them, in the order of their declaration.
    pub const ALL: [CloseReason; 16] = [
        CloseReason::PeerClosed,
        CloseReason::PeerLeft,
        CloseReason::Reset,
        CloseReason::Failed,
        CloseReason::Answered,
        CloseReason::LastAnswer,
        CloseReason::Refused,
        CloseReason::BodyUnwanted,
        CloseReason::IdleTimeout,
        CloseReason::HeadTimeout,
        CloseReason::BodyTimeout,
        CloseReason::WriteTimeout,
        CloseReason::FileShrank,
        CloseReason::Evicted,
        CloseReason::Drained,
        CloseReason::Aborted,
    ];

    /// Whether the peer may be sending still, so that its input must be read and dropped for a
    /// while: a close with unread input is a reset, which destroys the answer under way.
    pub fn lingers(self) -> bool {
        use CloseReason::{BodyTimeout, BodyUnwanted, HeadTimeout, LastAnswer, Refused};
        matches!(self, LastAnswer | Refused | BodyUnwanted | HeadTimeout | BodyTimeout)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::PeerClosed => "the peer closed",
            CloseReason::PeerLeft => "the peer left in the middle of a request",
            CloseReason::Reset => "the connection broke",
            CloseReason::Failed => "the system failed to send or receive",
            CloseReason::Answered => "answered its last request",
            CloseReason::LastAnswer => "answered, and ended it",
            CloseReason::Refused => "refused a request",
            CloseReason::BodyUnwanted => "answered without reading a body",
            CloseReason::IdleTimeout => "idle for too long",
            CloseReason::HeadTimeout => "a request head took too long",
            CloseReason::BodyTimeout => "a request body took too long",
            CloseReason::WriteTimeout => "the peer took nothing for too long",
            CloseReason::FileShrank => "a file shrank while it was sent",
            CloseReason::Evicted => "idle, made room for another",
            CloseReason::Drained => "idle while draining",
            CloseReason::Aborted => "cut off at the end of draining",
        })
    }
}
