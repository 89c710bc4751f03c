//! The end of the loop: what is under way is finished, within a time.

use std::time::Instant;

use super::EventLoop;
use super::network::Network;
use super::source::{SourceKind, WakeReason};
use crate::clock::Now;
use crate::close_reason::CloseReason;
use crate::limits::{LISTEN_BACKLOG, TURN_ACCEPTS};

impl<N: Network> EventLoop<N> {
    /// Begins to end: takes what is in the backlogs, closes the listeners, and lets every
    /// connection finish what is under way. From then on no answer keeps its connection.
    pub fn drain(&mut self, now: Now) {
        if self.is_draining() {
            return;
        }
        self.services.core.clock.advance(now);
        self.services.core.draining_since = Some(now.monotonic);
        for key in std::mem::take(&mut self.listeners) {
            // New connections may come as fast as they are taken; a full backlog is enough.
            let mut batches = LISTEN_BACKLOG as usize / TURN_ACCEPTS;
            while self.receive(key) && batches > 0 {
                batches -= 1;
            }
            self.remove(key);
        }
        // Whoever has nothing under way has less time now.
        let keys: Vec<usize> = self.sources.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.queue(key, WakeReason::More));
    }

    /// Whether the loop was asked to end.
    pub fn is_draining(&self) -> bool {
        self.services.core.is_draining()
    }

    /// Whether the loop was drained and its last connection has ended.
    pub fn is_finished(&self) -> bool {
        self.is_draining() && self.connections == 0
    }

    /// The time to end is over.
    pub(super) fn abort_remaining(&mut self) {
        let connections =
            self.sources.iter().filter(|(_, source)| matches!(source.kind, SourceKind::Connection(..)));
        let keys: Vec<usize> = connections.map(|(key, _)| key).collect();
        if !keys.is_empty() {
            log::warn!("cutting off {} connections that are still busy", keys.len());
        }
        for key in keys {
            self.sources[key].queued = None;
            self.close(key, CloseReason::Aborted);
        }
        self.schedule.clear_ready();
    }

    /// When connections that are left at the end are cut off.
    pub(super) fn drain_until(&self) -> Option<Instant> {
        self.services.core.draining_since.map(|since| since + self.services.core.limits.timeouts.drain)
    }
}
