//! Runs a script of any protocol over TLS, through the real loop. `however_cut` and the tests of the file protocol
//! call `check`, so every script of theirs runs over TLS, too.

use std::cell::OnceCell;

use evserve::clock::Now;
use evserve::close_reason::CloseReason;
use evserve::event_loop::Readiness;
use evserve::limits::DISK_RETRY;
use evserve::protocol::Kind;
use evserve::services::Services;

use super::peers::{Behavior, SimPeer};
use super::tls_peer::{VERSIONS, acceptor};
use super::world::Simulation;
use crate::conversation::Outcome;

/// How the records of a script arrive.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// In one piece.
    Nowhere,
    /// In two pieces.
    At(usize),
    Everywhere,
    AtRandom,
}

/// How a script runs.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The index in [`VERSIONS`].
    pub version: usize,
    pub cut: Cut,
    /// The maximum content of a record.
    pub record: usize,
    /// The faults of the network, in percent.
    pub faults: u8,
    /// By how many bytes at most the window grows per turn.
    pub window: usize,
    pub seed: u64,
}

/// Ways with everything that a network does, for both versions.
pub const WAYS: [Way; 4] = [
    Way { version: 0, cut: Cut::Nowhere, record: 16_384, faults: 0, window: 1 << 20, seed: 1 },
    Way { version: 1, cut: Cut::AtRandom, record: 300, faults: 30, window: 20_000, seed: 2 },
    Way { version: 0, cut: Cut::AtRandom, record: 7, faults: 30, window: 5000, seed: 3 },
    Way { version: 1, cut: Cut::Nowhere, record: 50, faults: 10, window: 1 << 20, seed: 4 },
];

/// A script that runs.
struct Run<'a> {
    simulation: Simulation,
    script: &'a [u8],
    ends: bool,
    way: Way,
    is_written: bool,
    /// The number of bytes that the script has in records, and how many were delivered.
    records: usize,
    delivered: usize,
}

impl Run<'_> {
    /// Lets the peer act, and returns the event for the server, if any.
    fn act(&mut self) -> Option<Readiness> {
        let peer = &mut self.simulation.peers[0];
        let wire = &mut *peer.wire.borrow_mut();
        let tls = peer.tls.as_mut()?;
        tls.receive(&wire.received);
        let token = wire.token.filter(|_| !wire.closed)?;
        if tls.is_ready() && !self.is_written && tls.outgoing.is_empty() && wire.arrived.is_empty() {
            self.is_written = true;
            tls.write(self.script, self.way.record);
            self.records = tls.outgoing.len();
            if self.ends {
                tls.close();
            }
        }
        if wire.server_ended && !tls.has_closed {
            tls.close();
        }
        let bytes = tls.take(match self.way.cut {
            _ if !self.is_written => usize::MAX,
            Cut::At(position) if self.delivered < position => position - self.delivered,
            Cut::Nowhere | Cut::At(_) => usize::MAX,
            Cut::Everywhere => 1,
            Cut::AtRandom => self.simulation.random.usize(1..2000),
        });
        self.delivered += if self.is_written { bytes.len() } else { 0 };
        wire.arrived.extend(&bytes);
        wire.window += self.simulation.random.usize(1..=self.way.window);
        let ending = tls.has_closed && tls.outgoing.is_empty() && !wire.ended;
        wire.ended |= ending;
        let (readable, writable) = (!bytes.is_empty() || ending, std::mem::take(&mut wire.blocked));
        (readable || writable).then_some(Readiness { token, readable, writable, ending })
    }

    fn outcome(&self) -> Outcome {
        let tls = self.simulation.peers[0].tls.as_ref().unwrap();
        assert!(self.is_written && tls.error.is_none(), "{:?}", tls.error);
        let statistics = &self.simulation.event_loop.services().statistics;
        let ending = CloseReason::ALL.into_iter().find(|reason| statistics.ended(*reason) > 0);
        assert_eq!(tls.has_ended, ending.is_some(), "{ending:?} without close_notify");
        Outcome { output: tls.plain.clone(), ending }
    }
}

/// Runs `script` over TLS, followed by close_notify if `ends` is set. Returns the decrypted output and the close
/// reason, and the number of bytes that the script had in records.
pub fn converse(
    (kind, services, now): (Kind, Services, Now),
    script: &[u8],
    ends: bool,
    way: Way,
) -> (Outcome, usize) {
    let mut simulation = Simulation::with_services(kind, way.seed, services, now, Some(acceptor(now)));
    let random = &mut simulation.random;
    let peer = SimPeer::with(Behavior::Polite, Default::default(), OnceCell::new(), random, way.faults);
    simulation.add(peer.in_tls(&VERSIONS[way.version]));
    let mut run = Run { simulation, script, ends, way, is_written: false, records: 0, delivered: 0 };
    let mut quiet = 0;
    while quiet < 20 {
        let event = run.act();
        let timeout = run.simulation.timeout.filter(|timeout| *timeout <= DISK_RETRY);
        quiet = if event.is_none() && timeout.is_none() { quiet + 1 } else { 0 };
        run.simulation.now = run.simulation.now + timeout.unwrap_or_default();
        run.simulation.turn(event.into_iter().collect());
    }
    (run.outcome(), run.records)
}

/// Asserts that `script` has the same outcome over TLS, in all [`WAYS`].
#[track_caller]
pub fn check(server: impl Fn() -> (Kind, Services, Now), script: &[u8], ends: bool, expected: &Outcome) {
    let run = |way: Way| {
        let (outcome, _) = converse(server(), script, ends, way);
        assert!(
            outcome == *expected,
            "{way:?} differs for {:?}\nplain: {:?} {}\nTLS:   {:?} {}",
            String::from_utf8_lossy(&script[..script.len().min(2000)]),
            expected.ending,
            String::from_utf8_lossy(&expected.output),
            outcome.ending,
            String::from_utf8_lossy(&outcome.output)
        );
    };
    WAYS.into_iter().for_each(run);
}

/// Like [`check`], with the records cut at every position, and everywhere.
#[track_caller]
pub fn check_every_cut(server: impl Fn() -> (Kind, Services, Now), script: &[u8], expected: &Outcome) {
    for version in [0, 1] {
        let way = |cut| Way { version, cut, record: 40, faults: 0, window: 1 << 20, seed: 5 };
        let (outcome, records) = converse(server(), script, false, way(Cut::Everywhere));
        assert_eq!(outcome, *expected);
        for cut in 1..records {
            assert_eq!(converse(server(), script, false, way(Cut::At(cut))).0, *expected, "cut at {cut}");
        }
    }
}
