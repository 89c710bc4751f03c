//! The space for uploads: some of the disk stays free, and the library may have a maximum size.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::{fstat, fstatvfs};

use super::error::LibraryError;
use super::items::Items;
use super::rules::{KeepFree, LibraryRules};
use crate::store::version::modified;

/// The space that all uploads to a library share.
#[derive(Debug)]
pub(super) struct DiskQuota {
    folder: Rc<OwnedFd>,
    max_library: Option<u64>,
    keep_free: KeepFree,
    /// The bytes that uploads in progress have reserved and not yet written.
    unwritten: Cell<u64>,
    /// The bytes that uploads in progress have reserved or written.
    in_progress: Cell<u64>,
    /// The folder's modification time, and the total length of the files in bytes as of then.
    counted: Cell<Option<(SystemTime, u64)>>,
}

/// The space that one upload has reserved, until it is stored or dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    quota: Rc<DiskQuota>,
    unwritten: u64,
    written: u64,
    /// The length in bytes of the file that the upload replaces.
    replaced: u64,
}

impl DiskQuota {
    pub(super) fn new(folder: Rc<OwnedFd>, rules: &LibraryRules) -> DiskQuota {
        let LibraryRules { max_library, keep_free, .. } = *rules;
        DiskQuota {
            folder,
            max_library,
            keep_free,
            unwritten: Cell::new(0),
            in_progress: Cell::new(0),
            counted: Cell::new(None),
        }
    }

    /// Returns the unreserved bytes for an upload that replaces a file of `replaced` bytes.
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
                let kept = self.size()?.saturating_sub(replaced).saturating_add(self.in_progress.get());
                free.min(most.saturating_sub(kept))
            }
            None => free,
        })
    }

    /// Returns the total length of the library's files in bytes. They are counted again only after another
    /// program has changed the folder.
    fn size(&self) -> Result<u64, LibraryError> {
        let changed = modified(&fstat(&*self.folder)?);
        if let Some((then, bytes)) = self.counted.get()
            && then == changed
        {
            return Ok(bytes);
        }
        let mut items = Items::of(&self.folder, None)?;
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

    /// Runs `change`, which adds `more` bytes to the folder and removes `less`, and updates the total. If
    /// another program has changed the folder since the count, the total is dropped instead: the new
    /// modification time would hide that change.
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
    /// Reserves `length` bytes. If the length is unknown, [`ensure`](Reservation::ensure) reserves bytes as
    /// they are received.
    pub(super) fn new(
        quota: &Rc<DiskQuota>,
        length: Option<u64>,
        replaced: u64,
    ) -> Result<Reservation, LibraryError> {
        let mut reservation = Reservation { quota: Rc::clone(quota), unwritten: 0, written: 0, replaced };
        reservation.reserve(length.unwrap_or(0))?;
        Ok(reservation)
    }

    /// Reserves `bytes` more bytes.
    fn reserve(&mut self, bytes: u64) -> Result<(), LibraryError> {
        if bytes > self.quota.left(self.replaced)? {
            return Err(LibraryError::NoSpace);
        }
        self.unwritten += bytes;
        self.quota.unwritten.set(self.quota.unwritten.get() + bytes);
        self.quota.in_progress.set(self.quota.in_progress.get() + bytes);
        Ok(())
    }

    /// Makes sure that at least `bytes` unwritten bytes are reserved.
    pub(super) fn ensure(&mut self, bytes: u64) -> Result<(), LibraryError> {
        match bytes.saturating_sub(self.unwritten) {
            0 => Ok(()),
            missing => self.reserve(missing),
        }
    }

    /// Records that `bytes` reserved bytes were written.
    pub(super) fn write(&mut self, bytes: u64) {
        self.unwritten -= bytes;
        self.written += bytes;
        self.quota.unwritten.set(self.quota.unwritten.get() - bytes);
    }

    pub(super) fn quota(&self) -> &Rc<DiskQuota> {
        &self.quota
    }

    /// Records `bytes` bytes that were written before the upload was resumed.
    pub(super) fn add_written(&mut self, bytes: u64) {
        self.written += bytes;
        self.quota.in_progress.set(self.quota.in_progress.get() + bytes);
    }

    /// Returns the number of bytes written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.quota.unwritten.set(self.quota.unwritten.get() - self.unwritten);
        self.quota.in_progress.set(self.quota.in_progress.get() - self.unwritten - self.written);
    }
}
