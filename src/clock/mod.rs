//! The time as the protocols see it. The loop reads the clocks once a turn; the HTTP date is formatted once a
//! second. [`calls`] measures what makes a turn slow.

pub mod calls;

mod instant;

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;
use jiff::{Timestamp, tz::TimeZone};

pub use instant::Instant;

/// Formats a time as RFC 3339, in whole seconds of UTC: `1994-11-06T08:49:37Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).ok(),
        Err(before) => i64::try_from(before.duration().as_secs()).ok().map(|seconds| -seconds),
    };
    let at = seconds(time).and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic time, for deadlines. It never goes back.
    pub monotonic: Instant,
    /// The time of day, for people and for HTTP. It jumps when the clock is set.
    pub wall: SystemTime,
}

impl Now {
    /// Reads both clocks (`clock_gettime`, without a system call on Linux). Called only by the server's start and the
    /// trace; turns read them by [`SystemClock`].
    pub fn read() -> Now {
        Now { monotonic: Instant::now(), wall: SystemTime::now() }
    }
}

impl std::ops::Add<Duration> for Now {
    type Output = Now;

    fn add(self, by: Duration) -> Now {
        Now { monotonic: self.monotonic + by, wall: self.wall + by }
    }
}

/// The system's clocks, read once a turn. Turns under load are shorter than the time of day needs to be exact, so it is
/// read again only after a millisecond.
#[derive(Debug, Default)]
pub struct SystemClock {
    /// The last reading of both clocks.
    last: Option<Now>,
}

/// How old the time of day may be. File systems count in ticks that are longer.
const WALL_EXACT: Duration = Duration::from_millis(1);

impl SystemClock {
    /// Reads the clocks.
    pub fn read(&mut self) -> Now {
        let monotonic = Instant::now();
        match self.last {
            Some(Now { monotonic: last, wall }) if monotonic - last < WALL_EXACT => Now { monotonic, wall },
            _ => *self.last.insert(Now { monotonic, wall: SystemTime::now() }),
        }
    }
}

/// The time of the current turn.
pub struct Clock {
    /// Both clocks at the beginning of the turn.
    pub now: Now,
    /// The seconds since 1970, as `date` shows them.
    second: u64,
    date: [u8; HTTP_DATE_LEN],
    zone: TimeZone,
}

/// The length of an IMF-fixdate (RFC 9110 section 5.6.7).
const HTTP_DATE_LEN: usize = 29;

impl Clock {
    /// Creates a clock set to `now`, in the time zone of the system.
    pub fn new(now: Now) -> Clock {
        let mut clock =
            Clock { now, second: u64::MAX, date: [b' '; HTTP_DATE_LEN], zone: TimeZone::system() };
        clock.advance(now);
        clock
    }

    /// Sets the clock to `now`.
    pub fn advance(&mut self, now: Now) {
        self.now = now;
        let second = now.wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            // Formatted in place: no allocation under steady traffic.
            let _ = write!(&mut self.date[..], "{}", HttpDate::from(within_range(now.wall)));
        }
    }

    /// Returns the seconds since 1970.
    pub fn second(&self) -> u64 {
        self.second
    }

    /// Returns the value of the `Date` field.
    pub fn http_date(&self) -> &[u8] {
        &self.date
    }

    /// Returns the local time in the format of C's `ctime`, without its newline: `Fri Nov 20 23:29:42 2026`.
    pub fn ctime(&self) -> String {
        self.local("%a %b %e %H:%M:%S %Y")
    }

    /// Returns the local time in a format of `strftime`.
    pub fn local(&self, format: &str) -> String {
        match Timestamp::try_from(self.now.wall) {
            Ok(at) => at.to_zoned_datetime(self.zone.clone()).strftime(format).to_string(),
            Err(_) => String::new(),
        }
    }
}

/// Formats `time` as an IMF-fixdate, clamped to the years 1970 to 9999.
pub fn http_date(time: SystemTime) -> String {
    httpdate::fmt_http_date(within_range(time))
}

fn within_range(time: SystemTime) -> SystemTime {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Now {
        Now { monotonic: Instant::now(), wall: UNIX_EPOCH + Duration::from_secs(second) }
    }

    #[test]
    fn the_http_date_changes_with_the_second() {
        let mut clock = Clock::new(at(784_111_777));
        assert_eq!(clock.http_date(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        clock.advance(at(784_111_778));
        assert_eq!(clock.http_date(), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }

    #[test]
    fn dates_outside_1970_to_9999_are_clamped() {
        assert_eq!(http_date(UNIX_EPOCH - Duration::from_secs(9)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(UNIX_EPOCH + Duration::from_secs(1 << 40)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn ctime_pads_the_day_with_a_space() {
        let mut clock = Clock::new(at(784_111_777));
        clock.zone = TimeZone::UTC;
        assert_eq!(clock.ctime(), "Sun Nov  6 08:49:37 1994");
    }
}
