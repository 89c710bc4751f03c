//! The entries of the loop's slab: sources of events.

use std::net::IpAddr;

use super::connection::{Connection, Standing};
use super::endpoint::Endpoint;
use super::event::Token;
use super::listener::Listener;
use super::network::Network;
use super::schedule::Alarm;
use crate::peer::Peer;

/// A source of events.
pub(super) struct Source<N: Network> {
    /// The token that its events carry.
    pub token: Token,
    /// Why the source is queued, or `None` if it is not.
    pub queued: Option<WakeReason>,
    /// The deadline in the schedule.
    pub alarm: Alarm,
    /// The kind of source and its state.
    pub kind: SourceKind<N>,
}

/// Why a source is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakeReason {
    /// An event was reported.
    Event,
    /// The deadline of the source is due.
    Alarm,
    /// The source has work left, or must be checked without an event.
    More,
}

/// The kind of a source.
// Nearly all sources are connections: boxing them would cost an allocation each and save nothing.
#[allow(clippy::large_enum_variant)]
pub(super) enum SourceKind<N: Network> {
    /// A listening socket.
    Listener(Listener<N::Listener>),
    /// A connection and its peer.
    Connection(Peer, Connection<N::Stream>),
    /// A datagram socket.
    Endpoint(Endpoint<N::Datagrams>),
    /// A closed source, whose key stays taken until the end of the turn.
    Closed,
}

impl<N: Network> Source<N> {
    /// Creates a source that is not queued and has no deadline.
    pub(super) fn new(token: Token, kind: SourceKind<N>) -> Source<N> {
        Source { token, queued: None, alarm: Alarm::default(), kind }
    }

    /// Returns what the source is waiting for, if it is a connection that may be evicted and has no event to
    /// handle.
    pub(super) fn standing(&self) -> Option<Standing> {
        match &self.kind {
            SourceKind::Connection(_, connection) if self.queued.is_none() => connection.standing(),
            _ => None,
        }
    }

    /// Returns whether the source belongs to the admin interface.
    pub(super) fn is_admin(&self) -> bool {
        match &self.kind {
            SourceKind::Listener(listener) => listener.kind.is_admin(),
            SourceKind::Connection(_, connection) => connection.is_admin(),
            SourceKind::Endpoint(_) | SourceKind::Closed => false,
        }
    }

    /// Returns the host of a connection's peer.
    pub(super) fn host(&self) -> Option<IpAddr> {
        if let SourceKind::Connection(peer, _) = &self.kind { peer.host() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::network::SystemNetwork;

    #[test]
    fn a_slot_has_at_most_192_bytes() {
        assert!(size_of::<Source<SystemNetwork>>() <= 192, "{}", size_of::<Source<SystemNetwork>>());
    }
}
