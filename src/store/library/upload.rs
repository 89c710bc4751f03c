//! Uploads: written out of sight, hashed as they come, and put in their place at once or not at all.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::{AtFlags, FlockOperation, OFlags, flock, fsync, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::digest::Sha256Digest;
use super::error::LibraryError;
use super::items::replaced;
use super::name::Name;
use super::partial::{Partial, UploadKey};
use super::quota::Reservation;
use super::staging::{Staging, StagingMode, hidden_name};
use super::system::{self, NEW_MODE, WRITE};
use crate::limits::REHASH_SLICE_BYTES;

/// A file that is being written.
#[derive(Debug)]
pub struct Upload {
    file: File,
    folder: Rc<OwnedFd>,
    hidden: Option<Hidden>,
    name: Name,
    hasher: Sha256,
    /// The bytes that were here before and have not been hashed again.
    unhashed: Range<u64>,
    /// What it has to be, if that was announced. Then what has come is kept when it is cut off, to be
    /// taken up again.
    expected: Option<Sha256Digest>,
    /// Bytes that it may come to.
    most: u64,
    reservation: Reservation,
    overwrite: bool,
    fsync: bool,
}

/// The hidden name of what is being written, if it has one.
#[derive(Debug)]
struct Hidden {
    folder: Rc<OwnedFd>,
    name: String,
}

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub length: u64,
    /// Their hash.
    pub sha256: Sha256Digest,
}

/// After how many bytes they are sent on their way to the disk.
const WRITE_BACK_BYTES: u64 = 8 << 20;

impl Upload {
    /// Begins one for which there is space.
    pub(super) fn begin(
        staging: &Staging,
        name: &Name,
        reservation: Reservation,
    ) -> Result<Upload, LibraryError> {
        let folder = Rc::clone(&staging.folder);
        let (file, hidden) = match staging.mode {
            StagingMode::Unnamed => (system::unnamed(&folder)?, None),
            StagingMode::Named => {
                let hidden = hidden_name();
                let flags = WRITE | OFlags::CREATE | OFlags::EXCL;
                let file = staging.quota.change(0, 0, || openat(&*folder, &hidden, flags, NEW_MODE))?;
                // Who sweeps the folder sees by it that we live.
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                let folder = Rc::clone(&folder);
                (file, Some(Hidden { folder, name: hidden }))
            }
        };
        Ok(Upload::of(staging, name, (file, hidden), reservation))
    }

    /// Goes on with one, if there is space for the rest.
    pub(super) fn resume(
        staging: &Staging,
        key: &UploadKey,
        partial: Partial,
        mut reservation: Reservation,
    ) -> Result<Upload, LibraryError> {
        let Partial { folder, name, file, length } = partial;
        let hidden = Hidden { folder, name };
        reservation.add_written(length);
        let mut upload = Upload::of(staging, &key.name, (file, Some(hidden)), reservation);
        upload.unhashed = 0..length;
        upload.expected = Some(key.sha256);
        upload.most = key.length;
        upload.reservation.ensure(key.length - length)?;
        Ok(upload)
    }

    fn of(
        staging: &Staging,
        name: &Name,
        (file, hidden): (OwnedFd, Option<Hidden>),
        reservation: Reservation,
    ) -> Upload {
        Upload {
            file: file.into(),
            folder: Rc::clone(&staging.folder),
            hidden,
            name: name.clone(),
            hasher: Sha256::new(),
            unhashed: 0..0,
            expected: None,
            most: staging.max_upload,
            reservation,
            overwrite: staging.overwrite,
            fsync: staging.fsync,
        }
    }

    /// Whether bytes that were here before have to be [hashed again](Upload::rehash) before more are
    /// written.
    pub fn is_rehashing(&self) -> bool {
        !self.unhashed.is_empty()
    }

    /// Hashes a slice of the bytes that were here before.
    pub fn rehash(&mut self) -> Result<(), LibraryError> {
        let length = (self.unhashed.end - self.unhashed.start).min(REHASH_SLICE_BYTES as u64);
        let mut slice = vec![0; length as usize];
        self.file.read_exact_at(&mut slice, self.unhashed.start)?;
        self.hasher.update(&slice);
        self.unhashed.start += length;
        Ok(())
    }

    /// What it will be called.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Lets it take its name only if nobody has it, whatever the rules allow.
    pub fn only_if_new(mut self) -> Upload {
        self.overwrite = false;
        self
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.reservation.written()
    }

    /// Writes what comes next.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LibraryError> {
        let length = bytes.len() as u64;
        if self.written() + length > self.most {
            return Err(LibraryError::TooLarge);
        }
        self.reservation.ensure(length)?;
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        let before = self.written();
        self.reservation.write(length);
        if before / WRITE_BACK_BYTES != self.written() / WRITE_BACK_BYTES {
            system::begin_write_back(&self.file, before - before % WRITE_BACK_BYTES);
        }
        Ok(())
    }

    /// Puts the file in its place: whole, and only if nobody else has taken the name, unless files
    /// may be replaced. It says that it was changed then.
    pub(super) fn commit(mut self, changed: SystemTime) -> Result<Stored, LibraryError> {
        let sha256 = Sha256Digest::of(self.hasher.clone());
        if self.expected.is_some_and(|expected| expected != sha256) {
            self.expected = None;
            return Err(LibraryError::Mismatch);
        }
        let replaced = replaced(&self.folder, &self.name, self.overwrite)?;
        self.file.set_modified(changed)?;
        if self.fsync {
            fsync(&self.file)?;
        }
        let quota = Rc::clone(self.reservation.quota());
        quota.change(self.written(), replaced, || self.place())?;
        if self.fsync {
            fsync(&*self.folder)?;
        }
        // Nothing is left to be taken up again.
        self.expected = None;
        Ok(Stored { length: self.written(), sha256 })
    }

    fn place(&mut self) -> Result<(), LibraryError> {
        let name = self.name.as_str();
        if !self.overwrite {
            match &self.hidden {
                None => system::link(&self.file, &self.folder, name)?,
                Some(hidden) => {
                    match linkat(&*hidden.folder, &hidden.name, &*self.folder, name, AtFlags::empty()) {
                        // A file system without hard links, as those of cameras and phones.
                        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {
                            system::rename_new(&hidden.folder, &hidden.name, &self.folder, name)?;
                            self.hidden = None;
                        }
                        linked => linked?,
                    }
                }
            }
            return Ok(());
        }
        // A file without a name cannot replace one: it gets a hidden name first.
        if self.hidden.is_none() {
            let hidden = hidden_name();
            system::link(&self.file, &self.folder, &hidden)?;
            self.hidden = Some(Hidden { folder: Rc::clone(&self.folder), name: hidden });
        }
        if let Some(hidden) = &self.hidden {
            renameat(&*hidden.folder, &hidden.name, &*self.folder, name)?;
            self.hidden = None;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let is_kept = self.expected.is_some() && self.written() > 0;
        if let Some(hidden) = self.hidden.as_ref().filter(|_| !is_kept) {
            let unlink = || unlinkat(&*hidden.folder, &hidden.name, AtFlags::empty());
            let _ = self.reservation.quota().change(0, 0, unlink);
        }
        // The descriptor may live on in a child that was forked just now, and with it the lock.
        let _ = flock(&self.file, FlockOperation::NonBlockingUnlock);
    }
}
