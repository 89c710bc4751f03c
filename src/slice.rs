//! Bytes that several hold: made once, sent many times.

use std::ops::{Deref, Range};
use std::rc::Rc;

/// A part of shared bytes. To copy it is to count a reference.
#[derive(Clone, Debug)]
pub struct Slice {
    whole: Rc<[u8]>,
    range: Range<usize>,
}

impl Slice {
    /// The part of this one that `range` says.
    pub fn part(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.range.len());
        let start = self.range.start;
        Slice { whole: Rc::clone(&self.whole), range: start + range.start..start + range.end }
    }

    /// Drops the first `count` bytes, which were sent.
    pub fn advance(&mut self, count: usize) {
        self.range.start += count.min(self.range.len());
    }
}

impl<B: Into<Rc<[u8]>>> From<B> for Slice {
    fn from(bytes: B) -> Slice {
        let whole: Rc<[u8]> = bytes.into();
        Slice { range: 0..whole.len(), whole }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.whole[self.range.clone()]
    }
}
