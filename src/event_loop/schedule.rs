//! Which sources are driven, and when: sources with work to do, and sources whose deadline is due.

use std::collections::{BTreeSet, VecDeque};

use crate::clock::Instant;
use crate::limits::{REQUESTS_PER_BULK, TURN_BULK};

/// The keys of sources with work to do, and the deadlines of all sources. A key is queued at most once, which
/// its source records. Deadlines are lazy: if a deadline is extended, as an active connection's is with every
/// byte, its entry stays. When the entry is due, the source is driven and returns its current deadline. So
/// steady traffic never touches the set.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Sources to drive in the next turn.
    ready: VecDeque<usize>,
    /// Sources that have used up their budget of a turn. Each turn drives only a few of them.
    low_priority: VecDeque<usize>,
    /// Connections whose handshake waits for a turn with time for it, in the order of their arrival.
    handshakes: VecDeque<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
}

/// The number of sources that are still to be driven in a turn.
#[derive(Debug)]
pub(super) struct Turn {
    ready: usize,
    low_priority: usize,
    handshakes: usize,
}

/// The deadline that the schedule holds for a source. It is stored in the source.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Instant>);

impl Schedule {
    /// Queues a source that has work to do.
    pub(super) fn push(&mut self, key: usize) {
        self.ready.push_back(key);
    }

    /// Queues a source that has used up its budget of a turn.
    pub(super) fn push_low_priority(&mut self, key: usize) {
        self.low_priority.push_back(key);
    }

    /// Queues a connection whose handshake waits for a turn with time for it.
    pub(super) fn push_handshake(&mut self, key: usize) {
        self.handshakes.push_back(key);
    }

    /// Begins a turn of the sources that are queued now.
    pub(super) fn turn(&self) -> Turn {
        let ready = self.ready.len();
        let low_priority = self.low_priority.len().min(TURN_BULK + ready / REQUESTS_PER_BULK);
        Turn { ready, low_priority, handshakes: self.handshakes.len() }
    }

    /// Returns the next waiting handshake of a turn. They come before the other sources, among which are later ones.
    pub(super) fn pop_handshake(&mut self, turn: &mut Turn) -> Option<usize> {
        turn.handshakes = turn.handshakes.checked_sub(1)?;
        self.handshakes.pop_front()
    }

    /// Returns the next source of a turn.
    pub(super) fn pop(&mut self, turn: &mut Turn) -> Option<usize> {
        if let Some(left) = turn.ready.checked_sub(1) {
            turn.ready = left;
            return self.ready.pop_front();
        }
        turn.low_priority = turn.low_priority.checked_sub(1)?;
        self.low_priority.pop_front()
    }

    /// Returns whether any source is queued.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.low_priority.is_empty() || !self.handshakes.is_empty()
    }

    /// Removes a source that is queued from its queue.
    pub(super) fn withdraw(&mut self, key: usize) {
        for queue in [&mut self.ready, &mut self.low_priority, &mut self.handshakes] {
            queue.retain(|queued| *queued != key);
        }
    }

    /// Clears the queues.
    pub(super) fn clear_ready(&mut self) {
        self.ready.clear();
        self.low_priority.clear();
        self.handshakes.clear();
    }

    /// Ensures that `key` is driven by `deadline`.
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

    /// Removes the deadline of `key`.
    pub(super) fn disarm(&mut self, key: usize, alarm: &mut Alarm) {
        if let Some(set) = alarm.0.take() {
            self.deadlines.remove(&(set, key));
        }
    }

    /// Removes and returns a key that is due. The caller then [clears](Alarm::clear) its alarm.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let first = *self.deadlines.first().filter(|(due, _)| *due <= now)?;
        self.deadlines.remove(&first);
        Some(first.1)
    }

    /// Returns the earliest deadline.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadlines.first().map(|(due, _)| *due)
    }
}

impl Alarm {
    /// Returns the deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0
    }

    /// Records that the schedule no longer holds the deadline.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_an_earlier_deadline_replaces_the_entry() {
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
