//! The library: one folder of files that every protocol reads and writes.

mod digest;
mod error;
mod files;
mod items;
mod lookup;
mod name;
mod partial;
mod quota;
mod rules;
mod staging;
mod system;
mod unlisted;
mod upload;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, unlinkat};

use super::descriptors::{CountedFile, DescriptorPermit, Descriptors};
use crate::limits::PARTIAL_SWEEP;
pub use digest::Sha256Digest;
pub use error::LibraryError;
use error::reading;
pub use files::LibraryFiles;
pub use items::{Item, Items};
use items::{exists, item, replaced};
use lookup::{open, stat_of};
pub use name::Name;
use partial::Partial;
pub use partial::UploadKey;
use quota::Reservation;
pub use rules::{KeepFree, LibraryRules};
use staging::Staging;
pub use unlisted::Unlisted;
pub use upload::{Stored, Upload};

/// The library's folder, and the rules for its files.
pub struct Library {
    folder: Rc<OwnedFd>,
    rules: LibraryRules,
    staging: Staging,
    next_sweep: NextSweep,
    /// The latest modification time that was given to a stored file.
    changed: SystemTime,
    descriptors: Descriptors,
}

/// When partial uploads are swept next.
#[derive(Clone, Copy, Debug)]
enum NextSweep {
    /// At the first run of background tasks, to find the partial uploads of an earlier server process.
    AtOnce,
    At(Instant),
    /// Not before there is a partial upload.
    Never,
}

impl Library {
    /// Opens the library at `path`, and removes the hidden files that a crash left there.
    pub fn open(path: &Path, rules: LibraryRules) -> io::Result<Library> {
        let folder = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let next_sweep = if rules.read_only { NextSweep::Never } else { NextSweep::AtOnce };
        let folder = Rc::new(folder);
        let staging = Staging::new(Rc::clone(&folder), &rules)?;
        Ok(Library {
            folder,
            rules,
            staging,
            next_sweep,
            changed: SystemTime::UNIX_EPOCH,
            descriptors: Descriptors::default(),
        })
    }

    /// Opens and lists files and accepts uploads only while there are `descriptors` for them.
    pub fn within(self, descriptors: Descriptors) -> Library {
        Library { descriptors, ..self }
    }

    pub fn rules(&self) -> &LibraryRules {
        &self.rules
    }

    /// Returns the library's files as a `Store`, for a site.
    pub fn files(&self) -> LibraryFiles {
        LibraryFiles { folder: Rc::clone(&self.folder), descriptors: self.descriptors.clone() }
    }

    /// Begins to list the files, in no particular order.
    pub fn list(&self) -> Result<Items, LibraryError> {
        Items::of(&self.folder, Some(self.permit(1)?))
    }

    /// Counts the entries of the folder that the library does not show.
    pub fn unlisted(&self) -> Result<Unlisted, LibraryError> {
        Unlisted::count(&self.folder)
    }

    /// Returns the name, length and modification time of a file without opening it.
    pub fn stat(&self, name: &Name) -> Result<Item, LibraryError> {
        let stat = stat_of(&self.folder, name).map_err(reading)?;
        item(name, &stat).ok_or(LibraryError::NotFound)
    }

    pub fn read(&self, name: &Name) -> Result<(Rc<CountedFile>, Item), LibraryError> {
        // Only regular files are opened: opening a FIFO could wake its other end.
        self.stat(name)?;
        let file = open(&self.folder, name.as_str()).map_err(reading)?;
        let item = item(name, &fstat(&file)?).ok_or(LibraryError::NotFound)?;
        Ok((self.descriptors.count(file.into()).ok_or(LibraryError::Busy)?, item))
    }

    /// Begins an upload of `length` bytes, if the length is known. The file is not visible before it is
    /// stored.
    pub fn create(&self, name: &Name, length: Option<u64>) -> Result<Upload, LibraryError> {
        let replaced = self.check(name, length)?;
        let reservation = Reservation::new(&self.staging.quota, length, replaced)?;
        Upload::begin(&self.staging, name, reservation, self.permit(1)?)
    }

    /// Begins or resumes a resumable upload, whose received bytes are kept when it is cut off. Fails with
    /// `Busy` while another connection writes to it.
    pub fn resume(&mut self, key: &UploadKey, now: (Instant, SystemTime)) -> Result<Upload, LibraryError> {
        let replaced = self.check(&key.name, Some(key.length))?;
        let reservation = Reservation::new(&self.staging.quota, None, replaced)?;
        let permit = self.permit(Partial::DESCRIPTORS)?;
        let partial = Partial::open(&self.folder, key)?;
        self.sweep(now);
        Upload::resume(&self.staging, key, partial, (reservation, permit))
    }

    fn permit(&self, held: usize) -> Result<DescriptorPermit, LibraryError> {
        self.descriptors.acquire(held).ok_or(LibraryError::Busy)
    }

    /// Returns how many bytes of a resumable upload were received.
    pub fn partial(&self, key: &UploadKey) -> Result<u64, LibraryError> {
        self.upload_max()?;
        partial::length(&self.folder, key)
    }

    /// Removes the received bytes of a resumable upload.
    pub fn abandon(&self, key: &UploadKey) -> Result<(), LibraryError> {
        self.upload_max()?;
        Partial::open(&self.folder, key)?.remove()
    }

    /// Removes partial uploads that are too old or too many, if a sweep is due. Returns when the next one is.
    pub fn run_background_tasks(&mut self, now: (Instant, SystemTime)) -> Option<Instant> {
        match self.next_sweep {
            NextSweep::AtOnce => self.sweep(now),
            NextSweep::At(at) if at <= now.0 => self.sweep(now),
            _ => {}
        }
        if let NextSweep::At(at) = self.next_sweep { Some(at) } else { None }
    }

    fn sweep(&mut self, now: (Instant, SystemTime)) {
        let LibraryRules { partial_max, partial_age, .. } = self.rules;
        let left = partial::sweep(&self.folder, (partial_max, partial_age), now.1);
        let left = left.unwrap_or_else(|error| {
            log::warn!("cannot read the folder of partial uploads: {error}");
            true
        });
        self.next_sweep = if left { NextSweep::At(now.0 + PARTIAL_SWEEP) } else { NextSweep::Never };
    }

    /// Checks whether the rules permit an upload, and returns the length of the file that it would replace.
    fn check(&self, name: &Name, length: Option<u64>) -> Result<u64, LibraryError> {
        let most = self.upload_max()?;
        if length.is_some_and(|length| length > most) {
            return Err(LibraryError::TooLarge);
        }
        exists(&self.folder)?;
        replaced(&self.folder, name, self.rules.overwrite)
    }

    /// Stores an upload with the modification time `now`, or a little later: modification times are unique,
    /// because versions of a file are distinguished by modification time and length.
    pub fn store(&mut self, upload: Upload, now: SystemTime) -> Result<Stored, LibraryError> {
        self.changed = now.max(self.changed + Duration::from_nanos(1));
        upload.commit(self.changed)
    }

    /// Returns the maximum length of an upload in bytes, or `ReadOnly`.
    pub fn upload_max(&self) -> Result<u64, LibraryError> {
        if self.rules.read_only { Err(LibraryError::ReadOnly) } else { Ok(self.rules.max_upload) }
    }

    pub fn remove(&self, name: &Name) -> Result<(), LibraryError> {
        self.upload_max()?;
        let Item { length, .. } = self.stat(name)?;
        Ok(self
            .staging
            .quota
            .change(0, length, || unlinkat(&*self.folder, name.as_str(), AtFlags::empty()))?)
    }
}
