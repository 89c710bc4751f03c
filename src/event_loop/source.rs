//! What stands in the loop's slab.

use std::time::Instant;

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::event::Token;
use super::listener::Listener;
use super::network::Network;
use super::schedule::Alarm;
use crate::peer::Peer;

/// Something that events are about.
pub(super) struct Source<N: Network> {
    /// What its events carry.
    pub token: Token,
    /// Why its key is in the ready queue, if it is.
    pub queued: Option<WakeReason>,
    /// Its deadline in the schedule.
    pub alarm: Alarm,
    /// What it is.
    pub kind: SourceKind<N>,
}

/// Why a source is to be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakeReason {
    /// An event came.
    Event,
    /// Its alarm went off.
    Alarm,
    /// It has more to do than fits into a turn, or is to be looked at without an event.
    More,
}

/// What a source is.
// Nearly all sources are connections: a box would cost them an allocation to save nothing.
#[allow(clippy::large_enum_variant)]
pub(super) enum SourceKind<N: Network> {
    /// Where connections come from.
    Listener(Listener<N::Listener>),
    /// One of them, and whose it is.
    Connection(Peer, Connection<N::Stream>),
    /// Where datagrams come from.
    Endpoint(Endpoint<N::Datagrams>),
    /// It is gone; only its key is still taken.
    Closed,
}

impl<N: Network> Source<N> {
    /// A source that nothing has happened to.
    pub(super) fn new(token: Token, kind: SourceKind<N>) -> Source<N> {
        Source { token, queued: None, alarm: Alarm::default(), kind }
    }

    /// Since when it has been an idle connection, if it is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match &self.kind {
            SourceKind::Connection(_, connection) => connection.idle_since(),
            _ => None,
        }
    }
}
