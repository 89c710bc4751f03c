//! What may still be written: the disk keeps some space free, and the library may have a bound.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::{fstat, fstatvfs};

use super::{Items, KeepFree, LibraryError, LibraryRules, modified};

/// The space that uploads share.
#[derive(Debug)]
pub struct Space {
    folder: Rc<OwnedFd>,
    max_library: Option<u64>,
    keep_free: KeepFree,
    /// Bytes that uploads under way will still write.
    unwritten: Cell<u64>,
    /// Bytes that they have written or will write.
    under_way: Cell<u64>,
    /// Bytes of the files, as counted when the folder was last changed at that time.
    counted: Cell<Option<(SystemTime, u64)>>,
}

/// Space that one upload has spoken for, until it is stored or given up.
#[derive(Debug)]
pub struct Reservation {
    space: Rc<Space>,
    unwritten: u64,
    written: u64,
}

/// Bytes that an upload of unknown length speaks for at a time.
const STEP: u64 = 8 << 20;

impl Space {
    /// The space for the files of `folder`.
    pub fn new(folder: Rc<OwnedFd>, rules: &LibraryRules) -> Space {
        let LibraryRules { max_library, keep_free, .. } = *rules;
        let (unwritten, under_way, counted) = Default::default();
        Space { folder, max_library, keep_free, unwritten, under_way, counted }
    }

    /// Bytes that nobody has spoken for.
    fn left(&self) -> Result<u64, LibraryError> {
        let disk = fstatvfs(&*self.folder)?;
        let kept = match self.keep_free {
            KeepFree::Percent(percent) => (disk.f_blocks * disk.f_frsize) / 100 * percent,
            KeepFree::Bytes(bytes) => bytes,
        };
        let free = (disk.f_bavail * disk.f_frsize).saturating_sub(kept).saturating_sub(self.unwritten.get());
        Ok(match self.max_library {
            Some(most) => free.min(most.saturating_sub(self.size()?).saturating_sub(self.under_way.get())),
            None => free,
        })
    }

    /// Bytes of the library's files. They are counted anew only when somebody else has changed the
    /// folder.
    fn size(&self) -> Result<u64, LibraryError> {
        let changed = modified(&fstat(&*self.folder)?);
        if let Some((then, bytes)) = self.counted.get()
            && then == changed
        {
            return Ok(bytes);
        }
        let mut items = Items::of(&self.folder)?;
        let mut bytes: u64 = 0;
        loop {
            let slice = items.next(1024)?;
            if slice.is_empty() {
                break;
            }
            bytes += slice.iter().map(|item| item.length).sum::<u64>();
        }
        self.counted.set(Some((changed, bytes)));
        Ok(bytes)
    }

    /// Notes a change of our own to the folder: files of so many bytes more and less.
    pub fn note(&self, more: u64, less: u64) {
        let Some((_, bytes)) = self.counted.take() else { return };
        if let Ok(stat) = fstat(&*self.folder) {
            self.counted.set(Some((modified(&stat), (bytes + more).saturating_sub(less))));
        }
    }
}

impl Reservation {
    /// Speaks for `length` bytes, or, where that is not known, for as many as have come.
    pub fn new(space: &Rc<Space>, length: Option<u64>) -> Result<Reservation, LibraryError> {
        let mut reservation = Reservation { space: Rc::clone(space), unwritten: 0, written: 0 };
        reservation.reserve(length.unwrap_or(0), length.unwrap_or(0))?;
        Ok(reservation)
    }

    /// Speaks for `wanted` bytes more, or for what there is, but not for less than `least`.
    fn reserve(&mut self, wanted: u64, least: u64) -> Result<(), LibraryError> {
        let bytes = self.space.left()?.min(wanted);
        if bytes < least {
            return Err(LibraryError::NoSpace);
        }
        self.unwritten += bytes;
        self.space.unwritten.set(self.space.unwritten.get() + bytes);
        self.space.under_way.set(self.space.under_way.get() + bytes);
        Ok(())
    }

    /// Makes sure that so many bytes may be written.
    pub fn ensure(&mut self, bytes: u64) -> Result<(), LibraryError> {
        match bytes.saturating_sub(self.unwritten) {
            0 => Ok(()),
            missing => self.reserve(missing.max(STEP), missing),
        }
    }

    /// So many bytes of it were written.
    pub fn write(&mut self, bytes: u64) {
        self.unwritten -= bytes;
        self.written += bytes;
        self.space.unwritten.set(self.space.unwritten.get() - bytes);
    }

    /// Bytes that were written.
    pub fn written(&self) -> u64 {
        self.written
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.space.unwritten.set(self.space.unwritten.get() - self.unwritten);
        self.space.under_way.set(self.space.under_way.get() - self.unwritten - self.written);
    }
}
