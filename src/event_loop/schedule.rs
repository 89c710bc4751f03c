//! Which sources are driven, and when: those that are ready, and those whose deadline comes.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use crate::limits::{REQUESTS_PER_BULK, TURN_BULK};

/// The keys of sources that have something to do, and the deadlines of all. A key is ready at most once:
/// its source knows. Deadlines are lazy: one that moves back, as an active connection's does with every
/// byte, leaves its entry alone; when the entry is due, the source is asked again. So steady traffic never
/// touches the set.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Driven in the turn that comes.
    ready: VecDeque<usize>,
    /// Those that have used up their share of a turn, of which a few are driven in each.
    low_priority: VecDeque<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
}

/// How many sources are still to be driven in a turn.
#[derive(Debug)]
pub(super) struct Turn {
    ready: usize,
    low_priority: usize,
}

/// A source's deadline in the schedule, which the source keeps.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Instant>);

impl Schedule {
    /// Queues a source that has something to do.
    pub(super) fn push(&mut self, key: usize) {
        self.ready.push_back(key);
    }

    /// Queues a source that has more to do than its share of a turn.
    pub(super) fn push_low_priority(&mut self, key: usize) {
        self.low_priority.push_back(key);
    }

    /// A turn of those that are queued by now.
    pub(super) fn turn(&self) -> Turn {
        let ready = self.ready.len();
        let low_priority = self.low_priority.len().min(TURN_BULK + ready / REQUESTS_PER_BULK);
        Turn { ready, low_priority }
    }

    /// The source that comes next in a turn.
    pub(super) fn pop(&mut self, turn: &mut Turn) -> Option<usize> {
        if let Some(left) = turn.ready.checked_sub(1) {
            turn.ready = left;
            return self.ready.pop_front();
        }
        turn.low_priority = turn.low_priority.checked_sub(1)?;
        self.low_priority.pop_front()
    }

    /// Whether a source is queued.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.low_priority.is_empty()
    }

    /// Forgets all that are queued.
    pub(super) fn clear_ready(&mut self) {
        self.ready.clear();
        self.low_priority.clear();
    }

    /// Makes sure that `key` is looked at by `deadline`.
    pub(super) fn arm(&mut self, key: usize, alarm: &mut Alarm, deadline: Instant) {
        match alarm.0 {
            Some(set) if set <= deadline => {}
            _ => {
                self.disarm(key, alarm);
                self.deadlines.insert((deadline, key));
                alarm.0 = Some(deadline);
            }
        }
    }

    /// Forgets the deadline of `key`.
    pub(super) fn disarm(&mut self, key: usize, alarm: &mut Alarm) {
        if let Some(set) = alarm.0.take() {
            self.deadlines.remove(&(set, key));
        }
    }

    /// Takes out a key that is due, whose alarm the caller then [clears](Alarm::clear).
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let first = *self.deadlines.first().filter(|(due, _)| *due <= now)?;
        self.deadlines.remove(&first);
        Some(first.1)
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadlines.first().map(|(due, _)| *due)
    }
}

impl Alarm {
    /// Notes that the schedule no longer holds it.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_later_deadline_leaves_the_entry_and_an_earlier_one_replaces_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (mut schedule, mut alarm) = (Schedule::default(), Alarm::default());
        schedule.arm(3, &mut alarm, at(10));
        schedule.arm(3, &mut alarm, at(20));
        assert_eq!((schedule.next_due(), schedule.deadlines.len()), (Some(at(10)), 1));
        schedule.arm(3, &mut alarm, at(5));
        assert_eq!((schedule.next_due(), schedule.deadlines.len()), (Some(at(5)), 1));
        assert_eq!(schedule.pop_due(at(4)), None);
        assert_eq!(schedule.pop_due(at(5)), Some(3));
        alarm.clear();
        schedule.arm(3, &mut alarm, at(20));
        schedule.disarm(3, &mut alarm);
        assert_eq!(schedule.deadlines.len(), 0);
    }
}
