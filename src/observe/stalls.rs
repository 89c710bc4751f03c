//! Stalls: turns that worked so long that other connections noticed the wait, and the calls that took the time.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use crate::clock::calls::{Call, Tally};
use crate::limits::{STALL_LOG_INTERVAL, STALLS_KEPT};

/// The stalls since the start of the server.
#[derive(Debug, Default)]
pub struct Stalls {
    /// The number of stalls by the call that took most of the time; the last one is for none of the measured calls.
    counts: [u64; Call::ALL.len() + 1],
    /// The last stalls, oldest first.
    recent: VecDeque<Stall>,
    /// When a stall was last logged, and the number of those since that were not.
    logged: Option<SystemTime>,
    unlogged: u64,
}

/// A turn that worked for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The number of the turn.
    pub turn: u64,
    /// When the turn began.
    pub at: SystemTime,
    pub worked: Duration,
    /// The kind of call that took most of the time, if it was a measured one, and the time of all calls of this kind.
    pub call: Option<(Call, Duration)>,
    /// The number of the connection that the longest of these calls was for.
    pub connection: Option<usize>,
}

/// The name for stalls without a call that explains them.
const OTHER: &str = "other";

impl Stall {
    /// Explains a turn that worked for `worked` by the tally of its calls.
    pub fn new(turn: u64, at: SystemTime, worked: Duration, tally: &Tally) -> Stall {
        let slowest = tally.slowest().filter(|(_, time, _)| *time >= worked / 2);
        Stall {
            turn,
            at,
            worked,
            call: slowest.map(|(call, time, _)| (call, time)),
            connection: slowest.map(|(.., connection)| connection).filter(|connection| *connection > 0),
        }
    }

    /// Returns the name of the call.
    pub fn cause(&self) -> &'static str {
        self.call.map_or(OTHER, |(call, _)| call.name())
    }
}

impl Stalls {
    /// Counts and logs a stall. A disk that hangs stalls every turn, so the log gets at most one line a second.
    pub fn report(&mut self, stall: Stall) {
        self.counts[stall.call.map_or(Call::ALL.len(), |(call, _)| call as usize)] += 1;
        let since = self.logged.and_then(|logged| stall.at.duration_since(logged).ok());
        if since.is_none_or(|since| since >= STALL_LOG_INTERVAL) {
            log(&stall, std::mem::take(&mut self.unlogged));
            self.logged = Some(stall.at);
        } else {
            self.unlogged += 1;
        }
        if self.recent.len() == STALLS_KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(stall);
    }

    /// Returns the number of stalls.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the number of stalls by the name of the call that took most of the time.
    pub fn causes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = Call::ALL.into_iter().map(Call::name).chain([OTHER]);
        names.zip(self.counts)
    }

    /// Returns the last stalls, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Stall> {
        self.recent.iter()
    }
}

fn log(stall: &Stall, unlogged: u64) {
    let Stall { turn, worked, .. } = stall;
    let reason = match stall.call {
        Some((call, time)) => format!("{time:.1?} of it in {}", call.name()),
        None => "none of the measured calls took most of it".to_owned(),
    };
    let connection = stall.connection.map_or(String::new(), |id| format!(" for connection {id}"));
    let others = if unlogged > 0 { format!("; {unlogged} more since the last line") } else { String::new() };
    log::warn!("turn {turn} took {worked:.1?}, {reason}{connection}{others}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Instant;
    use crate::clock::calls::{driving, take, timed};
    use std::time::UNIX_EPOCH;

    /// Returns the tally of a call that took some time for a connection.
    fn tally() -> Tally {
        take();
        driving(17);
        let begun = Instant::now();
        timed(Call::Hash, || while Instant::now() - begun < Duration::from_millis(1) {});
        take()
    }

    #[test]
    fn a_call_is_the_cause_if_it_took_half_of_the_turn() {
        let tally = tally();
        let hash = tally.of(Call::Hash).total;
        for (worked, expected) in [
            (hash, ("hash", Some((Call::Hash, hash)), Some(17))),
            (hash * 2, ("hash", Some((Call::Hash, hash)), Some(17))),
            (hash * 2 + Duration::from_nanos(2), ("other", None, None)),
            (hash * 100, ("other", None, None)),
        ] {
            let stall = Stall::new(3, UNIX_EPOCH, worked, &tally);
            assert_eq!((stall.cause(), stall.call, stall.connection), expected, "{worked:?}");
        }
        let stall = Stall::new(3, UNIX_EPOCH, hash, &Tally::default());
        assert_eq!((stall.cause(), stall.connection), ("other", None));
    }

    #[test]
    fn a_stall_without_a_connection_has_none() {
        take();
        timed(Call::List, || ());
        let tally = take();
        let stall = Stall::new(3, UNIX_EPOCH, tally.of(Call::List).total, &tally);
        assert_eq!((stall.cause(), stall.connection), ("list", None));
    }

    #[test]
    fn at_most_one_stall_a_second_is_logged_and_all_are_counted() {
        let tally = tally();
        let mut stalls = Stalls::default();
        // The clock is set back before the last one.
        for (millis, unlogged) in [(0, 0), (10, 1), (999, 2), (1000, 0), (1999, 1), (5000, 0), (4000, 0)] {
            let at = UNIX_EPOCH + Duration::from_millis(millis);
            stalls.report(Stall::new(millis, at, tally.of(Call::Hash).total, &tally));
            assert_eq!(stalls.unlogged, unlogged, "{millis}");
        }
        let causes: Vec<(&str, u64)> = stalls.causes().filter(|(_, count)| *count > 0).collect();
        assert_eq!((stalls.count(), causes), (7, vec![("hash", 7)]));
        assert_eq!(stalls.recent().map(|stall| stall.turn).last(), Some(4000));
    }
}
