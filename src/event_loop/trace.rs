//! The trace: every turn, for people to read. Who was ready and for what, what came of it, and how
//! long it took. It is the one place besides the runner that reads the clock, and decides nothing
//! by it.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, Instant};

use super::network::{Network, Readiness};
use super::source::{Source, SourceKind};
use super::{CloseReason, EventLoop};
use crate::clock::Now;
use crate::services::Statistics;

/// Writes down what the turns do.
pub struct Trace {
    out: Box<dyn Write>,
    turns: u64,
    /// The events of this turn.
    events: Vec<Readiness>,
    /// The lines of those that were driven in it.
    lines: String,
    driven: usize,
    /// When this turn began.
    begun: Instant,
    /// When the one before ended.
    ended: Instant,
}

impl Trace {
    /// A trace that goes to `out`, line by line.
    pub fn new(out: Box<dyn Write>) -> Trace {
        let now = Now::read().monotonic;
        let (events, lines) = (Vec::new(), String::new());
        Trace { out, turns: 0, events, lines, driven: 0, begun: now, ended: now }
    }

    /// A turn begins with these events, which are passed on.
    pub fn begin(&mut self, events: impl IntoIterator<Item = Readiness>) -> Vec<Readiness> {
        self.begun = Now::read().monotonic;
        self.turns += 1;
        self.driven = 0;
        self.lines.clear();
        self.events = events.into_iter().collect();
        self.events.clone()
    }

    /// Drives one source, and notes what comes of it.
    pub fn drive<N: Network>(&mut self, event_loop: &mut EventLoop<N>, key: usize) {
        let source = &event_loop.sources[key];
        let (name, cause) = (name(source), self.cause(source));
        let before = event_loop.services.statistics.clone();
        let begun = Now::read().monotonic;
        event_loop.drive(key);
        let took = begun.elapsed();
        let mut outcome = outcome(&before, &event_loop.services.statistics);
        if event_loop.sources[key].queued {
            outcome.push("has more to do".into());
        } else if outcome.is_empty() {
            outcome.push("nothing".into());
        }
        let outcome = outcome.join(", ");
        let _ = writeln!(self.lines, "{key:>6}  {name:<30}  {cause:<19}  {outcome}  [{took:.1?}]");
        self.driven += 1;
    }

    /// A turn ends, and the next sleep is that long at most.
    pub fn end(&mut self, timeout: Option<Duration>) {
        let now = Now::read().monotonic;
        let (slept, took) = (self.begun - self.ended, now - self.begun);
        let sleep = match timeout {
            None => "until an event".to_owned(),
            Some(Duration::ZERO) => "not at all".to_owned(),
            Some(most) => format!("{most:.1?} at most"),
        };
        let (turns, driven, lines) = (self.turns, self.driven, &self.lines);
        // What the file does not take is dropped, and counted there.
        let _ = write!(
            self.out,
            "turn {turns}: slept {slept:.1?}, {driven} ready\n{lines}        took {took:.1?}, will sleep {sleep}\n"
        );
        self.ended = now;
    }

    /// Why a source is driven.
    fn cause<N: Network>(&self, source: &Source<N>) -> String {
        let events = self.events.iter().filter(|readiness| readiness.token == source.token);
        let says =
            |said: fn(&Readiness) -> bool, word: &'static str| events.clone().any(said).then_some(word);
        let said = [
            says(|event| event.readable, "readable"),
            says(|event| event.writable, "writable"),
            says(|event| event.ending, "end"),
        ];
        let words: Vec<&str> = said.into_iter().flatten().collect();
        match words.as_slice() {
            [] if matches!(source.kind, SourceKind::Connection(..)) && source.alarm.is_clear() => {
                "timer".into()
            }
            [] => "goes on".into(),
            words => words.join(" "),
        }
    }
}

/// What a source is.
fn name<N: Network>(source: &Source<N>) -> String {
    match &source.kind {
        SourceKind::Listener(listener) => format!("{} listener", listener.kind),
        SourceKind::Connection(peer, connection) => format!("{} {peer}", connection.protocol()),
        SourceKind::Endpoint(endpoint) => format!("{}-udp", endpoint.kind()),
        SourceKind::Doomed => "gone".into(),
    }
}

/// What has happened between two counts.
fn outcome(before: &Statistics, after: &Statistics) -> Vec<String> {
    let (old, new) = (&before.datagrams, &after.datagrams);
    let counts = [
        ("accepted", after.accepted - before.accepted),
        ("turned away", after.turned_away - before.turned_away),
        ("received", after.received_bytes - before.received_bytes),
        ("took datagrams", new.received - old.received),
        ("answered", after.requests - before.requests + new.answered - old.answered),
        ("sent", after.sent_bytes - before.sent_bytes),
    ];
    let counted = counts.into_iter().filter(|(_, count)| *count > 0);
    let ended = CloseReason::ALL.into_iter().filter(|reason| after.ended(*reason) > before.ended(*reason));
    counted
        .map(|(what, count)| format!("{what} {count}"))
        .chain(ended.map(|reason| format!("closed: {reason}")))
        .collect()
}
