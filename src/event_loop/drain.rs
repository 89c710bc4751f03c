//! Draining: the loop finishes the requests in progress, within a time limit, and ends.

use super::EventLoop;
use super::network::Network;
use super::source::{SourceKind, WakeReason};
use crate::clock::{Instant, Now};
use crate::close_reason::CloseReason;
use crate::limits::{LISTEN_BACKLOG, TURN_ACCEPTS};

impl<N: Network> EventLoop<N> {
    /// Starts to drain: accepts the connections in the backlogs, closes the listeners, and lets every
    /// connection finish its requests in progress. From then on, connections are not kept open for further
    /// requests.
    pub fn drain(&mut self, now: Now) {
        if self.is_draining() {
            return;
        }
        self.services.begin_turn(now);
        self.services.core.draining_since = Some(now.monotonic);
        // The admin interface tells that the server drains.
        let (admin, listeners): (Vec<usize>, Vec<usize>) =
            std::mem::take(&mut self.listeners).into_iter().partition(|key| self.sources[*key].is_admin());
        self.listeners = admin;
        for key in listeners {
            // Connections may arrive as fast as they are accepted, so stop after as many as fill a backlog.
            let mut batches = LISTEN_BACKLOG as usize / TURN_ACCEPTS;
            while self.receive(key) && batches > 0 {
                batches -= 1;
            }
            self.remove(key);
        }
        // Connections with nothing in progress get a shorter deadline.
        let keys: Vec<usize> = self.sources.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.queue(key, WakeReason::More));
    }

    /// Returns whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.services.core.is_draining()
    }

    /// Returns whether draining has begun and the last connection has closed.
    pub fn is_finished(&self) -> bool {
        self.is_draining() && self.connections == 0
    }

    /// Closes the remaining connections at the end of the drain timeout.
    pub(super) fn abort_remaining(&mut self) {
        let connections = self
            .sources
            .iter()
            .filter(|(_, source)| matches!(source.kind, SourceKind::Connection(..)) && !source.is_admin());
        let keys: Vec<usize> = connections.map(|(key, _)| key).collect();
        if !keys.is_empty() {
            log::warn!("the drain timeout expired; closing {} connections that are still busy", keys.len());
        }
        for key in keys {
            self.sources[key].queued = None;
            self.close(key, CloseReason::Aborted);
        }
        self.schedule.clear_ready();
    }

    /// Writes the lines of the access log whose responses are still being sent, as the program exits.
    pub fn end_access_log(&mut self) {
        for (_, source) in &self.sources {
            if let SourceKind::Connection(_, connection) = &source.kind {
                connection.log_end(source.token.generation(), connection.closing(), &mut self.services);
            }
        }
        if let Some(log) = &mut self.services.http.access_log {
            log.flush();
        }
    }

    /// Returns when the remaining connections are cut off, or `None` before draining has begun.
    pub(super) fn drain_until(&self) -> Option<Instant> {
        self.services.core.draining_since.map(|since| since + self.services.core.limits.timeouts.drain)
    }
}
