//! The inspector: what the admin handlers ask of the event loop, and its answers. A handler that is called within a
//! turn cannot see the slab, so it asks; the loop answers at the end of the turn, and the handler, called again in the
//! next turn, finds the answer.

use std::rc::Rc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::clock::Instant;
use crate::limits::{CENSUS_COST, FRAME_INTERVAL, LAST_REQUEST_MAX_BYTES, VIEWERS_MAX, WATCHED_FOR};
use crate::observe::Census;

/// The questions and the answers.
#[derive(Debug, Default)]
pub struct Inspector {
    asked: Detail,
    /// The answer at the end of the last turn, if one was asked for.
    census: Option<Rc<Census>>,
    /// The numbers of connections to close.
    closing: Vec<usize>,
    /// Which of those of the last turn were there.
    closed: Vec<(usize, bool)>,
    /// Until when the connections are watched. Meanwhile the last request of each is noted.
    watched_until: Option<Instant>,
    last_requests: HashMap<usize, Vec<u8>>,
    /// The last frame of the live view, and the number of its turn. All viewers share it.
    frame: Option<(u64, Rc<str>)>,
    /// The viewers of the live view share it, so it counts them.
    viewers: Rc<()>,
}

/// The place of a viewer of the live view, given back on drop.
#[derive(Debug)]
pub struct ViewerPlace {
    _counted: Rc<()>,
}

/// How much of the loop's state is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Nothing is asked for.
    #[default]
    Nothing,
    /// The slab and sums over the connections.
    Overview,
    /// Every connection as well.
    Connections,
}

impl Inspector {
    /// Watches the connections for [`WATCHED_FOR`]: the last request of each is noted.
    pub fn watch(&mut self, now: Instant) {
        self.watched_until = Some(now + WATCHED_FOR);
    }

    /// Asks the loop for a census at the end of this turn, unless it has made one at the end of the last turn.
    pub fn census(&mut self, detail: Detail) -> Option<Rc<Census>> {
        let is_enough = |census: &&Rc<Census>| detail < Detail::Connections || census.has_connections;
        if let Some(census) = self.census.as_ref().filter(is_enough) {
            return Some(Rc::clone(census));
        }
        self.asked = self.asked.max(detail);
        None
    }

    /// Asks the loop to close a connection at the end of this turn. Returns whether it did at the end of the last turn,
    /// if it was asked to.
    pub fn close(&mut self, connection: usize) -> Option<bool> {
        if let Some(index) = self.closed.iter().position(|(asked, _)| *asked == connection) {
            return Some(self.closed.swap_remove(index).1);
        }
        self.closing.push(connection);
        None
    }

    /// Returns whether the loop has something to do here at the end of the turn.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.asked > Detail::Nothing
            || self.census.is_some()
            || self.watched_until.is_some()
            || !self.closing.is_empty()
            || !self.closed.is_empty()
    }

    /// Returns how much was asked for, and forgets the last answer.
    pub fn take_question(&mut self, now: Instant) -> Detail {
        self.census = None;
        if self.watched_until.is_some_and(|until| until <= now) {
            self.watched_until = None;
            self.last_requests = HashMap::new();
            self.frame = None;
        }
        std::mem::take(&mut self.asked)
    }

    /// Stores the answer.
    pub fn answer(&mut self, census: Census) {
        self.census = Some(Rc::new(census));
    }

    /// Returns the connections that are to be closed, and forgets which ones were.
    pub fn take_closing(&mut self) -> Vec<usize> {
        self.closed.clear();
        std::mem::take(&mut self.closing)
    }

    /// Stores whether a connection that was to be closed was there.
    pub fn answer_close(&mut self, connection: usize, closed: bool) {
        self.closed.push((connection, closed));
    }

    /// Returns whether the connections are watched.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.watched_until.is_some()
    }

    /// Notes the last request of a connection, if the connections are watched.
    pub fn note_request(&mut self, connection: usize, line: &[u8]) {
        if self.is_watched() {
            let noted = self.last_requests.entry(connection).or_default();
            noted.clear();
            noted.extend_from_slice(&line[..line.len().min(LAST_REQUEST_MAX_BYTES)]);
        }
    }

    /// Returns the last request of a connection, if it was noted.
    pub fn last_request(&self, connection: usize) -> Option<&[u8]> {
        self.last_requests.get(&connection).map(Vec::as_slice)
    }

    /// Forgets a connection that has closed.
    #[inline]
    pub fn forget(&mut self, connection: usize) {
        if self.is_watched() {
            self.last_requests.remove(&connection);
        }
    }

    /// Takes the place of a viewer, or returns `None` if [`VIEWERS_MAX`] are taken.
    pub fn admit_viewer(&self) -> Option<ViewerPlace> {
        let taken = Rc::strong_count(&self.viewers) - 1;
        (taken < VIEWERS_MAX).then(|| ViewerPlace { _counted: Rc::clone(&self.viewers) })
    }

    /// Returns the frame of the live view for a turn, if a viewer has made it.
    pub fn frame(&self, turn: u64) -> Option<Rc<str>> {
        self.frame.as_ref().filter(|(number, _)| *number == turn).map(|(_, frame)| Rc::clone(frame))
    }

    /// Returns the number of the turn of the last frame; 0 if there was none.
    pub fn last_frame(&self) -> u64 {
        self.frame.as_ref().map_or(0, |(turn, _)| *turn)
    }

    /// Stores the frame of a turn for the other viewers.
    pub fn keep_frame(&mut self, turn: u64, frame: Rc<str>) {
        self.frame = Some((turn, frame));
    }
}

/// Returns the time between two frames: a census of many sources takes longer, so there are fewer.
pub fn frame_interval(slots: usize) -> Duration {
    let cost = CENSUS_COST.saturating_mul(u32::try_from(slots).unwrap_or(u32::MAX));
    FRAME_INTERVAL.max(cost.saturating_mul(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_noted_for_ten_seconds_after_a_look() {
        let mut inspector = Inspector::default();
        let begun = Instant::now();
        inspector.note_request(1, b"GET /early");
        assert_eq!(inspector.last_request(1), None);
        inspector.watch(begun);
        inspector.note_request(1, b"GET /");
        inspector.take_question(begun + WATCHED_FOR - Duration::from_nanos(1));
        assert_eq!(inspector.last_request(1), Some(&b"GET /"[..]));
        inspector.take_question(begun + WATCHED_FOR);
        inspector.note_request(1, b"GET /late");
        assert_eq!(inspector.last_request(1), None);
    }
}
