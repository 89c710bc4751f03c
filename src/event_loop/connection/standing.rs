//! Whether a connection may be evicted, and when.

use crate::clock::Instant;
use crate::protocol::Evictability;

/// What a connection is waiting for that may be evicted, in the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::event_loop) enum Standing {
    /// For the end of its linger, which began at this time.
    Lingering(Instant),
    /// For the next request, since this time; see [`Evictability::Idle`].
    Idle(Instant),
    /// For the rest of a request; see [`Evictability::Incomplete`]. Received bytes do not make it younger.
    Incomplete,
    /// For the next command, since this time; see [`Evictability::Session`].
    Session(Instant),
}

impl Standing {
    /// Returns the standing of an open connection that was last active at `since`.
    pub(super) fn new(evictability: Evictability, since: Instant) -> Option<Standing> {
        match evictability {
            Evictability::Idle => Some(Standing::Idle(since)),
            Evictability::Incomplete => Some(Standing::Incomplete),
            Evictability::Session => Some(Standing::Session(since)),
            Evictability::Never => None,
        }
    }

    /// Returns the rank of the variant.
    pub(in crate::event_loop) fn rank(self) -> u8 {
        match self {
            Standing::Lingering(_) => 0,
            Standing::Idle(_) => 1,
            Standing::Incomplete => 2,
            Standing::Session(_) => 3,
        }
    }

    /// Returns whether closing the connection may cost its client something. Then the address with the most
    /// such connections loses one, so that a flood from few addresses evicts itself.
    pub(in crate::event_loop) fn is_by_address(self) -> bool {
        self >= Standing::Incomplete
    }
}
