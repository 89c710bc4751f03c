//! Bytes that several hold: made once, sent many times.

use std::ops::{Deref, Range};
use std::rc::Rc;

/// A part of shared bytes. To copy it is to count a reference.
#[derive(Clone, Debug)]
pub struct SharedBytes {
    whole: Rc<[u8]>,
    // Narrow, since slices are handed on with every answer. What is larger than memory bodies may be
    // is never made a slice.
    start: u32,
    end: u32,
}

impl SharedBytes {
    /// The part of `whole` that `range` says.
    pub fn of(whole: &Rc<[u8]>, range: Range<usize>) -> SharedBytes {
        assert!(range.start <= range.end && range.end <= whole.len());
        let narrow = |offset: usize| u32::try_from(offset).expect("a slice of less than 4 GiB");
        SharedBytes { start: narrow(range.start), end: narrow(range.end), whole: Rc::clone(whole) }
    }

    /// The part of this one that `range` says.
    pub fn part(&self, range: Range<usize>) -> SharedBytes {
        assert!(range.end <= self.len());
        let start = self.start as usize;
        SharedBytes::of(&self.whole, start + range.start..start + range.end)
    }

    /// Drops the first `count` bytes, which were sent.
    pub fn advance(&mut self, count: usize) {
        self.start += count.min(self.len()) as u32;
    }
}

impl<B: Into<Rc<[u8]>>> From<B> for SharedBytes {
    fn from(bytes: B) -> SharedBytes {
        let whole: Rc<[u8]> = bytes.into();
        SharedBytes::of(&whole, 0..whole.len())
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.whole[self.start as usize..self.end as usize]
    }
}
