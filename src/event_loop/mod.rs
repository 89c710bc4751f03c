//! The event loop: readiness in, turns out. It knows no protocol, and no clock or poll either:
//! [`EventLoop::turn`] takes the time and the events as values; only the [`Runner`] around it asks
//! the system, and the trace, for the time that things took.

mod connection;
mod delivery;
mod drain;
mod endpoint;
mod idle;
mod intake;
mod listener;
mod network;
mod peers;
mod ready;
mod run;
mod scratch;
mod source;
mod timers;
mod token;
mod trace;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use slab::Slab;

use crate::clock::Now;
use crate::close_reason::CloseReason;
use crate::limits::TURN_ACCEPTS;
use crate::protocol::Kind;
use crate::services::Services;

use connection::Progress;
use endpoint::{Endpoint, Rest};
use idle::LongestIdle;
use listener::Listener;
pub use network::{Network, Readiness, SystemListener, SystemNetwork};
use peers::Peers;
use ready::Ready;
pub use run::{Ended, Runner};
use scratch::Scratch;
use source::{Cause, Source, SourceKind};
use timers::Timers;
pub use token::Token;
use trace::Trace;

/// All that one thread serves.
pub struct EventLoop<N: Network> {
    network: N,
    sources: Slab<Source<N>>,
    /// Counts the sources there have been.
    generation: usize,
    listeners: Vec<usize>,
    ready: Ready,
    /// Keys whose sources are gone. They leave the slab at the end of the turn, so that no key is
    /// used twice within one.
    doomed: Vec<usize>,
    timers: Timers,
    scratch: Scratch,
    services: Services,
    peers: Peers,
    connections: usize,
    longest_idle: LongestIdle,
    trace: Option<Box<Trace>>,
}

impl<N: Network> EventLoop<N> {
    /// A loop that has nothing to do yet.
    pub fn new(network: N, mut services: Services) -> EventLoop<N> {
        let limits = &mut services.limits;
        limits.max_connections = limits.max_connections.min(Token::KEYS_MAX - TURN_ACCEPTS);
        EventLoop {
            network,
            sources: Slab::new(),
            generation: 0,
            listeners: Vec::new(),
            ready: Ready::default(),
            doomed: Vec::new(),
            timers: Timers::default(),
            scratch: Scratch::new(),
            peers: Peers::new(limits.max_per_client),
            services,
            connections: 0,
            longest_idle: LongestIdle::default(),
            trace: None,
        }
    }

    /// Accepts connections from `socket` from now on, which speak `kind`.
    pub fn listen(&mut self, mut socket: N::Listener, kind: Kind) -> io::Result<()> {
        let token = self.next_token();
        self.network.register_listener(&mut socket, token)?;
        let key = self.insert(token, SourceKind::Listener(Listener::new(socket, kind)));
        self.listeners.push(key);
        self.queue(key, Cause::More);
        Ok(())
    }

    /// Answers datagrams that come to `socket`, which has this port, from now on; they speak `kind`.
    pub fn listen_datagrams(&mut self, mut socket: N::Datagrams, port: u16, kind: Kind) -> io::Result<()> {
        let token = self.next_token();
        self.network.register_datagrams(&mut socket, token)?;
        let key = self.insert(token, SourceKind::Endpoint(Endpoint::new(socket, kind)));
        self.services.endpoints.push(port);
        self.listeners.push(key);
        self.queue(key, Cause::More);
        Ok(())
    }

    /// Writes down what every turn does from now on.
    pub fn trace(&mut self, out: Box<dyn Write>) {
        self.trace = Some(Box::new(Trace::new(out)));
    }

    /// Does all that `events` and the time ask for, within everyone's budget. Returns how long to
    /// sleep if no event comes; `None` is for ever.
    pub fn turn(&mut self, now: Now, events: impl IntoIterator<Item = Readiness>) -> Option<Duration> {
        if let Some(mut trace) = self.trace.take() {
            let events = trace.begin(self, events);
            let timeout = self.turn_by(now, events, |event_loop, key| trace.drive(event_loop, key));
            trace.end(self, timeout);
            self.trace = Some(trace);
            return timeout;
        }
        self.turn_by(now, events, EventLoop::drive)
    }

    /// A turn in which `drive` drives those that are ready.
    fn turn_by(
        &mut self,
        now: Now,
        events: impl IntoIterator<Item = Readiness>,
        mut drive: impl FnMut(&mut EventLoop<N>, usize),
    ) -> Option<Duration> {
        self.services.clock.advance(now);
        for readiness in events {
            self.note(readiness);
        }
        self.queue_due(now.monotonic);
        let mut turn = self.ready.turn();
        while let Some(key) = self.ready.pop(&mut turn) {
            drive(self, key);
        }
        if self.drain_until().is_some_and(|until| until <= now.monotonic) {
            self.cut_off();
        }
        self.bury();
        let housekeeping = self.services.housekeep();
        self.timeout(now.monotonic, housekeeping)
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Bytes of memory that all connections hold in buffers.
    pub fn buffered(&self) -> usize {
        let connections = self.sources.iter().filter_map(|(_, source)| match &source.kind {
            SourceKind::Connection(_, connection) => Some(connection.buffered()),
            _ => None,
        });
        connections.sum()
    }

    /// Opens the logs anew, as after a rotation.
    pub fn reopen_logs(&mut self) {
        self.services.logs.reopen();
    }

    /// What is lent to the protocols.
    pub fn services(&self) -> &Services {
        &self.services
    }

    fn next_token(&mut self) -> Token {
        self.generation = self.generation.wrapping_add(1);
        Token::new(self.sources.vacant_key(), self.generation)
    }

    fn insert(&mut self, token: Token, kind: SourceKind<N>) -> usize {
        self.sources.insert(Source::new(token, kind))
    }

    fn note(&mut self, readiness: Readiness) {
        let key = readiness.token.key();
        let Some(source) = self.sources.get_mut(key).filter(|source| source.token == readiness.token) else {
            return;
        };
        match &mut source.kind {
            SourceKind::Listener(listener) => listener.accept_pending = true,
            SourceKind::Connection(_, connection) => connection.note(readiness),
            SourceKind::Endpoint(_) => {}
            SourceKind::Doomed => return,
        }
        self.queue(key, Cause::Event);
    }

    fn queue(&mut self, key: usize, cause: Cause) {
        let source = &mut self.sources[key];
        if source.queued.is_none() {
            source.queued = Some(cause);
            self.ready.push(key);
        }
    }

    fn queue_due(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_due(now) {
            self.sources[key].alarm.clear();
            self.queue(key, Cause::Alarm);
        }
    }

    fn drive(&mut self, key: usize) {
        let source = &mut self.sources[key];
        source.queued = None;
        match &mut source.kind {
            SourceKind::Connection(peer, connection) => {
                self.services.peer = *peer;
                match connection.drive(&mut self.scratch, &mut self.services) {
                    Progress::Waiting(until) => self.timers.arm(key, &mut source.alarm, until),
                    Progress::Yielding => {
                        source.queued = Some(Cause::More);
                        self.ready.push_bulk(key);
                    }
                    Progress::Closed(reason) => self.close(key, reason),
                }
            }
            SourceKind::Listener(_) | SourceKind::Endpoint(_) => {
                if self.receive(key) {
                    self.queue(key, Cause::More);
                }
            }
            SourceKind::Doomed => {}
        }
    }

    /// Takes the connections or datagrams that wait for one that listens, within the budget.
    /// Returns whether there may be more.
    fn receive(&mut self, key: usize) -> bool {
        match &mut self.sources[key].kind {
            SourceKind::Endpoint(endpoint) => {
                match endpoint.drive(&mut self.scratch.input, &mut self.services) {
                    Rest::Nothing => false,
                    Rest::Perhaps => true,
                    Rest::Errors => {
                        log::warn!("cannot receive any datagram");
                        self.receive_later(key);
                        false
                    }
                }
            }
            _ => self.accept(key),
        }
    }

    /// Ends a connection. Its descriptor is free at once, its key at the end of the turn.
    fn close(&mut self, key: usize, reason: CloseReason) {
        if let SourceKind::Connection(peer, _) = &self.sources[key].kind {
            log::debug!("closed {peer}: {reason}");
            self.peers.leave(*peer);
            self.connections -= 1;
            self.services.statistics.count_end(reason);
        }
        self.remove(key);
    }

    fn remove(&mut self, key: usize) {
        let source = &mut self.sources[key];
        self.timers.disarm(key, &mut source.alarm);
        source.kind = SourceKind::Doomed;
        self.doomed.push(key);
    }

    /// Frees the keys of the doomed. Whom they kept waiting may come in.
    fn bury(&mut self) {
        if self.doomed.is_empty() {
            return;
        }
        for key in self.doomed.drain(..) {
            debug_assert!(self.sources[key].queued.is_none());
            self.sources.remove(key);
        }
        self.network.refill_reserve();
        for index in 0..self.listeners.len() {
            let key = self.listeners[index];
            if matches!(&self.sources[key].kind, SourceKind::Listener(listener) if listener.accept_pending) {
                self.queue(key, Cause::More);
            }
        }
    }

    fn timeout(&self, now: Instant, housekeeping: Option<Instant>) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = [self.timers.next(), self.drain_until(), housekeeping].into_iter().flatten().min();
        next.map(|next| next.saturating_duration_since(now))
    }
}
