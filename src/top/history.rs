//! The frames of the last second, and the rates between them. The server's uptime is the clock, so a slow network does
//! not change the rates.

use std::collections::VecDeque;

use super::frame::{FrameCounters, FrameHistogram, LoopFrame};

/// The time over which rates are measured.
const WINDOW_MS: u64 = 1000;

/// The most turns that are kept for the chart: more than a terminal has columns.
const RECENT_TURNS_MAX: usize = 1024;

/// The frames of the last second, and the last turns.
#[derive(Debug, Default)]
pub(super) struct RateHistory {
    /// Oldest first. The first one is as old as the window, or older.
    samples: VecDeque<Sample>,
    /// How long the last turns worked, in microseconds, oldest first.
    turns: VecDeque<u64>,
    last_turn: u64,
}

/// The counts of a frame that rates are made of.
#[derive(Clone, Debug)]
struct Sample {
    uptime_ms: u64,
    counters: FrameCounters,
    turns: u64,
    work_us: u64,
    times: FrameHistogram,
}

/// Rates per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) requests: f64,
    pub(super) accepts: f64,
    /// Bytes.
    pub(super) received: f64,
    /// Bytes.
    pub(super) sent: f64,
    pub(super) turns: f64,
    /// The share of the time that the loop worked.
    pub(super) busy: f64,
    /// How long half of the turns worked, at most.
    pub(super) median: Option<WorkTime>,
    pub(super) p99: Option<WorkTime>,
}

/// How long a turn worked, as far as a histogram tells, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkTime {
    AtMost(u64),
    Above(u64),
}

impl RateHistory {
    /// Adds a frame. A frame of a server that was started again replaces all others.
    pub(super) fn add(&mut self, frame: &LoopFrame) {
        let sample = Sample::of(frame);
        if self.samples.back().is_some_and(|last| sample.uptime_ms < last.uptime_ms) {
            *self = RateHistory::default();
        }
        for (turn, _, _, _, work_us, _) in &frame.turns.recent {
            if *turn > self.last_turn {
                self.last_turn = *turn;
                self.turns.push_back(*work_us);
            }
        }
        self.turns.drain(..self.turns.len().saturating_sub(RECENT_TURNS_MAX));
        let begin = sample.uptime_ms.saturating_sub(WINDOW_MS);
        // At most one sample for each millisecond of the window, however many frames the server sends.
        if self.samples.back().is_some_and(|last| sample.uptime_ms == last.uptime_ms) {
            self.samples.pop_back();
        }
        self.samples.push_back(sample);
        while self.samples.get(1).is_some_and(|second| second.uptime_ms <= begin) {
            self.samples.pop_front();
        }
    }

    /// Returns how long the last turns worked, in microseconds, oldest first.
    pub(super) fn turns(&self) -> &VecDeque<u64> {
        &self.turns
    }

    /// Returns the rates of the last second, or `None` if there are not two frames.
    pub(super) fn rates(&self) -> Option<Rates> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let ms = last.uptime_ms - first.uptime_ms;
        if ms == 0 {
            return None;
        }
        let per_second = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1e3 / ms as f64;
        let counted =
            |count: fn(&FrameCounters) -> u64| per_second(count(&first.counters), count(&last.counters));
        let counts = first.times.counts.iter().chain(std::iter::repeat(&0));
        let counts = last.times.counts.iter().zip(counts);
        let counts: Vec<u64> = counts.map(|(to, from)| to.saturating_sub(*from)).collect();
        Some(Rates {
            requests: counted(|counters| counters.requests),
            accepts: counted(|counters| counters.accepted),
            received: counted(|counters| counters.received_bytes),
            sent: counted(|counters| counters.sent_bytes),
            turns: per_second(first.turns, last.turns),
            busy: (per_second(first.work_us, last.work_us) / 1e6).min(1.0),
            median: quantile(&last.times.bounds, &counts, 50),
            p99: quantile(&last.times.bounds, &counts, 99),
        })
    }
}

impl Sample {
    fn of(frame: &LoopFrame) -> Sample {
        Sample {
            uptime_ms: frame.uptime_ms,
            counters: frame.counters,
            turns: frame.turns.count,
            work_us: frame.turns.work_us,
            times: frame.turns.time_us.clone(),
        }
    }
}

/// Returns the bucket of a histogram in which `percent` of all values is reached.
fn quantile(bounds: &[u64], counts: &[u64], percent: u128) -> Option<WorkTime> {
    let total: u128 = counts.iter().map(|count| u128::from(*count)).sum();
    let mut reached = 0;
    let at = counts.iter().position(|count| {
        reached += u128::from(*count);
        total > 0 && reached * 100 >= total * percent
    })?;
    match bounds.get(at) {
        Some(bound) => Some(WorkTime::AtMost(*bound)),
        None => bounds.last().map(|bound| WorkTime::Above(*bound)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(uptime_ms: u64, requests: u64) -> LoopFrame {
        let mut frame = LoopFrame { uptime_ms, ..LoopFrame::default() };
        frame.counters.requests = requests;
        frame
    }

    #[test]
    fn rates_are_those_of_the_last_second() {
        let mut history = RateHistory::default();
        assert_eq!(history.rates(), None);
        history.add(&frame(1000, 0));
        assert_eq!(history.rates(), None);
        for tenth in 1..=20 {
            history.add(&frame(1000 + tenth * 100, if tenth > 10 { 1000 + tenth } else { 0 }));
        }
        assert_eq!(history.rates().map(|rates| rates.requests), Some(1020.0));
        assert_eq!(history.samples.len(), 11);
        history.add(&frame(7000, 1020));
        assert_eq!((history.samples.len(), history.rates().map(|rates| rates.requests)), (2, Some(0.0)));
    }

    #[test]
    fn a_restarted_server_begins_with_new_rates() {
        let mut history = RateHistory::default();
        for (uptime_ms, requests) in [(5000, 100), (6000, 200), (10, 1), (1010, 6)] {
            history.add(&frame(uptime_ms, requests));
        }
        assert_eq!(history.rates().map(|rates| rates.requests), Some(5.0));
    }

    #[test]
    fn a_server_whose_time_stands_still_takes_no_memory() {
        let mut history = RateHistory::default();
        for _ in 0..100 {
            history.add(&frame(5, 0));
        }
        assert_eq!(history.samples.len(), 1);
    }

    #[test]
    fn absurd_counts_do_not_panic() {
        let mut history = RateHistory::default();
        for (uptime_ms, requests) in [(0, u64::MAX), (1000, 0), (u64::MAX, u64::MAX)] {
            let mut frame = frame(uptime_ms, requests);
            frame.turns.time_us =
                FrameHistogram { bounds: vec![], counts: vec![u64::MAX; requests.min(3) as usize] };
            history.add(&frame);
        }
        assert!(history.rates().is_some_and(|rates| rates.median.is_none()));
    }

    #[test]
    fn turns_are_kept_once_and_bounded() {
        let mut history = RateHistory::default();
        let mut frame = frame(1, 0);
        frame.turns.recent = (1..=3).map(|turn| (turn, 0, 0, 0, turn * 10, 0)).collect();
        history.add(&frame);
        frame.turns.recent = (3..=4).map(|turn| (turn, 0, 0, 0, turn * 10, 0)).collect();
        history.add(&frame);
        assert_eq!(Vec::from_iter(history.turns().iter().copied()), [10, 20, 30, 40]);
        frame.turns.recent = (5..=5000).map(|turn| (turn, 0, 0, 0, turn, 0)).collect();
        history.add(&frame);
        assert_eq!((history.turns().len(), history.turns().back()), (RECENT_TURNS_MAX, Some(&5000)));
    }

    #[test]
    fn quantiles_name_a_bucket() {
        let bounds = [10, 20, 50];
        for (counts, percent, expected) in [
            (&[0, 0, 0, 0][..], 50, None),
            (&[1, 0, 0, 0], 50, Some(WorkTime::AtMost(10))),
            (&[50, 49, 1, 0], 50, Some(WorkTime::AtMost(10))),
            (&[50, 49, 1, 0], 99, Some(WorkTime::AtMost(20))),
            (&[50, 48, 2, 0], 99, Some(WorkTime::AtMost(50))),
            (&[0, 0, 0, 7], 99, Some(WorkTime::Above(50))),
            (&[], 50, None),
        ] {
            assert_eq!(quantile(&bounds, counts, percent), expected, "{counts:?} {percent}");
        }
    }
}
