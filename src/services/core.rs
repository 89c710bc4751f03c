//! The services that all protocols and the event loop share: clock, limits, inspector and library.

use super::Inspector;
use crate::clock::{Clock, Instant, Now};
use crate::close_reason::CloseReason;
use crate::limits::{DRAIN_GRACE, Limits};
use crate::observe::{LineLog, Recorder};
use crate::store::Library;

/// The services that all protocols and the event loop share.
pub struct Core {
    /// The clock, which shows the time of the current turn.
    pub clock: Clock,
    /// The limits and the timeouts of connections.
    pub limits: Limits,
    /// When the server was started.
    pub started: Now,
    /// The recorder of the turns.
    pub recorder: Recorder,
    /// The inspector.
    pub inspector: Inspector,
    /// The time at which draining began, if it has. While the server drains, every response closes its
    /// connection.
    pub draining_since: Option<Instant>,
    /// The library, whose files every protocol can read and write.
    pub library: Library,
    /// The local ports on which datagrams are received.
    pub datagram_ports: Vec<u16>,
    /// The log that the `log` macros write to.
    pub event_log: Option<LineLog>,
}

impl Core {
    /// Creates the services with the clock at `now` and all counters at zero.
    pub fn new(library: Library, limits: Limits, now: Now) -> Core {
        Core {
            clock: Clock::new(now),
            started: now,
            limits,
            recorder: Recorder::new(now.monotonic),
            inspector: Inspector::default(),
            draining_since: None,
            library,
            datagram_ports: Vec::new(),
            event_log: None,
        }
    }

    /// Returns whether the server is draining.
    pub fn is_draining(&self) -> bool {
        self.draining_since.is_some()
    }

    /// Returns the deadline of an idle connection: `deadline`, or the end of [`DRAIN_GRACE`] if the server is
    /// draining and that is earlier.
    pub fn idle_deadline(&self, deadline: Instant) -> Instant {
        self.draining_since.map_or(deadline, |since| deadline.min(since + DRAIN_GRACE))
    }

    /// Returns whether the server is draining and [`DRAIN_GRACE`] is over, the time for requests in flight to
    /// arrive.
    pub fn is_past_drain_grace(&self) -> bool {
        self.draining_since.is_some_and(|since| self.clock.now.monotonic >= since + DRAIN_GRACE)
    }

    /// Returns the close reason for an idle connection at its deadline.
    pub fn idle_close_reason(&self) -> CloseReason {
        if self.is_draining() { CloseReason::Drained } else { CloseReason::IdleTimeout }
    }
}
