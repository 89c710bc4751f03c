//! The real loop over the simulated network and a virtual clock, with invariants that are checked after every
//! turn. To add an invariant, add it to `Simulation::turn`. Everything depends on a seed, which a failure
//! prints.
//!
//! `EVSERVE_SEEDS=1000 cargo test simulation` runs more seeds, `EVSERVE_SEED=7` runs one.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use evserve::clock::Now;
use evserve::event_loop::{EventLoop, Readiness, Token};
use evserve::limits::{
    DISK_RETRY, INBOX_MAX_BYTES, Limits, OUTBOX_MAX_BYTES, TURN_READ_BYTES, TURN_WRITE_BYTES,
};
use evserve::observe::{Activity, AtDeadline, Census, ConnectionStatus};
use evserve::protocol::Kind;
use evserve::services::Template;
use evserve::services::{Detail, Services};
use evserve::site::Rules;
use evserve::transport::tls::TlsAcceptor;

use super::network::{Backlog, SimNetwork};
use super::peers::SimPeer;
use super::site::WithDisk;
use super::tls_peer;
use crate::conversation::{no_library, start};

pub struct Simulation {
    pub random: fastrand::Rng,
    pub backlog: Rc<RefCell<Backlog>>,
    pub event_loop: EventLoop<SimNetwork>,
    pub peers: Vec<SimPeer>,
    pub now: Now,
    pub timeout: Option<Duration>,
    /// Whether the peers speak TLS.
    pub is_encrypted: bool,
}

impl Simulation {
    pub fn new(seed: u64, limits: Limits) -> Simulation {
        Simulation::with_protocol(Kind::Http, seed, limits)
    }

    /// Like [`Simulation::with_protocol`], in plain and in TLS.
    pub fn both(kind: Kind, seed: u64, limits: Limits) -> Vec<Simulation> {
        let mut both = vec![Simulation::with_protocol(kind, seed, limits.clone())];
        if cfg!(feature = "tls") {
            both.push(Simulation::over_tls(kind, seed, limits));
        }
        both
    }

    pub fn with_protocol(kind: Kind, seed: u64, limits: Limits) -> Simulation {
        let now = start();
        Simulation::with_services(kind, seed, services(limits, now), now, None)
    }

    /// Serves connections in TLS.
    pub fn over_tls(kind: Kind, seed: u64, limits: Limits) -> Simulation {
        let now = start();
        Simulation::with_services(kind, seed, services(limits, now), now, Some(tls_peer::acceptor(now)))
    }

    pub fn with_services(
        kind: Kind,
        seed: u64,
        services: Services,
        now: Now,
        tls: Option<Rc<TlsAcceptor>>,
    ) -> Simulation {
        let backlog = Rc::new(RefCell::new(Backlog::default()));
        let is_encrypted = tls.is_some();
        let mut event_loop = EventLoop::new(SimNetwork(Rc::clone(&backlog), tls), services);
        event_loop.listen((), kind).unwrap();
        let random = fastrand::Rng::with_seed(seed);
        Simulation { random, backlog, event_loop, peers: Vec::new(), now, timeout: None, is_encrypted }
    }

    /// Connects a random peer.
    pub fn connect(&mut self, faults: u8) {
        let peer = SimPeer::new(&mut self.random, faults);
        self.add(peer);
    }

    /// Connects a peer.
    pub fn add(&mut self, mut peer: SimPeer) {
        if self.is_encrypted && !peer.is_encrypted() {
            let version = self.random.usize(..tls_peer::VERSIONS.len());
            peer = peer.in_tls(&tls_peer::VERSIONS[version]);
        }
        self.backlog.borrow_mut().waiting.push_back(Rc::clone(&peer.wire));
        self.peers.push(peer);
    }

    /// Runs one turn, with an event for the listener if peers wait, and checks the invariants.
    pub fn turn(&mut self, mut events: Vec<Readiness>) {
        if !self.backlog.borrow().waiting.is_empty() {
            // The listener is the first source of the loop.
            events.push(Readiness {
                token: Token::new(0, 1),
                readable: true,
                writable: false,
                ending: false,
            });
        }
        self.random.shuffle(&mut events);
        self.timeout = self.event_loop.turn(self.now, events);
        if let Some(census) = self.take_census() {
            self.check_census(&census);
        }
        for peer in &self.peers {
            let wire = &mut *peer.wire.borrow_mut();
            // A handshake has a budget of its own, and records have headers.
            let (read_max, write_max) = match peer.is_encrypted() {
                false => (TURN_READ_BYTES, TURN_WRITE_BYTES),
                true => (2 * TURN_READ_BYTES, TURN_WRITE_BYTES + TURN_WRITE_BYTES / 16),
            };
            assert!(wire.read_in_turn <= read_max, "read {}", wire.read_in_turn);
            assert!(wire.written_in_turn <= write_max, "wrote {}", wire.written_in_turn);
            (wire.read_in_turn, wire.written_in_turn) = (0, 0);
        }
        // One response may exceed the high-water mark.
        let bound = self.open() * (INBOX_MAX_BYTES + OUTBOX_MAX_BYTES + 120_000);
        assert!(self.event_loop.buffered() <= bound, "{} bytes in buffers", self.event_loop.buffered());
        assert!(self.event_loop.connections() <= self.event_loop.services().core.limits.max_connections);
        let statistics = &self.event_loop.services().statistics;
        assert_eq!(statistics.accepted - statistics.ended_in_all(), self.event_loop.connections() as u64);
        if self.event_loop.connections() > 0 {
            assert!(self.timeout.is_some(), "a connection without a deadline");
        }
    }

    /// Returns the number of open connections, with those to the admin interface.
    fn open(&self) -> usize {
        let wires = self.peers.iter().map(|peer| peer.wire.borrow());
        wires.filter(|wire| wire.token.is_some() && !wire.closed).count()
    }

    /// Returns the census of the last turn. If there is none, asks for one in the next turn.
    fn take_census(&mut self) -> Option<Rc<Census>> {
        let inspector = &mut self.event_loop.services_mut().core.inspector;
        inspector.watch(self.now.monotonic);
        inspector.census(Detail::Connections)
    }

    /// A census counts every connection once, and says of each what is true.
    fn check_census(&self, census: &Census) {
        let (statistics, open) = (&census.statistics, self.open());
        assert_eq!(census.connections.len(), open);
        assert_eq!(census.open.iter().map(|(_, count)| count).sum::<usize>(), open);
        assert_eq!(census.activities.iter().sum::<usize>(), open);
        assert_eq!(census.slots.protocols.len(), census.slots.activities.len());
        assert_eq!(census.slots.activities.bytes().filter(|letter| *letter != b'.').count(), open);
        let sum = |count: fn(&ConnectionStatus) -> u64| {
            let of_site = census.connections.iter().filter(|one| one.protocol != "admin");
            of_site.map(count).sum::<u64>()
        };
        assert!(sum(|one| one.received) <= statistics.received_bytes);
        assert!(sum(|one| one.sent) <= statistics.sent_bytes);
        assert!(sum(|one| one.requests.into()) <= statistics.requests);
        for one in &census.connections {
            assert_eq!(one.is_encrypted, self.is_encrypted);
            assert!(one.activity != Activity::Sending || one.queued > 0, "{one:?}");
            let is_due = one.deadline <= self.now.monotonic;
            assert!(one.at_deadline == AtDeadline::Nothing || !is_due, "{one:?}");
        }
    }

    /// Lets the peers act, at short intervals, until they have nothing left to do and the loop sleeps.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 60 {
            self.now = self.now + Duration::from_micros(self.random.u64(1..300));
            let events: Vec<Readiness> =
                self.peers.iter_mut().filter_map(|peer| peer.act(&mut self.random)).collect();
            // A connection that waits for the disk is not idle.
            let sleeps = self.timeout.is_none_or(|timeout| timeout > DISK_RETRY);
            let idle = events.is_empty() && sleeps;
            quiet = if idle { quiet + 1 } else { 0 };
            self.turn(events);
        }
    }

    /// Lets time pass until no connection is left.
    pub fn run_until_closed(&mut self) {
        let deadline = self.now + Duration::from_secs(200);
        while self.event_loop.connections() > 0 {
            assert!(self.now.monotonic < deadline.monotonic, "a connection that never ends");
            self.now = self.now + self.timeout.unwrap_or_default();
            self.turn(Vec::new());
        }
        assert_eq!(self.event_loop.buffered(), 0);
    }
}

/// Returns the services of the simulated site.
pub fn services(limits: Limits, now: Now) -> Services {
    let rules = Rules { list: true, ..Rules::default() };
    let mut services = Services::new(Box::new(WithDisk::new()), rules, no_library(), limits, now);
    services.ack.reply = Template::parse("{message}").unwrap();
    services
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    match (number("EVSERVE_SEED"), number("EVSERVE_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (0..count.unwrap_or(60)).collect(),
    }
}

/// Runs `test` for every seed and prints the seed that fails.
pub fn for_every_seed(test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in seeds() {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            eprintln!("the simulation failed with EVSERVE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
