//! Accepting: which connections come in, and which must wait.

use std::io::{self, IoSlice};

use super::EventLoop;
use super::connection::Connection;
use super::listener::{AcceptFailure, accept_failure};
use super::network::Network;
use super::source::SourceKind;
use crate::close_reason::CloseReason;
use crate::limits::{ACCEPT_RETRY, TURN_ACCEPTS};
use crate::peer::Peer;
use crate::protocol::Kind;
use crate::transport::Transport;

impl<N: Network> EventLoop<N> {
    /// Accepts what waits, within the budget. Returns whether more may be waiting that can be
    /// accepted at once.
    pub(super) fn accept(&mut self, key: usize) -> bool {
        let before = self.services.core.statistics.arrived();
        for _ in 0..TURN_ACCEPTS {
            // The connection to evict is found first, and evicted only once a new one was accepted.
            let full = self.connections >= self.services.core.limits.max_connections;
            let idle = if full {
                self.idle_eviction.find(&self.sources, self.services.core.clock.now.monotonic)
            } else {
                None
            };
            if full && idle.is_none() {
                self.back_off(key);
                return false;
            }
            let SourceKind::Listener(listener) = &mut self.sources[key].kind else { return false };
            let kind = listener.kind;
            match self.network.accept(&mut listener.socket) {
                Ok((stream, peer)) => self.admit(stream, peer, kind, idle),
                Err(error) if !self.on_accept_error(key, &error) => return false,
                Err(_) => {}
            }
        }
        if self.services.core.statistics.arrived() == before {
            log::warn!("cannot accept any connection");
            self.back_off(key);
            return false;
        }
        true
    }

    /// Deals with a failed accept. Returns whether to go on accepting.
    fn on_accept_error(&mut self, key: usize, error: &io::Error) -> bool {
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
                self.back_off(key);
                false
            }
        }
    }

    /// With no descriptor left: lets the longest idle connection make room, else tells the peer
    /// that the server is busy, so that no peer waits in a backlog that is not read.
    fn accept_on_reserve(&mut self, key: usize) -> bool {
        let SourceKind::Listener(listener) = &mut self.sources[key].kind else { return false };
        let kind = listener.kind;
        let accepted = self.network.accept_on_reserve(&mut listener.socket);
        let go_on = match accepted {
            Ok((stream, peer)) => {
                match self.idle_eviction.find(&self.sources, self.services.core.clock.now.monotonic) {
                    Some(idle) => self.admit(stream, peer, kind, Some(idle)),
                    None => self.reject(stream, peer, kind),
                }
                true
            }
            Err(error) if accept_failure(&error) == AcceptFailure::Drained => {
                self.on_accept_error(key, &error)
            }
            Err(_) => {
                self.back_off(key);
                false
            }
        };
        self.network.refill_reserve();
        go_on
    }

    /// Takes a connection in, for which `idle` makes room if it must.
    fn admit(&mut self, mut stream: N::Stream, peer: Peer, kind: Kind, idle: Option<usize>) {
        if !self.peers.try_add(peer) {
            log::debug!("turned {peer} away: it has its number of connections");
            self.services.core.statistics.turned_away += 1;
            return;
        }
        let token = self.next_token();
        if let Err(error) = self.network.register(&mut stream, token) {
            log::warn!("cannot watch the connection of {peer}: {error}");
            self.peers.remove(peer);
            return;
        }
        let now = self.services.core.clock.now.monotonic;
        let connection = Connection::new(stream, kind.start(now), now);
        let deadline = connection.deadline(&self.services.core);
        let key = self.insert(token, SourceKind::Connection(peer, connection));
        self.schedule.arm(key, &mut self.sources[key].alarm, deadline);
        self.connections += 1;
        self.services.core.statistics.accepted += 1;
        if let Some(idle) = idle {
            self.close(idle, CloseReason::Evicted);
        }
    }

    /// Tells a peer that the server is busy, as far as that goes without waiting. What it has
    /// asked is read so that the close does not reset the connection before the reply is seen.
    fn reject(&mut self, mut stream: N::Stream, peer: Peer, kind: Kind) {
        log::debug!("turned {peer} away: no descriptor is left");
        self.services.core.statistics.turned_away += 1;
        if let reply @ [_, ..] = kind.busy_reply() {
            let _ = stream.send(&[IoSlice::new(reply)], false);
        }
        let _ = stream.shutdown_write();
        let _ = stream.recv(&mut [0; 4096]);
    }

    /// Leaves what waits as it is until some time has passed, or a connection has ended.
    pub(super) fn back_off(&mut self, key: usize) {
        let source = &mut self.sources[key];
        self.schedule.arm(key, &mut source.alarm, self.services.core.clock.now.monotonic + ACCEPT_RETRY);
    }
}
