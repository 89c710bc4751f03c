//! Measures the calls that can block the loop, to find the one that made a turn slow. The tally of the current turn is
//! a thread-local, not a value passed through the store and the transports: it is only read to explain a slow turn, and
//! nothing depends on it. The program has one thread, and a test has one loop per thread.

use std::cell::Cell;
use std::time::Duration;

use super::Instant;

/// A kind of call that can block the loop: a system call, or a slice of computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Opens, creates or inspects a file or a folder.
    Open,
    /// Reads a file.
    Read,
    /// Writes a file, gives it its name, or removes it.
    Write,
    /// Syncs a file or a folder to the disk.
    Fsync,
    /// Computes a SHA-256.
    Hash,
    /// Compresses a slice of a file.
    Compress,
    /// Reads the entries of a folder.
    List,
    /// Computes a step of a TLS handshake.
    Handshake,
    /// Sends a part of a file without encryption.
    SendFile,
    /// Writes to a log file, or opens it again.
    Log,
}

/// The measured calls of one kind in a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTimes {
    /// The number of calls.
    pub count: u32,
    /// The total time of all calls.
    pub total: Duration,
    /// The time of the longest call.
    pub longest: Duration,
    /// The number of the connection that the longest call was for; 0 if it was for none.
    pub connection: usize,
}

/// The measured calls of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([CallTimes; Call::ALL.len()]);

/// The tally while the turn lasts.
struct CurrentTurn {
    times: [Cell<CallTimes>; Call::ALL.len()],
    /// Whether a call was measured in this turn.
    has_calls: Cell<bool>,
    /// The time of the calls that were measured within the one that is running.
    inner: Cell<Duration>,
    /// The number of the connection that is driven; 0 if none is.
    connection: Cell<usize>,
}

thread_local! {
    // Constant and without a destructor: an access is a load relative to the thread pointer.
    static CURRENT: CurrentTurn = const { CurrentTurn::new() };
}

impl Call {
    /// All kinds.
    pub const ALL: [Call; 10] = [
        Call::Open,
        Call::Read,
        Call::Write,
        Call::Fsync,
        Call::Hash,
        Call::Compress,
        Call::List,
        Call::Handshake,
        Call::SendFile,
        Call::Log,
    ];

    /// Returns the name for logs and the admin interface.
    pub fn name(self) -> &'static str {
        match self {
            Call::Open => "open",
            Call::Read => "read",
            Call::Write => "write",
            Call::Fsync => "fsync",
            Call::Hash => "hash",
            Call::Compress => "compress",
            Call::List => "list",
            Call::Handshake => "handshake",
            Call::SendFile => "sendfile",
            Call::Log => "log",
        }
    }
}

/// Runs `work`, and adds its time to the tally of the current turn. If calls are nested, the outer one counts without
/// the inner ones, so the totals of a turn never exceed its length.
#[inline]
pub fn timed<T>(call: Call, work: impl FnOnce() -> T) -> T {
    let before = CURRENT.with(|turn| turn.inner.replace(Duration::ZERO));
    let begun = Instant::now();
    let result = work();
    let time = Instant::now() - begun;
    CURRENT.with(|turn| turn.add(call, time, before));
    result
}

/// Attributes the following calls to a connection, or with 0 to none.
#[inline]
pub fn driving(connection: usize) {
    CURRENT.with(|turn| turn.connection.set(connection));
}

/// Ends a turn: returns its tally, and begins the next one, in which no connection is driven yet.
pub fn take() -> Tally {
    CURRENT.with(|turn| match turn.begin() {
        true => Tally(std::array::from_fn(|index| turn.times[index].take())),
        false => Tally::default(),
    })
}

/// Ends a turn like [`take`], without its tally. If no call was measured, this costs one test.
#[inline]
pub fn reset() {
    CURRENT.with(|turn| {
        if turn.begin() {
            turn.times.iter().for_each(|times| times.set(CallTimes::default()));
        }
    });
}

impl CurrentTurn {
    const fn new() -> CurrentTurn {
        const NONE: CallTimes =
            CallTimes { count: 0, total: Duration::ZERO, longest: Duration::ZERO, connection: 0 };
        CurrentTurn {
            times: [const { Cell::new(NONE) }; Call::ALL.len()],
            has_calls: Cell::new(false),
            inner: Cell::new(Duration::ZERO),
            connection: Cell::new(0),
        }
    }

    /// Adds a call that took `time`. `before` is the time of the inner calls that ended before this one began.
    fn add(&self, call: Call, time: Duration, before: Duration) {
        let own = time.saturating_sub(self.inner.get());
        self.inner.set(before + time);
        self.has_calls.set(true);
        let cell = &self.times[call as usize];
        let mut times = cell.get();
        if times.count == 0 || own > times.longest {
            (times.longest, times.connection) = (own, self.connection.get());
        }
        times.count = times.count.saturating_add(1);
        times.total += own;
        cell.set(times);
    }

    /// Begins the next turn. Returns whether the tally has calls of the last one.
    fn begin(&self) -> bool {
        self.connection.set(0);
        self.inner.set(Duration::ZERO);
        self.has_calls.replace(false)
    }
}

impl Tally {
    /// Returns the calls of one kind.
    pub fn of(&self, call: Call) -> CallTimes {
        self.0[call as usize]
    }

    /// Returns the kind of call that took the most time in total, that time, and the connection of its longest call.
    /// Returns `None` if no call was measured.
    pub fn slowest(&self) -> Option<(Call, Duration, usize)> {
        let measured = Call::ALL.into_iter().zip(self.0).filter(|(_, times)| times.count > 0);
        let (call, times) = measured.max_by_key(|(_, times)| times.total)?;
        Some((call, times.total, times.connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works for at least `milliseconds`.
    fn spin(milliseconds: u64) {
        let begun = Instant::now();
        while Instant::now() - begun < Duration::from_millis(milliseconds) {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn names_are_unique_and_kinds_are_in_the_order_of_the_tally() {
        let names = Call::ALL.map(Call::name);
        let expected = "open read write fsync hash compress list handshake sendfile log";
        assert_eq!(names.join(" "), expected);
        assert!(Call::ALL.iter().enumerate().all(|(index, call)| *call as usize == index));
    }

    #[test]
    fn calls_are_counted_until_the_turn_ends() {
        assert_eq!((take(), take().slowest()), (Tally::default(), None));
        assert_eq!(timed(Call::Read, || 7), 7);
        timed(Call::Read, || spin(2));
        let tally = take();
        let read = tally.of(Call::Read);
        assert_eq!((read.count, tally.of(Call::Write).count), (2, 0));
        assert!(read.longest >= Duration::from_millis(2) && read.total >= read.longest);
        assert_eq!(take(), Tally::default());
        timed(Call::Log, || ());
        reset();
        assert_eq!(take(), Tally::default());
    }

    #[test]
    fn an_outer_call_counts_without_the_inner_ones() {
        reset();
        let begun = Instant::now();
        timed(Call::Open, || {
            timed(Call::Read, || spin(10));
            spin(5);
            timed(Call::Read, || timed(Call::Hash, || spin(10)));
            timed(Call::Open, || spin(5));
        });
        // A later call is not shortened by those before it.
        timed(Call::Write, || spin(5));
        let whole = Instant::now() - begun;
        let tally = take();
        let calls = [(Call::Open, 2, 10), (Call::Read, 2, 10), (Call::Hash, 1, 10), (Call::Write, 1, 5)];
        for (call, count, least) in calls {
            let times = tally.of(call);
            assert_eq!(times.count, count, "{call:?}");
            assert!(times.total >= Duration::from_millis(least), "{call:?} took {:?}", times.total);
        }
        // Would be exceeded by at least 25 ms if the outer calls included the inner ones.
        assert!(calls.iter().map(|(call, ..)| tally.of(*call).total).sum::<Duration>() <= whole);
    }

    #[test]
    fn the_slowest_kind_has_the_largest_total_and_names_the_connection_of_its_longest_call() {
        reset();
        let mut tally = Tally::default();
        let milliseconds = Duration::from_millis;
        for (call, time, connection) in
            [(Call::Hash, 5, 1), (Call::Fsync, 12, 2), (Call::Hash, 7, 3), (Call::Hash, 6, 4)]
        {
            driving(connection);
            CURRENT.with(|turn| turn.add(call, milliseconds(time), Duration::ZERO));
            // The time of the call counts as that of an inner one.
            CURRENT.with(|turn| turn.inner.set(Duration::ZERO));
            tally = CURRENT.with(|turn| Tally(std::array::from_fn(|index| turn.times[index].get())));
        }
        assert_eq!(tally.slowest(), Some((Call::Hash, milliseconds(18), 3)));
        assert_eq!(take(), tally);
    }

    #[test]
    fn no_connection_is_driven_at_the_beginning_of_a_turn() {
        for end in [reset, || assert_ne!(take(), Tally::default())] {
            driving(17);
            timed(Call::Open, || ());
            assert_eq!(CURRENT.with(|turn| turn.times[0].get().connection), 17);
            end();
            timed(Call::Open, || ());
            assert_eq!(
                take().slowest().map(|(call, _, connection)| (call, connection)),
                Some((Call::Open, 0))
            );
        }
    }
}
