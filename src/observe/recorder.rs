//! The recorder of turns: how long they took, how many events they had, and which calls made one slow. It is always
//! on, so it costs a few instructions a turn and no memory that grows.

use std::time::{Duration, SystemTime};

use super::{Stall, Stalls};
use crate::clock::{Instant, calls};
use crate::limits::TURNS_RECORDED;

/// Records the turns of an event loop.
#[derive(Debug)]
pub struct Recorder {
    /// The turn in progress, or the last one.
    pub turn: TurnRecord,
    begun: Instant,
    ended: Instant,
    totals: TurnTotals,
    /// The last turns. The index of a turn is its number modulo the length.
    recent: Box<[TurnRecord; TURNS_RECORDED]>,
    stalls: Stalls,
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnRecord {
    /// The number of the turn, counted from 1.
    pub number: u64,
    /// Events that the poll reported.
    pub events: u32,
    /// Sources that were driven.
    pub driven: u32,
    /// Connections of the site that used up their budget or continue a response in the next turn.
    pub budget_hits: u32,
    /// Microseconds in the poll before the turn, mostly asleep.
    pub poll_us: u32,
    /// Microseconds of work.
    pub work_us: u32,
}

/// The sums over all turns.
#[derive(Clone, Debug, Default)]
pub struct TurnTotals {
    pub events: u64,
    pub driven: u64,
    pub budget_hits: u64,
    pub poll_us: u64,
    pub work_us: u64,
    /// Turns by their microseconds of work.
    pub time_us: Histogram,
    /// Turns by their number of events.
    pub events_per_turn: Histogram,
}

/// Counts numbers by their magnitude: a bucket holds the numbers with the same count of binary digits.
#[derive(Clone, Debug, Default)]
pub struct Histogram([u64; Histogram::BUCKETS]);

impl Histogram {
    /// The last bucket is for all numbers of more than 20 digits: more than a second in microseconds.
    pub const BUCKETS: usize = 22;

    #[inline]
    fn add(&mut self, number: u32) {
        let digits = (u32::BITS - number.leading_zeros()) as usize;
        self.0[digits.min(Histogram::BUCKETS - 1)] += 1;
    }

    /// Returns the largest numbers of the buckets, but for the last one, which has none: 0, 1, 3, 7 …
    pub fn bounds() -> impl Iterator<Item = u64> {
        (0..Histogram::BUCKETS - 1).map(|digits| (1 << digits) - 1)
    }

    /// Returns how many numbers are in each bucket.
    pub fn counts(&self) -> &[u64] {
        &self.0
    }
}

impl Recorder {
    /// Creates a recorder without turns.
    pub fn new(now: Instant) -> Recorder {
        Recorder {
            turn: TurnRecord::default(),
            begun: now,
            ended: now,
            totals: TurnTotals::default(),
            recent: Box::new([TurnRecord::default(); TURNS_RECORDED]),
            stalls: Stalls::default(),
        }
    }

    /// Begins a turn after the poll has returned.
    pub fn begin(&mut self, now: Instant) {
        let number = self.turn.number + 1;
        self.turn = TurnRecord { number, poll_us: micros(now - self.ended), ..TurnRecord::default() };
        self.begun = now;
    }

    /// Ends a turn. Returns how long it worked.
    pub fn end(&mut self, now: Instant) -> Duration {
        let worked = now - self.begun;
        self.turn.work_us = micros(worked);
        self.ended = now;
        let TurnRecord { number, events, driven, budget_hits, poll_us, work_us } = self.turn;
        let totals = &mut self.totals;
        totals.events += u64::from(events);
        totals.driven += u64::from(driven);
        totals.budget_hits += u64::from(budget_hits);
        totals.poll_us += u64::from(poll_us);
        totals.work_us += u64::from(work_us);
        totals.time_us.add(work_us);
        totals.events_per_turn.add(events);
        self.recent[number as usize % TURNS_RECORDED] = self.turn;
        worked
    }

    /// Explains and counts the turn, which began at `at` and worked for too long.
    #[cold]
    pub fn report_stall(&mut self, at: SystemTime, worked: Duration) {
        self.stalls.report(Stall::new(self.turn.number, at, worked, &calls::take()));
    }

    /// Returns the turns that worked for too long.
    pub fn stalls(&self) -> &Stalls {
        &self.stalls
    }

    /// Returns the sums over all turns that have ended.
    pub fn totals(&self) -> &TurnTotals {
        &self.totals
    }

    /// Returns the recorded turns that have ended, from number `first` on, oldest first.
    pub fn since(&self, first: u64) -> impl Iterator<Item = &TurnRecord> {
        let last = self.turn.number;
        let oldest = last.saturating_sub(TURNS_RECORDED as u64 - 1).max(first).max(1);
        let numbers = oldest..=last;
        numbers
            .map(|number| (number, &self.recent[number as usize % TURNS_RECORDED]))
            .filter(|(number, turn)| turn.number == *number)
            .map(|(_, turn)| turn)
    }
}

#[inline]
fn micros(time: Duration) -> u32 {
    // A poll may sleep for longer than 71 minutes.
    (time.as_nanos() as u64 / 1000).min(u32::MAX.into()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_added_up_and_the_last_ones_are_kept() {
        let mut now = Instant::now();
        let mut recorder = Recorder::new(now);
        assert_eq!(recorder.since(0).count(), 0);
        for number in 1..=TURNS_RECORDED as u32 + 10 {
            now += Duration::from_micros(100);
            recorder.begin(now);
            recorder.turn.events = number;
            // The turn in progress is not among the recorded ones.
            assert!(recorder.since(number.into()).next().is_none());
            now += Duration::from_micros(5);
            assert_eq!(recorder.end(now), Duration::from_micros(5));
        }
        let turns = TURNS_RECORDED as u64 + 10;
        let totals = recorder.totals();
        assert_eq!((totals.work_us, totals.poll_us), (5 * turns, 100 * turns));
        assert_eq!(totals.time_us.counts()[3], turns);
        assert_eq!(totals.events_per_turn.counts().iter().sum::<u64>(), turns);
        let recent: Vec<u64> = recorder.since(0).map(|turn| turn.number).collect();
        assert_eq!(recent, (11..=turns).collect::<Vec<_>>());
        let expected = TurnRecord {
            number: turns,
            events: turns as u32,
            poll_us: 100,
            work_us: 5,
            ..TurnRecord::default()
        };
        assert_eq!(recorder.since(turns).copied().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn a_bucket_of_a_histogram_ends_at_its_bound() {
        let bounds: Vec<u64> = Histogram::bounds().collect();
        assert_eq!(bounds[..5], [0, 1, 3, 7, 15]);
        for (bucket, bound) in bounds.into_iter().enumerate() {
            for (number, expected) in [(bound, bucket), (bound + 1, bucket + 1)] {
                let mut histogram = Histogram::default();
                histogram.add(number as u32);
                assert_eq!(
                    histogram.counts().iter().position(|count| *count == 1),
                    Some(expected),
                    "{number}"
                );
            }
        }
        let mut histogram = Histogram::default();
        histogram.add(u32::MAX);
        assert_eq!(histogram.counts()[Histogram::BUCKETS - 1], 1);
    }
}
