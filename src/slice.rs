//! Bytes that several hold: made once, sent many times.

use std::ops::{Deref, Range};
use std::rc::Rc;

/// A part of shared bytes. To copy it is to count a reference.
#[derive(Clone, Debug)]
pub struct Slice {
    whole: Rc<[u8]>,
    // Narrow, since slices are handed on with every answer. What is larger than memory bodies may be
    // is never made a slice.
    start: u32,
    end: u32,
}

impl Slice {
    /// The part of this one that `range` says.
    pub fn part(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.len());
        let at = |offset: usize| self.start + offset as u32;
        Slice { whole: Rc::clone(&self.whole), start: at(range.start), end: at(range.end) }
    }

    /// Drops the first `count` bytes, which were sent.
    pub fn advance(&mut self, count: usize) {
        self.start += count.min(self.len()) as u32;
    }
}

impl<B: Into<Rc<[u8]>>> From<B> for Slice {
    fn from(bytes: B) -> Slice {
        let whole: Rc<[u8]> = bytes.into();
        let end = u32::try_from(whole.len()).expect("a slice of less than 4 GiB");
        Slice { whole, start: 0, end }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.whole[self.start as usize..self.end as usize]
    }
}
