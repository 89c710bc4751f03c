//! The lines above the table: the state of the server in words and numbers, for the terminal and for the report.

use super::frame::{LoopFrame, NamedCounts};
use super::history::{Rates, WorkTime};
use super::units::{microseconds, percent, rate, size, size_rate, time};

/// The text in place of rates, before there are two frames.
const MEASURING: &str = "measuring";

/// The lines above the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Program, server, uptime and turn.
    pub(super) title: String,
    pub(super) is_draining: bool,
    /// Labels and texts, the most important first.
    pub(super) lines: Vec<(&'static str, String)>,
}

impl Summary {
    /// Describes a frame of `server`. Without rates, the server has been seen only once.
    pub(super) fn new(server: &str, frame: &LoopFrame, rates: Option<&Rates>) -> Summary {
        let (uptime, turn) = (time(frame.uptime_ms), frame.turn);
        let lines = vec![
            ("open", open(frame)),
            ("traffic", rates.map_or_else(|| MEASURING.into(), traffic)),
            ("loop", rates.map_or_else(|| MEASURING.into(), work)),
            ("phases", listed(&frame.phases, 1).unwrap_or_else(|| "none".into())),
            ("timers", timers(frame)),
            ("cache", cache(frame)),
            ("stalls", stalls(frame)),
        ];
        Summary {
            title: format!("{}  {server}  up {uptime}  turn {turn}", frame.program),
            is_draining: frame.draining,
            lines,
        }
    }
}

/// Lists the counts of at least `least`, or returns `None` if there are none.
fn listed(counts: &NamedCounts, least: u64) -> Option<String> {
    let counts = counts.0.iter().filter(|(_, count)| *count >= least);
    let listed: Vec<String> = counts.map(|(name, count)| format!("{name} {count}")).collect();
    (!listed.is_empty()).then(|| listed.join(", "))
}

fn open(frame: &LoopFrame) -> String {
    let admin = frame.open.get("admin");
    let total = frame.open.0.iter().fold(0_u64, |total, (_, count)| total.saturating_add(*count));
    let total = total.saturating_sub(admin);
    let most = frame.max_connections;
    let listed = listed(&frame.open, 0).unwrap_or_default();
    format!("{total} of {most}: {listed}; rejected {}", frame.counters.rejected)
}

fn traffic(rates: &Rates) -> String {
    let (received, sent) = (size_rate(rates.received), size_rate(rates.sent));
    let (requests, accepts) = (rate(rates.requests), rate(rates.accepts));
    format!("{requests} requests/s, {accepts} accepts/s, in {received}, out {sent}")
}

fn work(rates: &Rates) -> String {
    let shown = |time: Option<WorkTime>| match time {
        Some(WorkTime::AtMost(us)) => format!("\u{2264} {}", microseconds(us)),
        Some(WorkTime::Above(us)) => format!("> {}", microseconds(us)),
        None => "-".to_owned(),
    };
    let (busy, turns) = (percent(rates.busy), rate(rates.turns));
    format!("busy {busy}, {turns} turns/s, turn median {}, p99 {}", shown(rates.median), shown(rates.p99))
}

fn timers(frame: &LoopFrame) -> String {
    match frame.timers.next_ms {
        Some(ms) => format!("{}, next in {}", frame.timers.count, time(ms)),
        None => frame.timers.count.to_string(),
    }
}

fn cache(frame: &LoopFrame) -> String {
    let cache = &frame.cache;
    let lookups = cache.hits.saturating_add(cache.misses);
    let hits = match lookups {
        0 => "no lookups".to_owned(),
        _ => format!("{} hits", percent(cache.hits as f64 / lookups as f64)),
    };
    format!("{hits}, {} files, {} of {}", cache.files, size(cache.bytes), size(cache.max_bytes))
}

fn stalls(frame: &LoopFrame) -> String {
    let count = frame.stalls.count;
    let Some(last) = frame.stalls.recent.last() else { return count.to_string() };
    let (time, ms, call, call_ms) = (&last.time, last.ms, &last.call, last.call_ms);
    let connection = last.connection.map(|id| format!(", connection {id}")).unwrap_or_default();
    format!("{count}; last: {ms} ms, of which {call} took {call_ms} ms{connection}, {time}")
}

#[cfg(test)]
mod tests {
    use super::super::frame::{parse_frame, tests::TABLE};
    use super::super::history::RateHistory;
    use super::*;

    #[test]
    fn a_frame_is_described() {
        let frame = parse_frame(TABLE.as_bytes()).expect("a frame");
        let mut history = RateHistory::default();
        history.add(&frame);
        let mut next = frame.clone();
        next.uptime_ms += 1000;
        next.counters.requests += 40;
        next.counters.accepted += 2;
        next.counters.sent_bytes += 1_258_291;
        next.turns.count += 120;
        next.turns.work_us += 34_000;
        next.turns.time_us.counts[2] += 117;
        next.turns.time_us.counts[7] += 3;
        history.add(&next);
        let summary = Summary::new("h:1", &next, history.rates().as_ref());
        assert_eq!(summary.title, "evserve 0.1.0  h:1  up 2m4s  turn 81234");
        let lines: Vec<String> =
            summary.lines.iter().map(|(label, text)| format!("{label}: {text}")).collect();
        assert_eq!(
            lines,
            [
                "open: 4 of 16000: http 3, file 1, ack 0, admin 1; rejected 0",
                "traffic: 40 requests/s, 2.0 accepts/s, in 0/s, out 1.2M/s",
                "loop: busy 3.4%, 120 turns/s, turn median \u{2264} 50 \u{b5}s, p99 \u{2264} 2 ms",
                "phases: idle 2, request 1, sending 1, streaming 1",
                "timers: 5, next in 812ms",
                "cache: 99.8% hits, 3 files, 12K of 64M",
                "stalls: 1; last: 82 ms, of which open took 80 ms, connection 17, 2026-11-27T15:39:00Z",
            ]
        );
    }

    #[test]
    fn an_empty_frame_is_described() {
        let summary = Summary::new("h:1", &LoopFrame::default(), Some(&Rates::default()));
        let stalls = summary.lines.iter().find(|(label, _)| *label == "stalls");
        assert_eq!(stalls.map(|(_, text)| &**text), Some("0"));
        assert!(summary.lines.contains(&("cache", "no lookups, 0 files, 0 of 0".into())));
    }
}
