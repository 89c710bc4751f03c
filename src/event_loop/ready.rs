//! Who is driven in this turn, and who has to wait for the next.

use std::collections::VecDeque;

use crate::limits::{REQUESTS_PER_BULK, TURN_BULK};

/// The keys of sources that have something to do. A key is in it at most once: its source knows.
#[derive(Debug, Default)]
pub struct Ready {
    /// Driven in the turn that comes.
    next: VecDeque<usize>,
    /// Those that have used up their share of a turn, of which a few go on in each.
    bulk: VecDeque<usize>,
}

/// How many are still to be driven in a turn.
#[derive(Debug)]
pub struct Turn {
    next: usize,
    bulk: usize,
}

impl Ready {
    /// Queues who has something to do.
    pub fn push(&mut self, key: usize) {
        self.next.push_back(key);
    }

    /// Queues who has more to do than its share of a turn.
    pub fn push_bulk(&mut self, key: usize) {
        self.bulk.push_back(key);
    }

    /// A turn of those that are queued by now.
    pub fn turn(&self) -> Turn {
        let next = self.next.len();
        Turn { next, bulk: self.bulk.len().min(TURN_BULK + next / REQUESTS_PER_BULK) }
    }

    /// Who comes next in a turn.
    pub fn pop(&mut self, turn: &mut Turn) -> Option<usize> {
        if let Some(left) = turn.next.checked_sub(1) {
            turn.next = left;
            return self.next.pop_front();
        }
        turn.bulk = turn.bulk.checked_sub(1)?;
        self.bulk.pop_front()
    }

    /// Whether nobody is queued.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty() && self.bulk.is_empty()
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        self.next.clear();
        self.bulk.clear();
    }
}
