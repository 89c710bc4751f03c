//! What all protocols and the loop share: the clock, the limits, the counts, the library.

use std::time::Instant;

use crate::clock::{Clock, Now};
use crate::close_reason::CloseReason;
use crate::limits::{DRAIN_GRACE, Limits};
use crate::observe::{LineLog, Statistics};
use crate::store::Library;

/// The shared part of the services.
pub struct Core {
    /// The current turn's time.
    pub clock: Clock,
    /// What connections may hold and how long they may take.
    pub limits: Limits,
    /// What happened so far.
    pub statistics: Statistics,
    /// When draining began, if it has: from then on every response closes its connection.
    pub draining_since: Option<Instant>,
    /// The files that every protocol reads and writes.
    pub library: Library,
    /// The ports on which datagrams are received.
    pub datagram_ports: Vec<u16>,
    /// What the log macros write to.
    pub event_log: Option<LineLog>,
}

impl Core {
    /// With the clock at `now`, and nothing counted.
    pub fn new(library: Library, limits: Limits, now: Now) -> Core {
        Core {
            clock: Clock::new(now),
            limits,
            statistics: Statistics::default(),
            draining_since: None,
            library,
            datagram_ports: Vec::new(),
            event_log: None,
        }
    }

    /// Whether the server drains.
    pub fn is_draining(&self) -> bool {
        self.draining_since.is_some()
    }

    /// Until when an idle connection may stay: until `deadline`, or for a moment once the server drains.
    pub fn idle_deadline(&self, deadline: Instant) -> Instant {
        self.draining_since.map_or(deadline, |since| deadline.min(since + DRAIN_GRACE))
    }

    /// Whether the server drains, and requests that were under way when that began have had their time to
    /// arrive.
    pub fn is_past_drain_grace(&self) -> bool {
        self.draining_since.is_some_and(|since| self.clock.now.monotonic >= since + DRAIN_GRACE)
    }

    /// Why an idle connection is closed at its deadline.
    pub fn idle_close_reason(&self) -> CloseReason {
        if self.is_draining() { CloseReason::Drained } else { CloseReason::IdleTimeout }
    }
}
