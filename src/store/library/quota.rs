//! What may still be written: the disk keeps some space free, and the library may have a bound.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::{fstat, fstatvfs};

use super::error::LibraryError;
use super::items::Items;
use super::rules::{KeepFree, LibraryRules};
use crate::store::version::modified;

/// The space that uploads share.
#[derive(Debug)]
pub(super) struct DiskQuota {
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
pub(super) struct Reservation {
    quota: Rc<DiskQuota>,
    unwritten: u64,
    written: u64,
    /// Bytes of the file that it replaces.
    replaced: u64,
}

impl DiskQuota {
    /// The space for the files of `folder`.
    pub(super) fn new(folder: Rc<OwnedFd>, rules: &LibraryRules) -> DiskQuota {
        let LibraryRules { max_library, keep_free, .. } = *rules;
        DiskQuota {
            folder,
            max_library,
            keep_free,
            unwritten: Cell::new(0),
            under_way: Cell::new(0),
            counted: Cell::new(None),
        }
    }

    /// Bytes that nobody has spoken for, for who replaces so many of the library's.
    fn left(&self, replaced: u64) -> Result<u64, LibraryError> {
        let disk = fstatvfs(&*self.folder)?;
        let kept = match self.keep_free {
            KeepFree::Percent(percent) => disk.f_blocks.saturating_mul(disk.f_frsize) / 100 * percent,
            KeepFree::Bytes(bytes) => bytes,
        };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let free = free.saturating_sub(kept).saturating_sub(self.unwritten.get());
        Ok(match self.max_library {
            Some(most) => {
                let kept = self.size()?.saturating_sub(replaced).saturating_add(self.under_way.get());
                free.min(most.saturating_sub(kept))
            }
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
            bytes = slice.iter().fold(bytes, |sum, item| sum.saturating_add(item.length));
        }
        self.counted.set(Some((changed, bytes)));
        Ok(bytes)
    }

    /// Makes a change of our own to the folder, which brings so many bytes more and less. What somebody
    /// else has changed before must not be hidden by it: then the files are counted anew.
    pub(super) fn change<T, E>(
        &self,
        more: u64,
        less: u64,
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let time = || fstat(&*self.folder).map(|stat| modified(&stat)).ok();
        let known = self.counted.take().filter(|(then, _)| time() == Some(*then));
        let made = change()?;
        if let (Some((_, bytes)), Some(now)) = (known, time()) {
            self.counted.set(Some((now, bytes.saturating_add(more).saturating_sub(less))));
        }
        Ok(made)
    }
}

impl Reservation {
    /// Speaks for `length` bytes, or, where that is not known, for as many as have come.
    pub(super) fn new(
        quota: &Rc<DiskQuota>,
        length: Option<u64>,
        replaced: u64,
    ) -> Result<Reservation, LibraryError> {
        let mut reservation = Reservation { quota: Rc::clone(quota), unwritten: 0, written: 0, replaced };
        reservation.reserve(length.unwrap_or(0))?;
        Ok(reservation)
    }

    /// Speaks for so many bytes more.
    fn reserve(&mut self, bytes: u64) -> Result<(), LibraryError> {
        if bytes > self.quota.left(self.replaced)? {
            return Err(LibraryError::NoSpace);
        }
        self.unwritten += bytes;
        self.quota.unwritten.set(self.quota.unwritten.get() + bytes);
        self.quota.under_way.set(self.quota.under_way.get() + bytes);
        Ok(())
    }

    /// Makes sure that so many bytes may be written.
    pub(super) fn ensure(&mut self, bytes: u64) -> Result<(), LibraryError> {
        match bytes.saturating_sub(self.unwritten) {
            0 => Ok(()),
            missing => self.reserve(missing),
        }
    }

    /// So many bytes of it were written.
    pub(super) fn write(&mut self, bytes: u64) {
        self.unwritten -= bytes;
        self.written += bytes;
        self.quota.unwritten.set(self.quota.unwritten.get() - bytes);
    }

    /// What it is of.
    pub(super) fn quota(&self) -> &Rc<DiskQuota> {
        &self.quota
    }

    /// So many bytes of it were written before.
    pub(super) fn add_written(&mut self, bytes: u64) {
        self.written += bytes;
        self.quota.under_way.set(self.quota.under_way.get() + bytes);
    }

    /// Bytes that were written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.quota.unwritten.set(self.quota.unwritten.get() - self.unwritten);
        self.quota.under_way.set(self.quota.under_way.get() - self.unwritten - self.written);
    }
}
