//! When to look at whom again.

use std::collections::BTreeSet;
use std::time::Instant;

/// The deadlines of sources, at most one each. They are lazy: a deadline that moves back, as an
/// active connection's does with every byte, leaves its entry alone; when the entry is due, the
/// source is asked again. So steady traffic never touches the set.
#[derive(Debug, Default)]
pub struct Timers {
    queue: BTreeSet<(Instant, usize)>,
}

/// A source's entry in the timers, which the source keeps.
#[derive(Debug, Default)]
pub struct Alarm(Option<Instant>);

impl Timers {
    /// Makes sure that `key` is looked at by `deadline`.
    pub fn arm(&mut self, key: usize, alarm: &mut Alarm, deadline: Instant) {
        match alarm.0 {
            Some(set) if set <= deadline => {}
            _ => {
                self.disarm(key, alarm);
                self.queue.insert((deadline, key));
                alarm.0 = Some(deadline);
            }
        }
    }

    /// Forgets `key`.
    pub fn disarm(&mut self, key: usize, alarm: &mut Alarm) {
        if let Some(set) = alarm.0.take() {
            self.queue.remove(&(set, key));
        }
    }

    /// Takes out a key that is due, whose alarm the caller then [clears](Alarm::clear).
    pub fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let first = *self.queue.first().filter(|(due, _)| *due <= now)?;
        self.queue.remove(&first);
        Some(first.1)
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }
}

impl Alarm {
    /// Notes that the timers no longer hold it.
    pub fn clear(&mut self) {
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
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        timers.arm(3, &mut alarm, at(10));
        timers.arm(3, &mut alarm, at(20));
        assert_eq!((timers.next(), timers.queue.len()), (Some(at(10)), 1));
        timers.arm(3, &mut alarm, at(5));
        assert_eq!((timers.next(), timers.queue.len()), (Some(at(5)), 1));
        assert_eq!(timers.pop_due(at(4)), None);
        assert_eq!(timers.pop_due(at(5)), Some(3));
        alarm.clear();
        timers.arm(3, &mut alarm, at(20));
        timers.disarm(3, &mut alarm);
        assert_eq!(timers.queue.len(), 0);
    }
}
