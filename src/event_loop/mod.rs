//! The event loop: turns readiness events into work. It knows no protocol and reads neither clock nor poll:
//! [`EventLoop::turn`] takes the time and the events as values. The [`Runner`] around it reads both from the
//! system, and the trace reads the clock to measure durations.

mod accept;
mod connection;
mod drain;
mod endpoint;
mod event;
mod eviction;
mod inspect;
mod listener;
mod network;
mod peers;
mod run;
mod schedule;
mod source;
mod trace;

use std::io::{self, Write};
use std::time::Duration;

use slab::Slab;

use crate::clock::{Instant, Now, calls};
use crate::close_reason::CloseReason;
use crate::limits::{STALL, TURN_ACCEPTS};
use crate::protocol::Kind;
use crate::services::Services;
use crate::transport::HandshakeBudget;

use connection::{Progress, Scratch};
use endpoint::{Endpoint, ReceiveStatus};
pub use event::{Readiness, Token};
use eviction::Eviction;
use listener::Listener;
pub use network::{ListeningSocket, Network, SystemListener, SystemNetwork};
use peers::Peers;
pub use run::{Runner, Shutdown};
use schedule::Schedule;
use source::{Source, SourceKind, WakeReason};
use trace::Trace;

/// The sources that one thread serves, and the services lent to their protocols.
pub struct EventLoop<N: Network> {
    network: N,
    sources: Slab<Source<N>>,
    /// The number of sources created so far, which makes tokens unique.
    generation: usize,
    listeners: Vec<usize>,
    schedule: Schedule,
    /// Keys of closed sources. They leave the slab at the end of the turn, so that no key is reused within a
    /// turn.
    closed_keys: Vec<usize>,
    scratch: Scratch,
    services: Services,
    peers: Peers,
    /// The number of connections, without those to the admin interface.
    connections: usize,
    /// The keys of the connections to the admin interface.
    admins: Vec<usize>,
    eviction: Eviction,
    trace: Option<Box<Trace>>,
}

impl<N: Network> EventLoop<N> {
    /// Creates a loop without sources.
    pub fn new(network: N, mut services: Services) -> EventLoop<N> {
        let limits = &mut services.core.limits;
        limits.max_connections = limits.max_connections.min(Token::KEYS_MAX - TURN_ACCEPTS);
        EventLoop {
            network,
            sources: Slab::new(),
            generation: 0,
            listeners: Vec::new(),
            schedule: Schedule::default(),
            closed_keys: Vec::new(),
            scratch: Scratch::default(),
            peers: Peers::new(limits.max_per_client),
            services,
            connections: 0,
            admins: Vec::new(),
            eviction: Eviction::default(),
            trace: None,
        }
    }

    /// Starts to accept connections from `socket` and to serve protocol `kind` on them.
    pub fn listen(&mut self, mut socket: N::Listener, kind: Kind) -> io::Result<()> {
        let token = self.next_token();
        self.network.register_listener(&mut socket, token)?;
        let key = self.insert(token, SourceKind::Listener(Listener::new(socket, kind)));
        self.listeners.push(key);
        self.queue(key, WakeReason::More);
        Ok(())
    }

    /// Starts to reply to datagrams on `socket` with protocol `kind`. `port` is the local port of the socket.
    pub fn listen_datagrams(&mut self, mut socket: N::Datagrams, port: u16, kind: Kind) -> io::Result<()> {
        let token = self.next_token();
        self.network.register_datagrams(&mut socket, token)?;
        let key = self.insert(token, SourceKind::Endpoint(Endpoint::new(socket, kind)));
        self.services.core.datagram_ports.push(port);
        self.listeners.push(key);
        self.queue(key, WakeReason::More);
        Ok(())
    }

    /// Starts to write a trace of every turn to `out`.
    pub fn trace(&mut self, out: Box<dyn Write>) {
        self.trace = Some(Box::new(Trace::new(out)));
    }

    /// Handles the events and the deadlines that are due, each source within its budget. Returns how long to
    /// sleep if no event arrives; `None` means forever.
    pub fn turn(&mut self, now: Now, events: impl IntoIterator<Item = Readiness>) -> Option<Duration> {
        if let Some(mut trace) = self.trace.take() {
            let events = trace.begin(events, &self.services.all_statistics());
            let timeout = self.turn_by(now, events, |event_loop, key| {
                let begun = trace.begin_drive(key, &event_loop.sources[key]);
                event_loop.drive(key);
                let has_more = event_loop.sources[key].queued.is_some();
                trace.end_drive(begun, has_more, &event_loop.services.all_statistics());
            });
            trace.end(timeout, &self.services.all_statistics());
            self.trace = Some(trace);
            return timeout;
        }
        self.turn_by(now, events, EventLoop::drive)
    }

    /// Runs a turn in which `drive` drives the queued sources.
    fn turn_by(
        &mut self,
        now: Now,
        events: impl IntoIterator<Item = Readiness>,
        mut drive: impl FnMut(&mut EventLoop<N>, usize),
    ) -> Option<Duration> {
        self.services.begin_turn(now);
        self.services.core.recorder.begin(now.monotonic);
        self.scratch.handshakes = HandshakeBudget::default();
        for readiness in events {
            self.services.core.recorder.turn.events += 1;
            self.set_readiness(readiness);
        }
        while let Some(key) = self.schedule.pop_due(now.monotonic) {
            self.sources[key].alarm.clear();
            self.queue(key, WakeReason::Alarm);
        }
        let mut turn = self.schedule.turn();
        while self.scratch.handshakes.is_left()
            && let Some(key) = self.schedule.pop_handshake(&mut turn)
        {
            drive(self, key);
            self.log_sent(key);
        }
        while let Some(key) = self.schedule.pop(&mut turn) {
            drive(self, key);
            self.log_sent(key);
        }
        calls::driving(0);
        if self.drain_until().is_some_and(|until| until <= now.monotonic) {
            self.abort_remaining();
        }
        if self.services.core.inspector.is_active() {
            self.inspect();
        }
        self.reap();
        let background = self.services.run_background_tasks();
        self.timeout(now.monotonic, background)
    }

    /// Records the turn, which ended at `now`.
    pub fn end_turn(&mut self, now: Instant) {
        let recorder = &mut self.services.core.recorder;
        let worked = recorder.end(now);
        if worked >= STALL {
            recorder.report_stall(self.services.core.clock.now.wall, worked);
        } else {
            calls::reset();
        }
    }

    /// Returns the number of open connections, without those to the admin interface.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Returns the bytes of memory held in the buffers of all connections.
    pub fn buffered(&self) -> usize {
        let connections = self.sources.iter().filter_map(|(_, source)| match &source.kind {
            SourceKind::Connection(_, connection) => Some(connection.buffered()),
            _ => None,
        });
        connections.sum()
    }

    /// Reopens the logs, as after a rotation, and folders that were replaced, and reads certificates again.
    pub fn reload(&mut self, now: Now) {
        self.services.reload();
        self.network.reload(now);
    }

    /// Returns the services lent to the protocols.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Returns the services lent to the protocols, to change them.
    pub fn services_mut(&mut self) -> &mut Services {
        &mut self.services
    }

    fn next_token(&mut self) -> Token {
        self.generation = self.generation.wrapping_add(1);
        Token::new(self.sources.vacant_key(), self.generation)
    }

    fn insert(&mut self, token: Token, kind: SourceKind<N>) -> usize {
        self.sources.insert(Source::new(token, kind))
    }

    fn set_readiness(&mut self, readiness: Readiness) {
        let key = readiness.token.key();
        let Some(source) = self.sources.get_mut(key).filter(|source| source.token == readiness.token) else {
            return;
        };
        match &mut source.kind {
            SourceKind::Listener(listener) => listener.accept_pending = true,
            SourceKind::Connection(_, connection) => connection.set_readiness(readiness),
            SourceKind::Endpoint(_) => {}
            SourceKind::Closed => return,
        }
        self.queue(key, WakeReason::Event);
    }

    fn queue(&mut self, key: usize, cause: WakeReason) {
        let source = &mut self.sources[key];
        if source.queued.is_some() {
            return;
        }
        source.queued = Some(cause);
        match &source.kind {
            // The admin interface answers before the others.
            SourceKind::Connection(_, connection) if connection.is_bulk() && !connection.is_admin() => {
                self.schedule.push_low_priority(key);
            }
            _ => self.schedule.push(key),
        }
    }

    fn drive(&mut self, key: usize) {
        let source = &mut self.sources[key];
        source.queued = None;
        self.services.core.recorder.turn.driven += 1;
        match &mut source.kind {
            SourceKind::Connection(peer, connection) => {
                let number = source.token.generation();
                calls::driving(number);
                let is_admin = connection.is_admin();
                let mut cx = match is_admin {
                    true => self.services.admin_context(*peer, number),
                    false => self.services.context_of(*peer, number, connection.is_encrypted()),
                };
                match connection.drive(&mut self.scratch, &mut cx) {
                    Progress::Waiting(until) => self.schedule.arm(key, &mut source.alarm, until),
                    Progress::Yielding => {
                        source.queued = Some(WakeReason::More);
                        self.services.core.recorder.turn.budget_hits += u32::from(!is_admin);
                        if is_admin {
                            // Its questions are answered at the end of a turn, for the next turn.
                            self.schedule.push(key);
                        } else if connection.is_shaking_hands() {
                            self.schedule.push_handshake(key);
                        } else {
                            self.schedule.push_low_priority(key);
                        }
                    }
                    Progress::Closed(reason) => self.close(key, reason),
                }
            }
            SourceKind::Listener(_) | SourceKind::Endpoint(_) => {
                calls::driving(0);
                if self.receive(key) {
                    self.queue(key, WakeReason::More);
                }
            }
            SourceKind::Closed => {}
        }
    }

    /// Accepts connections or receives datagrams, within the budget. Returns whether there may be more.
    fn receive(&mut self, key: usize) -> bool {
        match &mut self.sources[key].kind {
            SourceKind::Endpoint(endpoint) => {
                match endpoint.drive(&mut self.scratch.input, &mut self.services) {
                    ReceiveStatus::Drained => false,
                    ReceiveStatus::MayHaveMore => true,
                    ReceiveStatus::Failing => {
                        log::warn!("every receive of a turn failed; datagrams wait until the next retry");
                        self.back_off(key);
                        false
                    }
                }
            }
            _ => self.accept(key),
        }
    }

    /// Completes the lines of the access log whose responses a connection has sent, after it was driven.
    fn log_sent(&mut self, key: usize) {
        if self.services.http.access_log.is_none() {
            return;
        }
        let source = &self.sources[key];
        if let SourceKind::Connection(_, connection) = &source.kind {
            connection.log_sent(source.token.generation(), &mut self.services);
        }
    }

    /// Closes a connection. Frees its descriptor at once, and its key at the end of the turn.
    fn close(&mut self, key: usize, reason: CloseReason) {
        let source = &mut self.sources[key];
        if let SourceKind::Connection(peer, connection) = &mut source.kind {
            connection.log_end(source.token.generation(), Some(reason), &mut self.services);
            connection.end(reason);
            log::debug!("closed {peer}: {reason}");
            let is_admin = connection.is_admin();
            self.services.core.inspector.forget(source.token.generation());
            self.services.statistics_of(is_admin).count_end(reason);
            if is_admin {
                self.admins.retain(|admin| *admin != key);
            } else {
                self.peers.remove(*peer);
                self.connections -= 1;
            }
        }
        self.remove(key);
    }

    fn remove(&mut self, key: usize) {
        let source = &mut self.sources[key];
        self.schedule.disarm(key, &mut source.alarm);
        source.kind = SourceKind::Closed;
        self.closed_keys.push(key);
    }

    /// Frees the keys of closed sources. Listeners waiting for a slot may accept again.
    fn reap(&mut self) {
        if self.closed_keys.is_empty() {
            return;
        }
        for key in self.closed_keys.drain(..) {
            debug_assert!(self.sources[key].queued.is_none());
            self.sources.remove(key);
        }
        self.network.refill_reserve();
        for index in 0..self.listeners.len() {
            let key = self.listeners[index];
            if matches!(&self.sources[key].kind, SourceKind::Listener(listener) if listener.accept_pending) {
                self.queue(key, WakeReason::More);
            }
        }
    }

    fn timeout(&self, now: Instant, background: Option<Instant>) -> Option<Duration> {
        if self.schedule.has_ready() {
            return Some(Duration::ZERO);
        }
        let next = [self.schedule.next_due(), self.drain_until(), background].into_iter().flatten().min();
        next.map(|next| next.saturating_duration_since(now))
    }
}
