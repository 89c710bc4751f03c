//! What the server lends to its protocols for the time of a call: the clock, the stores, the
//! limits, and the counts of what happened.

use std::time::Instant;

use crate::clock::{Clock, Now};
use crate::close_reason::CloseReason;
use crate::limits::{DRAIN_GRACE, Limits};
use crate::store::{Bounds, Cache, Store};

/// The services of one event loop.
pub struct Services {
    /// The current turn's time.
    pub clock: Clock,
    /// The site that HTTP serves.
    pub site: Box<dyn Store>,
    /// What of the site was asked for lately.
    pub cache: Cache,
    /// What connections may hold and how long they may take.
    pub limits: Limits,
    /// What happened so far.
    pub statistics: Statistics,
    /// When the server was asked to end, if it was: from then on every answer is its connection's
    /// last one.
    pub draining_since: Option<Instant>,
}

impl Services {
    /// Services that serve `site`, with the clock at `now`.
    pub fn new(site: Box<dyn Store>, limits: Limits, now: Now) -> Services {
        let clock = Clock::new(now);
        let cache = Cache::new(Bounds::within(limits.max_connections));
        Services { clock, site, cache, limits, statistics: Statistics::default(), draining_since: None }
    }

    /// Does what is due by itself, at the end of a turn. Returns when there is more of it.
    pub fn housekeep(&mut self) -> Option<Instant> {
        self.cache.sweep(self.clock.now());
        self.cache.sweep_at()
    }

    /// Until when a connection on which nothing is under way may stay although the server ends.
    pub fn grace_ends(&self) -> Option<Instant> {
        self.draining_since.map(|since| since + DRAIN_GRACE)
    }
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Connections that were accepted and served.
    pub accepted: u64,
    /// Connections that were turned away: over the limit of their peer, or without a descriptor
    /// to spare.
    pub turned_away: u64,
    /// Requests that were answered.
    pub requests: u64,
    ended: [u64; CloseReason::ALL.len()],
}

impl Statistics {
    /// Counts the end of a connection.
    pub fn count_end(&mut self, reason: CloseReason) {
        self.ended[reason as usize] += 1;
    }

    /// How many connections ended for this reason.
    pub fn ended(&self, reason: CloseReason) -> u64 {
        self.ended[reason as usize]
    }

    /// How many connections ended.
    pub fn ended_in_all(&self) -> u64 {
        self.ended.iter().sum()
    }
}
