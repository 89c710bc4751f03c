//! Accepts connections, or leaves them in the backlog until there is room.

use std::io::{self, IoSlice};

use super::EventLoop;
use super::connection::Connection;
use super::eviction::NoVictim;
use super::listener::{AcceptFailure, Listener, accept_failure};
use super::network::Network;
use super::source::SourceKind;
use crate::clock::Instant;
use crate::limits::{ACCEPT_RETRY, ADMIN_CONNECTIONS_MAX, TURN_ACCEPTS};
use crate::peer::Peer;
use crate::protocol::Kind;
use crate::transport::Transport;

impl<N: Network> EventLoop<N> {
    /// Accepts up to [`TURN_ACCEPTS`] connections. Returns whether the backlog may hold more that can be
    /// accepted at once.
    pub(super) fn accept(&mut self, key: usize) -> bool {
        let SourceKind::Listener(Listener { kind, .. }) = self.sources[key].kind else { return false };
        let before = self.services.statistics_of(kind.is_admin()).arrived();
        for _ in 0..TURN_ACCEPTS {
            // If nothing can be evicted, the connection stays in the backlog. The eviction happens only after
            // the accept succeeds, so that a failed accept closes no connection.
            let victim = match self.is_full(kind).then(|| self.find_victim(kind)).transpose() {
                Ok(victim) => victim,
                // While all are busy, only the end of a connection makes a place, and wakes the listener.
                Err(NoVictim { all_busy: true, .. }) => {
                    self.back_off(key);
                    return false;
                }
                Err(NoVictim { retry, .. }) => {
                    self.retry_at(key, retry);
                    return false;
                }
            };
            let SourceKind::Listener(listener) = &mut self.sources[key].kind else { return false };
            match self.network.accept(&mut listener.socket) {
                Ok((stream, peer)) => self.admit(stream, peer, kind, victim),
                Err(error) if !self.on_accept_error(key, &error) => return false,
                Err(_) => {}
            }
        }
        if self.services.statistics_of(kind.is_admin()).arrived() == before {
            log::warn!("every accept of a turn failed; connections wait until the next retry");
            self.back_off(key);
            return false;
        }
        true
    }

    /// Handles a failed accept. Returns whether to continue accepting.
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

    /// Returns whether a new connection needs the place of another one.
    fn is_full(&self, kind: Kind) -> bool {
        match kind {
            Kind::Admin => self.admins.len() >= ADMIN_CONNECTIONS_MAX,
            _ => self.connections >= self.services.core.limits.max_connections,
        }
    }

    /// Returns the key of the connection to evict for a new one.
    fn find_victim(&mut self, kind: Kind) -> Result<usize, NoVictim> {
        let now = self.services.core.clock.now.monotonic;
        if !kind.is_admin() {
            return self.eviction.find(&self.sources, now);
        }
        let waiting = self.admins.iter().filter_map(|key| Some((self.sources[*key].standing()?, *key)));
        let victim = waiting.min().map(|(_, key)| key);
        victim.ok_or(NoVictim { retry: now + ACCEPT_RETRY, all_busy: true })
    }

    /// Accepts a connection when no descriptor is left, by giving up the reserved one. Evicts another
    /// connection or, if all are busy, sends the busy reply, so that connections do not stay in a backlog
    /// that is never read.
    fn accept_on_reserve(&mut self, key: usize) -> bool {
        let SourceKind::Listener(Listener { kind, .. }) = self.sources[key].kind else { return false };
        let victim = match self.find_victim(kind) {
            Ok(victim) => Some(victim),
            Err(NoVictim { all_busy: true, .. }) => None,
            Err(NoVictim { retry, .. }) => {
                self.retry_at(key, retry);
                return false;
            }
        };
        let SourceKind::Listener(listener) = &mut self.sources[key].kind else { return false };
        let accepted = self.network.accept_on_reserve(&mut listener.socket);
        let may_continue = match accepted {
            Ok((stream, peer)) => {
                match victim {
                    Some(_) => self.admit(stream, peer, kind, victim),
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
        may_continue
    }

    /// Adds an accepted connection to the loop and evicts `victim`. Drops the connection if its client
    /// already has too many.
    fn admit(&mut self, mut stream: N::Stream, peer: Peer, kind: Kind, victim: Option<usize>) {
        let is_admin = kind.is_admin();
        if !is_admin && !self.peers.try_add(peer) {
            log::debug!("rejected {peer}: it already has --max-per-client connections");
            self.services.statistics.turned_away += 1;
            return;
        }
        let token = self.next_token();
        if let Err(error) = self.network.register(&mut stream, token) {
            log::warn!("cannot register the connection of {peer} with the poll: {error}");
            if !is_admin {
                self.peers.remove(peer);
            }
            return;
        }
        let now = self.services.core.clock.now.monotonic;
        let connection = Connection::new(stream, kind.start(now), now);
        let deadline = connection.deadline(&self.services.core);
        let key = self.insert(token, SourceKind::Connection(peer, connection));
        self.schedule.arm(key, &mut self.sources[key].alarm, deadline);
        if is_admin {
            self.admins.push(key);
        } else {
            self.connections += 1;
        }
        self.services.statistics_of(is_admin).accepted += 1;
        if let Some(victim) = victim
            && let SourceKind::Connection(_, connection) = &self.sources[victim].kind
        {
            self.close(victim, connection.eviction_reason());
        }
    }

    /// Sends the busy reply without waiting for the socket, then closes the connection. Reads pending input
    /// before the close: a close with unread input resets the connection and may destroy the reply.
    fn reject(&mut self, mut stream: N::Stream, peer: Peer, kind: Kind) {
        log::debug!("rejected {peer}: no file descriptor is free");
        self.services.statistics_of(kind.is_admin()).turned_away += 1;
        if let reply @ [_, ..] = kind.busy_reply() {
            let _ = stream.send(&[IoSlice::new(reply)], false);
        }
        let _ = stream.shutdown_write();
        let _ = stream.recv(&mut [0; 4096]);
    }

    /// Retries the listener or endpoint after [`ACCEPT_RETRY`]. A listener is retried earlier if a connection
    /// closes.
    pub(super) fn back_off(&mut self, key: usize) {
        self.retry_at(key, self.services.core.clock.now.monotonic + ACCEPT_RETRY);
    }

    fn retry_at(&mut self, key: usize, time: Instant) {
        let source = &mut self.sources[key];
        self.schedule.arm(key, &mut source.alarm, time);
    }
}
