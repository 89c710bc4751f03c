//! The trace: every turn, for people to read. Who was ready and for what, what came of it, and how
//! long it took. Besides the runner it is the only part of the loop that reads the clock, and nothing
//! depends on what it reads.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, Instant};

use super::event::Readiness;
use super::network::Network;
use super::source::{Source, SourceKind, WakeReason};
use crate::clock::Now;
use crate::close_reason::CloseReason;
use crate::observe::Statistics;

/// Writes down what the turns do.
pub(super) struct Trace {
    out: Box<dyn Write>,
    turns: u64,
    /// The events of this turn, by their keys.
    events: HashMap<usize, Readiness>,
    /// The lines of this turn.
    lines: String,
    driven: usize,
    /// What has happened until the last line.
    told: Statistics,
    /// When this turn began.
    begun: Instant,
    /// When the one before had been written down.
    ended: Instant,
}

/// A source that is being driven.
pub(super) struct Drive {
    key: usize,
    name: String,
    cause: String,
    begun: Instant,
}

impl Trace {
    /// A trace that goes to `out`, line by line.
    pub(super) fn new(out: Box<dyn Write>) -> Trace {
        let now = now();
        Trace {
            out,
            turns: 0,
            events: HashMap::new(),
            lines: String::new(),
            driven: 0,
            told: Statistics::default(),
            begun: now,
            ended: now,
        }
    }

    /// A turn begins with these events, which are passed on.
    pub(super) fn begin(
        &mut self,
        events: impl IntoIterator<Item = Readiness>,
        statistics: &Statistics,
    ) -> Vec<Readiness> {
        let events: Vec<Readiness> = events.into_iter().collect();
        self.begun = now();
        self.turns += 1;
        self.driven = 0;
        self.lines.clear();
        self.events = events.iter().map(|readiness| (readiness.token.key(), *readiness)).collect();
        self.tell_rest(statistics);
        events
    }

    /// A source is about to be driven.
    pub(super) fn begin_drive<N: Network>(&self, key: usize, source: &Source<N>) -> Drive {
        Drive { key, name: name(source), cause: self.cause(key, source), begun: now() }
    }

    /// A source was driven.
    pub(super) fn end_drive(&mut self, drive: Drive, has_more: bool, statistics: &Statistics) {
        let Drive { key, name, cause, begun } = drive;
        let took = now() - begun;
        let mut outcome = self.outcome(statistics);
        if has_more {
            outcome.push("has more to do".into());
        } else if outcome.is_empty() {
            outcome.push("nothing".into());
        }
        let outcome = outcome.join(", ");
        let _ = writeln!(self.lines, "{key:>6}  {name:<30}  {cause:<21}  {outcome}  [{took:.1?}]");
        self.driven += 1;
    }

    /// A turn ends, and the next sleep is that long at most.
    pub(super) fn end(&mut self, timeout: Option<Duration>, statistics: &Statistics) {
        self.tell_rest(statistics);
        let (slept, took) = (self.begun - self.ended, now() - self.begun);
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
        self.ended = now();
    }

    /// What has happened since the last line that was no source's doing: the beginning of the end, and
    /// its last moment.
    fn tell_rest(&mut self, statistics: &Statistics) {
        let outcome = self.outcome(statistics);
        if !outcome.is_empty() {
            let _ = writeln!(self.lines, "        besides: {}", outcome.join(", "));
        }
    }

    /// Why a source is driven.
    fn cause<N: Network>(&self, key: usize, source: &Source<N>) -> String {
        let Some(event) = self.events.get(&key).filter(|event| event.token == source.token) else {
            let cause = if source.queued == Some(WakeReason::Alarm) { "timer" } else { "goes on" };
            return cause.into();
        };
        let words = [(event.readable, "readable"), (event.writable, "writable"), (event.ending, "end")];
        let words: Vec<&str> = words.into_iter().filter(|(said, _)| *said).map(|(_, word)| word).collect();
        words.join(" ")
    }

    /// What has happened since the last line, by the counts.
    fn outcome(&mut self, now: &Statistics) -> Vec<String> {
        let before = std::mem::replace(&mut self.told, now.clone());
        let (old, new) = (&before.datagrams, &now.datagrams);
        let counts = [
            ("accepted", now.accepted - before.accepted),
            ("turned away", now.turned_away - before.turned_away),
            ("received", now.received_bytes - before.received_bytes),
            ("took datagrams", new.received - old.received),
            ("answered", now.requests - before.requests + new.answered - old.answered),
            ("sent", now.sent_bytes - before.sent_bytes),
        ];
        let counted = counts.into_iter().filter(|(_, count)| *count > 0);
        let ended = CloseReason::ALL.map(|reason| (reason, now.ended(reason) - before.ended(reason)));
        let ended = ended.into_iter().filter(|(_, count)| *count > 0);
        counted
            .map(|(what, count)| format!("{what} {count}"))
            .chain(ended.map(|(reason, count)| match count {
                1 => format!("closed: {reason}"),
                many => format!("closed {many}: {reason}"),
            }))
            .collect()
    }
}

fn now() -> Instant {
    Now::read().monotonic
}

/// What a source is.
fn name<N: Network>(source: &Source<N>) -> String {
    match &source.kind {
        SourceKind::Listener(listener) => format!("{} listener", listener.kind),
        SourceKind::Connection(peer, connection) => format!("{} {peer}", connection.protocol()),
        SourceKind::Endpoint(endpoint) => format!("{}-udp", endpoint.kind()),
        SourceKind::Closed => "gone".into(),
    }
}
