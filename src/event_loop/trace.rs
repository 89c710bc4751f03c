//! The trace: a readable log of every turn, with the driven sources, their events, what was done and how long
//! it took. In the loop, only the runner and the trace read the clock, and nothing depends on the trace's
//! readings.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use super::event::Readiness;
use super::network::Network;
use super::source::{Source, SourceKind, WakeReason};
use crate::clock::{Instant, Now};
use crate::close_reason::CloseReason;
use crate::observe::Statistics;

/// Writes the trace.
pub(super) struct Trace {
    out: Box<dyn Write>,
    turns: u64,
    /// The events of this turn by key.
    events: HashMap<usize, Readiness>,
    /// The lines of this turn.
    lines: String,
    driven: usize,
    /// The statistics when the last line was written.
    reported: Statistics,
    /// When this turn began.
    begun: Instant,
    /// When the previous turn was written.
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
    /// Creates a trace that writes to `out`.
    pub(super) fn new(out: Box<dyn Write>) -> Trace {
        let now = now();
        Trace {
            out,
            turns: 0,
            events: HashMap::new(),
            lines: String::new(),
            driven: 0,
            reported: Statistics::default(),
            begun: now,
            ended: now,
        }
    }

    /// Begins a turn and returns its events.
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
        self.report_background(statistics);
        events
    }

    /// Begins to measure a source that is about to be driven.
    pub(super) fn begin_drive<N: Network>(&self, key: usize, source: &Source<N>) -> Drive {
        Drive { key, name: name(source), cause: self.cause(key, source), begun: now() }
    }

    /// Adds the line of a source that was driven.
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

    /// Ends a turn and writes its lines. The next sleep takes at most `timeout`.
    pub(super) fn end(&mut self, timeout: Option<Duration>, statistics: &Statistics) {
        self.report_background(statistics);
        let (slept, took) = (self.begun - self.ended, now() - self.begun);
        let sleep = match timeout {
            None => "until an event".to_owned(),
            Some(Duration::ZERO) => "not at all".to_owned(),
            Some(most) => format!("{most:.1?} at most"),
        };
        let (turns, driven, lines) = (self.turns, self.driven, &self.lines);
        // `out` drops and counts what its file does not accept.
        let _ = write!(
            self.out,
            "turn {turns}: slept {slept:.1?}, {driven} ready\n{lines}        took {took:.1?}, will sleep {sleep}\n"
        );
        self.ended = now();
    }

    /// Adds a line for changes that no driven source made, such as those at the beginning and the end of
    /// draining.
    fn report_background(&mut self, statistics: &Statistics) {
        let outcome = self.outcome(statistics);
        if !outcome.is_empty() {
            let _ = writeln!(self.lines, "        background: {}", outcome.join(", "));
        }
    }

    /// Returns why a source is driven.
    fn cause<N: Network>(&self, key: usize, source: &Source<N>) -> String {
        let Some(event) = self.events.get(&key).filter(|event| event.token == source.token) else {
            let cause = if source.queued == Some(WakeReason::Alarm) { "timer" } else { "continues" };
            return cause.into();
        };
        let words = [(event.readable, "readable"), (event.writable, "writable"), (event.ending, "end")];
        let words: Vec<&str> = words.into_iter().filter(|(said, _)| *said).map(|(_, word)| word).collect();
        words.join(" ")
    }

    /// Describes the changes in the statistics since the last line.
    fn outcome(&mut self, now: &Statistics) -> Vec<String> {
        let before = std::mem::replace(&mut self.reported, now.clone());
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

/// Returns the name of a source.
fn name<N: Network>(source: &Source<N>) -> String {
    match &source.kind {
        SourceKind::Listener(listener) => format!("{} listener", listener.kind),
        SourceKind::Connection(peer, connection) => format!("{} {peer}", connection.protocol()),
        SourceKind::Endpoint(endpoint) => format!("{}-udp", endpoint.kind()),
        SourceKind::Closed => "gone".into(),
    }
}
