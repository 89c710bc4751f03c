//! Counts the descriptors of files that stay open between turns: those of uploads, of files that are too
//! large for memory, and of folders being listed. Their number is limited, so that connections never lack a
//! descriptor.

use std::cell::Cell;
use std::fs::File;
use std::ops::Deref;
use std::rc::Rc;

/// The descriptors that the files of all stores share. A clone is the same set.
#[derive(Clone, Debug)]
pub struct Descriptors(Rc<Counts>);

#[derive(Debug)]
struct Counts {
    most: usize,
    used: Cell<usize>,
    /// Whether the log says that the limit was reached.
    is_reported: Cell<bool>,
}

/// The right to hold some descriptors, given back on drop.
#[derive(Debug)]
pub struct DescriptorPermit {
    counts: Rc<Counts>,
    held: usize,
}

/// An open file whose descriptor is counted.
#[derive(Debug)]
pub struct CountedFile {
    file: File,
    _permit: DescriptorPermit,
}

impl Descriptors {
    /// Creates a set of `most` descriptors.
    pub fn new(most: usize) -> Descriptors {
        Descriptors(Rc::new(Counts { most, used: Cell::new(0), is_reported: Cell::new(false) }))
    }

    /// Returns the number of descriptors in use.
    pub fn used(&self) -> usize {
        self.0.used.get()
    }

    /// Returns the maximum number of descriptors in use.
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// Takes `held` descriptors, or returns `None` if fewer are left.
    pub(super) fn acquire(&self, held: usize) -> Option<DescriptorPermit> {
        let used = self.0.used.get() + held;
        if used > self.0.most {
            if !self.0.is_reported.replace(true) {
                log::warn!(
                    "all {} file descriptors for uploads and large files are in use; clients are told to \
                     try again; ulimit -n raises the limit",
                    self.0.most
                );
            }
            return None;
        }
        self.0.used.set(used);
        Some(DescriptorPermit { counts: Rc::clone(&self.0), held })
    }

    /// Counts an open file, or closes it if no descriptor is left.
    pub fn count(&self, file: File) -> Option<Rc<CountedFile>> {
        Some(Rc::new(CountedFile { file, _permit: self.acquire(1)? }))
    }
}

/// Without a limit, for tests and small programs.
impl Default for Descriptors {
    fn default() -> Descriptors {
        Descriptors::new(usize::MAX)
    }
}

impl Drop for DescriptorPermit {
    fn drop(&mut self) {
        self.counts.used.set(self.counts.used.get() - self.held);
    }
}

impl Deref for CountedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_permits_free_their_descriptors() {
        let descriptors = Descriptors::new(3);
        let other = descriptors.clone();
        let two = descriptors.acquire(2);
        assert!(two.is_some() && other.acquire(2).is_none());
        let one = other.acquire(1);
        assert!(one.is_some() && descriptors.acquire(1).is_none());
        drop(two);
        assert_eq!((descriptors.used(), descriptors.acquire(2).is_some()), (1, true));
    }
}
