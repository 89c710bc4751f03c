//! A point of monotonic time in eight bytes. `std::time::Instant` has sixteen, and a connection stores several.

use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A time of the monotonic clock, in nanoseconds. It never goes back. Sums and differences saturate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The earliest time.
    pub const ZERO: Instant = Instant(NonZeroU64::MIN);

    /// Reads the clock (`clock_gettime`, without a system call on Linux; the call for this clock cannot fail).
    #[inline]
    pub fn now() -> Instant {
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        Instant::of(nanos(time))
    }

    /// Returns the time since `earlier`, or zero if that is later.
    #[inline]
    pub fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    #[inline]
    fn of(nanos: u64) -> Instant {
        Instant(NonZeroU64::new(nanos).unwrap_or(Instant::ZERO.0))
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Returns the nanoseconds of a duration. Durations of more than 584 years become the longest possible one.
#[inline]
fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(NANOS_PER_SECOND).saturating_add(u64::from(duration.subsec_nanos()))
}

impl Add<Duration> for Instant {
    type Output = Instant;

    #[inline]
    fn add(self, by: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(by)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, by: Duration) -> Instant {
        Instant::of(self.0.get().saturating_sub(nanos(by)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    #[inline]
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_are_exact_and_saturate() {
        let (start, step) = (Instant::now(), Duration::from_nanos(1_500_000_001));
        let mut later = start + step;
        assert_eq!((later - start, later - step), (step, start));
        assert_eq!((start - later, start.saturating_duration_since(later)), (Duration::ZERO, Duration::ZERO));
        later += Duration::MAX;
        assert_eq!(later, start + Duration::MAX);
        assert!(later > start && start - Duration::MAX < start);
        assert!(Instant::now() >= start);
        assert_eq!(size_of::<Option<Instant>>(), 8);
    }
}
