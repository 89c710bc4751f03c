//! The files of uploads: hidden while they are received and hashed, and given their name atomically.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::{AtFlags, FlockOperation, OFlags, flock, fstat, fsync, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::digest::Sha256Digest;
use super::error::LibraryError;
use super::items::replaced;
use super::name::Name;
use super::partial::{Partial, UploadKey};
use super::quota::Reservation;
use super::rules::OnDuplicate;
use super::staging::{Staging, StagingMode, hidden_name};
use super::system::{self, NEW_MODE, WRITE};
use crate::clock::calls::{Call, timed};
use crate::limits::{DUPLICATES_MAX, REHASH_SLICE_BYTES};
use crate::store::{DescriptorPermit, FileVersion};

/// The file of an upload in progress. It has a hidden name or none.
#[derive(Debug)]
pub(super) struct HiddenFile {
    file: File,
    folder: Rc<OwnedFd>,
    hidden: Option<HiddenName>,
    /// The name under which the file will be stored.
    name: Name,
    hasher: Sha256,
    /// The range of earlier received bytes that a resumed upload still has to hash.
    unhashed: Range<u64>,
    /// The announced SHA-256 of the complete file.
    expected: Option<Sha256Digest>,
    /// Whether the received bytes are kept if the upload is cut off, because it is resumable.
    is_kept: bool,
    /// The maximum length of the file in bytes.
    most: u64,
    reservation: Reservation,
    _permit: DescriptorPermit,
    on_duplicate: OnDuplicate,
    fsync: bool,
}

/// The hidden name of an upload that is not in an unnamed file.
#[derive(Debug)]
struct HiddenName {
    folder: Rc<OwnedFd>,
    name: String,
}

/// A stored file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The name, which is not the requested one if that was taken.
    pub name: Name,
    /// The length in bytes.
    pub length: u64,
    pub sha256: Sha256Digest,
    /// Whether there was no file with this name before.
    pub is_new: bool,
}

/// The interval, in written bytes, at which write-back to the disk is started.
const WRITE_BACK_BYTES: u64 = 8 << 20;

impl HiddenFile {
    /// Begins an upload in a new hidden or unnamed file.
    pub(super) fn begin(
        staging: &Staging,
        name: &Name,
        accounts: (Reservation, DescriptorPermit),
    ) -> Result<HiddenFile, LibraryError> {
        let folder = Rc::clone(&staging.folder);
        let (file, hidden) = match staging.mode {
            StagingMode::Unnamed => (system::unnamed(&folder)?, None),
            StagingMode::Named => {
                let hidden = hidden_name();
                let flags = WRITE | OFlags::CREATE | OFlags::EXCL;
                let file = staging.quota.change(0, 0, || openat(&*folder, &hidden, flags, NEW_MODE))?;
                // The lock keeps other servers' sweeps from removing the file.
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                let folder = Rc::clone(&folder);
                (file, Some(HiddenName { folder, name: hidden }))
            }
        };
        Ok(HiddenFile::of(staging, name, (file, hidden), accounts))
    }

    /// Resumes an upload, if there is space for the rest.
    pub(super) fn resume(
        staging: &Staging,
        key: &UploadKey,
        partial: Partial,
        (mut reservation, permit): (Reservation, DescriptorPermit),
    ) -> Result<HiddenFile, LibraryError> {
        let Partial { folder, name, file, length } = partial;
        let hidden = HiddenName { folder, name };
        reservation.add_written(length);
        let mut upload = HiddenFile::of(staging, &key.name, (file, Some(hidden)), (reservation, permit));
        upload.unhashed = 0..length;
        upload.expected = Some(key.sha256);
        upload.is_kept = true;
        upload.most = key.length;
        upload.reservation.ensure(key.length - length)?;
        Ok(upload)
    }

    fn of(
        staging: &Staging,
        name: &Name,
        (file, hidden): (OwnedFd, Option<HiddenName>),
        (reservation, permit): (Reservation, DescriptorPermit),
    ) -> HiddenFile {
        HiddenFile {
            file: file.into(),
            folder: Rc::clone(&staging.folder),
            hidden,
            name: name.clone(),
            hasher: Sha256::new(),
            unhashed: 0..0,
            expected: None,
            is_kept: false,
            most: staging.max_upload,
            reservation,
            _permit: permit,
            on_duplicate: staging.on_duplicate,
            fsync: staging.fsync,
        }
    }

    /// Returns whether [`rehash`](HiddenFile::rehash) has to be called before more bytes are written.
    pub(super) fn is_rehashing(&self) -> bool {
        !self.unhashed.is_empty()
    }

    /// Hashes a slice of the bytes that were received before the upload was resumed.
    pub(super) fn rehash(&mut self) -> Result<(), LibraryError> {
        let length = (self.unhashed.end - self.unhashed.start).min(REHASH_SLICE_BYTES as u64);
        let mut slice = vec![0; length as usize];
        timed(Call::Read, || self.file.read_exact_at(&mut slice, self.unhashed.start))?;
        timed(Call::Hash, || self.hasher.update(&slice));
        self.unhashed.start += length;
        Ok(())
    }

    /// Returns whether the file is for the library in `folder`.
    pub(super) fn is_in(&self, folder: &Rc<OwnedFd>) -> bool {
        Rc::ptr_eq(&self.folder, folder)
    }

    /// Fails if the name is taken, even if the rules allow to replace the file or to choose another name.
    pub(super) fn refuse_duplicate(&mut self) {
        self.on_duplicate = OnDuplicate::Refuse;
    }

    /// Fails at the end with `Mismatch` if the file does not have this digest.
    pub(super) fn expect(&mut self, sha256: Sha256Digest) {
        self.expected = Some(sha256);
    }

    /// Removes the received bytes, also those of a resumable upload.
    pub(super) fn discard(mut self) {
        self.is_kept = false;
    }

    /// Returns the number of bytes written, including those written before the upload was resumed.
    pub(super) fn written(&self) -> u64 {
        self.reservation.written()
    }

    /// Appends `bytes`. Fails if the file gets too large, or space runs out.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), LibraryError> {
        let length = bytes.len() as u64;
        if self.written() + length > self.most {
            return Err(LibraryError::TooLarge);
        }
        self.reservation.ensure(length)?;
        timed(Call::Write, || self.file.write_all(bytes))?;
        timed(Call::Hash, || self.hasher.update(bytes));
        let before = self.written();
        self.reservation.write(length);
        if before / WRITE_BACK_BYTES != self.written() / WRITE_BACK_BYTES {
            let begin = before - before % WRITE_BACK_BYTES;
            timed(Call::Write, || system::begin_write_back(&self.file, begin));
        }
        Ok(())
    }

    /// Gives the complete file its name, atomically, and the modification time `changed`. Fails if the name
    /// is taken, unless the rules allow to replace the file or to choose another name.
    pub(super) fn commit(mut self, changed: SystemTime) -> Result<(Stored, FileVersion), LibraryError> {
        let sha256 = Sha256Digest::of(self.hasher.clone());
        if self.expected.is_some_and(|expected| expected != sha256) {
            self.is_kept = false;
            return Err(LibraryError::Mismatch);
        }
        let replaced = replaced(&self.folder, &self.name, self.on_duplicate)?;
        self.file.set_modified(changed)?;
        if self.fsync {
            timed(Call::Fsync, || fsync(&self.file))?;
        }
        let quota = Rc::clone(self.reservation.quota());
        quota.change(self.written(), replaced.unwrap_or(0), || self.place())?;
        if self.fsync {
            timed(Call::Fsync, || fsync(&*self.folder))?;
        }
        // The upload is complete, so nothing is kept for resuming.
        self.is_kept = false;
        // The removal changes the version of the file (ctime).
        self.remove_hidden_name();
        let version = FileVersion::from(&fstat(&self.file)?);
        let (name, length) = (self.name.clone(), self.written());
        Ok((Stored { name, length, sha256, is_new: replaced.is_none() }, version))
    }

    fn remove_hidden_name(&mut self) {
        if let Some(hidden) = self.hidden.take() {
            let unlink = || unlinkat(&*hidden.folder, &hidden.name, AtFlags::empty());
            let _ = self.reservation.quota().change(0, 0, unlink);
        }
    }

    fn place(&mut self) -> Result<(), LibraryError> {
        match self.on_duplicate {
            OnDuplicate::Refuse => Ok(self.place_as(&self.name.clone())?),
            OnDuplicate::Replace => self.replace(),
            OnDuplicate::Rename => self.place_renamed(),
        }
    }

    /// Gives the file a name. Fails with `EXIST` if it is taken.
    fn place_as(&mut self, name: &Name) -> rustix::io::Result<()> {
        let name = name.as_str();
        let Some(hidden) = &self.hidden else { return system::link(&self.file, &self.folder, name) };
        match linkat(&*hidden.folder, &hidden.name, &*self.folder, name, AtFlags::empty()) {
            // The file system has no hard links, as on the memory cards of cameras and phones.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {
                system::rename_new(&hidden.folder, &hidden.name, &self.folder, name)?;
                self.hidden = None;
                Ok(())
            }
            linked => linked,
        }
    }

    /// Gives the file its name, or the first numbered one that is free.
    fn place_renamed(&mut self) -> Result<(), LibraryError> {
        for name in numbered_names(&self.name.clone()) {
            match self.place_as(&name) {
                Err(Errno::EXIST) => {}
                placed => {
                    self.name = name;
                    return Ok(placed?);
                }
            }
        }
        Err(LibraryError::Exists)
    }

    fn replace(&mut self) -> Result<(), LibraryError> {
        // linkat(2) cannot replace a file, but renameat(2) can: an unnamed file gets a hidden name first.
        if self.hidden.is_none() {
            let hidden = hidden_name();
            system::link(&self.file, &self.folder, &hidden)?;
            self.hidden = Some(HiddenName { folder: Rc::clone(&self.folder), name: hidden });
        }
        if let Some(hidden) = &self.hidden {
            renameat(&*hidden.folder, &hidden.name, &*self.folder, self.name.as_str())?;
            self.hidden = None;
        }
        Ok(())
    }
}

/// Returns the names under which an upload may be stored if its name is taken, in the order of their use.
pub(super) fn numbered_names(name: &Name) -> impl Iterator<Item = Name> {
    let first = name.clone();
    let numbered = (1..=DUPLICATES_MAX).map(move |number| first.numbered(number));
    std::iter::once(name.clone()).chain(numbered)
}

impl Drop for HiddenFile {
    fn drop(&mut self) {
        if !self.is_kept || self.written() == 0 {
            self.remove_hidden_name();
        }
        // A child process that was just forked may keep the descriptor open, and with it the lock.
        let _ = flock(&self.file, FlockOperation::NonBlockingUnlock);
    }
}
