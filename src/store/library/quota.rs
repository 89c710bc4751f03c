//! The space for uploads: some of the disk stays free, and the library may have a maximum size.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::{fstat, fstatvfs};

use super::error::LibraryError;
use super::items::Items;
use super::rules::{KeepFree, LibraryRules};
use crate::clock::calls::{Call, timed};
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
        let disk = timed(Call::Open, || fstatvfs(&*self.folder))?;
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
    /// modification time would hide that change. A failure leaves the total as it is.
    pub(super) fn change<T, E>(
        &self,
        more: u64,
        less: u64,
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let time = || fstat(&*self.folder).map(|stat| modified(&stat)).ok();
        let known = self.counted.take().filter(|(then, _)| time() == Some(*then));
        let made = change();
        match (known, time()) {
            (Some((_, bytes)), Some(now)) if made.is_ok() => {
                self.counted.set(Some((now, bytes.saturating_add(more).saturating_sub(less))));
            }
            // The total of an earlier time is not used, so it does no harm.
            (known, _) => self.counted.set(known),
        }
        made
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

#[cfg(test)]
mod tests {
    use crate::clock::Instant;
    use std::fs::File;
    use std::time::Duration;

    use super::*;
    use crate::store::{Library, Name, Sha256Digest, UploadKey};

    #[test]
    fn the_folder_of_partial_uploads_does_not_change_the_total() {
        let folder = tempfile::tempdir().expect("a folder");
        let rules = LibraryRules { max_library: Some(1000), ..LibraryRules::default() };
        let mut library = Library::open(folder.path(), rules).expect("a library");
        let quota = Rc::clone(&library.location.current().quota);
        let name = Name::parse(b"a").expect("a name");
        let key = UploadKey { length: 10, sha256: Sha256Digest([0; 32]), name };
        let now = (Instant::now(), SystemTime::now());
        // A total that no count would yield, as of a time that every change of the folder replaces.
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::open(folder.path()).and_then(|file| file.set_modified(long_ago)).expect("a new time");
        quota.counted.set(Some((long_ago, 7)));
        let hidden = folder.path().join(".evserve-partial");
        let mut upload = library.resume(&key, now).expect("an upload");
        upload.write(b"x").expect("space");
        assert!(hidden.exists() && quota.size().is_ok_and(|size| size == 7));
        // The folder exists now.
        drop(upload);
        drop(library.resume(&key, now).expect("the same upload"));
        assert!(quota.size().is_ok_and(|size| size == 7));
        library.abandon(&key).expect("the end");
        library.run_background_tasks(now);
        assert!(!hidden.exists() && quota.size().is_ok_and(|size| size == 7));
        // A change by another program is counted.
        std::fs::write(folder.path().join("theirs"), "their").expect("a file");
        assert!(quota.size().is_ok_and(|size| size == 5));
    }
}
