//! Listeners: who comes in, and who must wait.

use std::io::{self, ErrorKind, IoSlice};

use rustix::io::Errno;

use super::connection::Connection;
use super::network::Network;
use super::{EventLoop, SourceKind};
use crate::close_reason::CloseReason;
use crate::limits::{ACCEPT_RETRY, TURN_ACCEPTS};
use crate::peer::Peer;
use crate::protocol::Kind;
use crate::transport::Transport;

/// A listening socket in the loop.
#[derive(Debug)]
pub struct Listener<L> {
    /// What is listened on.
    pub socket: L,
    /// What its connections speak.
    pub kind: Kind,
    /// Whether its backlog was left with connections in it. No event will say so again.
    pub accept_pending: bool,
}

impl<L> Listener<L> {
    /// A listener whose backlog nobody has looked into.
    pub fn new(socket: L, kind: Kind) -> Listener<L> {
        Listener { socket, kind, accept_pending: true }
    }
}

impl<N: Network> EventLoop<N> {
    /// Accepts what waits, within the budget. Returns whether more may be waiting that can be
    /// accepted at once.
    pub(super) fn accept(&mut self, key: usize) -> bool {
        let before = self.services.statistics.arrived();
        for _ in 0..TURN_ACCEPTS {
            // It is known beforehand who would make room, but nobody goes until somebody comes.
            let full = self.connections >= self.services.limits.max_connections;
            let idle =
                if full { self.longest_idle.find(&self.sources, self.services.clock.now()) } else { None };
            if full && idle.is_none() {
                self.receive_later(key);
                return false;
            }
            let SourceKind::Listener(listener) = &mut self.sources[key].kind else { return false };
            let kind = listener.kind;
            match self.network.accept(&mut listener.socket) {
                Ok((stream, peer)) => self.admit(stream, peer, kind, idle),
                Err(error) if !self.survive(key, &error) => return false,
                Err(_) => {}
            }
        }
        if self.services.statistics.arrived() == before {
            log::warn!("cannot accept any connection");
            self.receive_later(key);
            return false;
        }
        true
    }

    /// Deals with a failed accept. Returns whether to go on accepting.
    fn survive(&mut self, key: usize, error: &io::Error) -> bool {
        match accept_failure(error) {
            AcceptFailure::Drained => {
                if let SourceKind::Listener(listener) = &mut self.sources[key].kind {
                    listener.accept_pending = false;
                }
                false
            }
            AcceptFailure::ConnectionGone => true,
            AcceptFailure::OutOfDescriptors => self.accept_on_reserve(key),
            AcceptFailure::Unknown => {
                log::warn!("cannot accept a connection: {error}");
                self.receive_later(key);
                false
            }
        }
    }

    /// With no descriptor left: lets the longest idle connection make room, else tells the peer
    /// that the server is busy, so that nobody waits in a backlog that nobody looks into.
    fn accept_on_reserve(&mut self, key: usize) -> bool {
        let SourceKind::Listener(listener) = &mut self.sources[key].kind else { return false };
        let kind = listener.kind;
        let accepted = self.network.accept_on_reserve(&mut listener.socket);
        let go_on = match accepted {
            Ok((stream, peer)) => {
                match self.longest_idle.find(&self.sources, self.services.clock.now()) {
                    Some(idle) => self.admit(stream, peer, kind, Some(idle)),
                    None => self.turn_away(stream, peer, kind),
                }
                true
            }
            Err(error) if accept_failure(&error) == AcceptFailure::Drained => self.survive(key, &error),
            Err(_) => {
                self.receive_later(key);
                false
            }
        };
        self.network.refill_reserve();
        go_on
    }

    /// Takes a connection in, for which `idle` makes room if it must.
    fn admit(&mut self, mut stream: N::Stream, peer: Peer, kind: Kind, idle: Option<usize>) {
        if !self.peers.admit(peer) {
            log::debug!("turned {peer} away: it has its number of connections");
            self.services.statistics.turned_away += 1;
            return;
        }
        let token = self.next_token();
        if let Err(error) = self.network.register(&mut stream, token) {
            log::warn!("cannot watch the connection of {peer}: {error}");
            self.peers.leave(peer);
            return;
        }
        let now = self.services.clock.now();
        let connection = Connection::new(stream, kind.start(now), now);
        let deadline = connection.deadline(&self.services);
        let key = self.insert(token, SourceKind::Connection(peer, connection));
        self.timers.arm(key, &mut self.sources[key].alarm, deadline);
        self.connections += 1;
        self.services.statistics.accepted += 1;
        if let Some(idle) = idle {
            self.close(idle, CloseReason::MadeRoom);
        }
    }

    /// Tells a peer that the server is busy, as far as that goes without waiting. What it has
    /// asked is read so that the close does not reset the connection before the reply is seen.
    fn turn_away(&mut self, mut stream: N::Stream, peer: Peer, kind: Kind) {
        log::debug!("turned {peer} away: no descriptor is left");
        self.services.statistics.turned_away += 1;
        if let reply @ [_, ..] = kind.busy_reply() {
            let _ = stream.send(&[IoSlice::new(reply)], false);
        }
        let _ = stream.shutdown_write();
        let _ = stream.recv(&mut [0; 4096]);
    }

    /// Leaves what waits as it is until some time has passed, or a connection has ended.
    pub(super) fn receive_later(&mut self, key: usize) {
        let source = &mut self.sources[key];
        self.timers.arm(key, &mut source.alarm, self.services.clock.now() + ACCEPT_RETRY);
    }
}

/// What to do after an accept failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptFailure {
    /// The backlog is empty: wait for an event.
    Drained,
    /// That connection is gone: go on with the next.
    ConnectionGone,
    /// No descriptor or memory is left: make room.
    OutOfDescriptors,
    /// Something else: try later.
    Unknown,
}

/// Sorts the errors of accept(2). Linux passes on what the new connection has run into already.
fn accept_failure(error: &io::Error) -> AcceptFailure {
    match (error.kind(), Errno::from_io_error(error)) {
        (ErrorKind::WouldBlock, _) => AcceptFailure::Drained,
        (_, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
            AcceptFailure::OutOfDescriptors
        }
        (
            _,
            Some(
                Errno::CONNABORTED
                | Errno::INTR
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::TIMEDOUT,
            ),
        ) => AcceptFailure::ConnectionGone,
        _ => AcceptFailure::Unknown,
    }
}
