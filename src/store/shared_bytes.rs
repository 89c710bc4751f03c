//! Reference-counted bytes: made once, sent many times.

use std::ops::{Deref, Range};
use std::rc::Rc;

/// A slice of shared bytes. Cloning it copies no bytes.
#[derive(Clone, Debug)]
pub struct SharedBytes {
    whole: Rc<[u8]>,
    // `u32` keeps this small, because it moves with every response. Content that would need more stays on
    // the disk.
    start: u32,
    end: u32,
}

impl SharedBytes {
    /// Returns the slice `range` of `whole`.
    pub fn of(whole: &Rc<[u8]>, range: Range<usize>) -> SharedBytes {
        assert!(range.start <= range.end && range.end <= whole.len());
        let narrow = |offset: usize| u32::try_from(offset).expect("a slice of less than 4 GiB");
        SharedBytes { start: narrow(range.start), end: narrow(range.end), whole: Rc::clone(whole) }
    }

    /// Returns the slice `range`, relative to this slice.
    pub fn part(&self, range: Range<usize>) -> SharedBytes {
        assert!(range.end <= self.len());
        let start = self.start as usize;
        SharedBytes::of(&self.whole, start + range.start..start + range.end)
    }

    /// Drops the first `count` bytes.
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
