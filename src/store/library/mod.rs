//! The library: one folder of files that every door reads and writes.

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
mod upload;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, unlinkat};

use crate::limits::PARTIAL_SWEEP;
pub use digest::Sha256Digest;
pub use error::LibraryError;
use error::reading;
pub use files::LibraryFiles;
pub use items::{Item, Items};
use items::{item, replaced, still_there};
use lookup::{open, stat_of};
pub use name::Name;
use partial::Partial;
pub use partial::UploadKey;
use quota::Reservation;
pub use rules::{KeepFree, LibraryRules};
use staging::Staging;
pub use upload::{Stored, Upload};

/// The library.
pub struct Library {
    folder: Rc<OwnedFd>,
    rules: LibraryRules,
    staging: Staging,
    next_sweep: NextSweep,
    /// When a file was last changed, by what it says itself.
    changed: SystemTime,
}

/// When partial uploads are looked through.
#[derive(Clone, Copy, Debug)]
enum NextSweep {
    /// In the first turn.
    AtOnce,
    /// Then.
    At(Instant),
    /// Not while there are none.
    Never,
}

impl Library {
    /// Opens the library at `path`, and removes what a crash has left there.
    pub fn open(path: &Path, rules: LibraryRules) -> io::Result<Library> {
        let folder = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let next_sweep = if rules.read_only { NextSweep::Never } else { NextSweep::AtOnce };
        let folder = Rc::new(folder);
        let staging = Staging::new(Rc::clone(&folder), &rules)?;
        Ok(Library { folder, rules, staging, next_sweep, changed: SystemTime::UNIX_EPOCH })
    }

    /// What may be done with it.
    pub fn rules(&self) -> &LibraryRules {
        &self.rules
    }

    /// The same files, for a site.
    pub fn files(&self) -> LibraryFiles {
        LibraryFiles(Rc::clone(&self.folder))
    }

    /// Begins to list the files, in no order.
    pub fn list(&self) -> Result<Items, LibraryError> {
        Items::of(&self.folder)
    }

    /// What is known of a file without opening it.
    pub fn stat(&self, name: &Name) -> Result<Item, LibraryError> {
        let stat = stat_of(&self.folder, name).map_err(reading)?;
        item(name, &stat).ok_or(LibraryError::NotFound)
    }

    /// Opens a file for reading.
    pub fn read(&self, name: &Name) -> Result<(Rc<File>, Item), LibraryError> {
        // What is no file is not opened: an open could wake the other end of a FIFO.
        self.stat(name)?;
        let file = open(&self.folder, name.as_str()).map_err(reading)?;
        let item = item(name, &fstat(&file)?).ok_or(LibraryError::NotFound)?;
        Ok((Rc::new(file.into()), item))
    }

    /// Begins an upload of `length` bytes, if that is known. Nothing is to be seen of it before it is
    /// committed.
    pub fn create(&self, name: &Name, length: Option<u64>) -> Result<Upload, LibraryError> {
        let replaced = self.check(name, length)?;
        let reservation = Reservation::new(&self.staging.quota, length, replaced)?;
        Upload::begin(&self.staging, name, reservation)
    }

    /// Begins an upload of which the beginning may be here, and keeps what comes of it. Nobody else
    /// writes to it meanwhile.
    pub fn resume(&mut self, key: &UploadKey, now: (Instant, SystemTime)) -> Result<Upload, LibraryError> {
        let replaced = self.check(&key.name, Some(key.length))?;
        let reservation = Reservation::new(&self.staging.quota, None, replaced)?;
        let partial = Partial::open(&self.folder, key)?;
        self.sweep(now);
        Upload::resume(&self.staging, key, partial, reservation)
    }

    /// How many bytes of an upload are here.
    pub fn partial(&self, key: &UploadKey) -> Result<u64, LibraryError> {
        self.upload_max()?;
        partial::length(&self.folder, key)
    }

    /// Gives up what has come of an upload.
    pub fn abandon(&self, key: &UploadKey) -> Result<(), LibraryError> {
        self.upload_max()?;
        Partial::open(&self.folder, key)?.remove()
    }

    /// Removes partial uploads that are too old or too many, now and then. Returns when there is more
    /// to do.
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
            log::warn!("cannot look through the partial uploads: {error}");
            true
        });
        self.next_sweep = if left { NextSweep::At(now.0 + PARTIAL_SWEEP) } else { NextSweep::Never };
    }

    /// Whether such an upload may be stored, as far as is known, and how many bytes it would replace.
    fn check(&self, name: &Name, length: Option<u64>) -> Result<u64, LibraryError> {
        let most = self.upload_max()?;
        if length.is_some_and(|length| length > most) {
            return Err(LibraryError::TooLarge);
        }
        still_there(&self.folder)?;
        replaced(&self.folder, name, self.rules.overwrite)
    }

    /// Stores an upload at the time `now`. No two files say that they were changed at the same time: by
    /// that and their length versions are told apart.
    pub fn store(&mut self, upload: Upload, now: SystemTime) -> Result<Stored, LibraryError> {
        self.changed = now.max(self.changed + Duration::from_nanos(1));
        upload.commit(self.changed)
    }

    /// Bytes that an upload may have.
    pub fn upload_max(&self) -> Result<u64, LibraryError> {
        if self.rules.read_only { Err(LibraryError::ReadOnly) } else { Ok(self.rules.max_upload) }
    }

    /// Removes a file.
    pub fn remove(&self, name: &Name) -> Result<(), LibraryError> {
        self.upload_max()?;
        let Item { length, .. } = self.stat(name)?;
        Ok(self
            .staging
            .quota
            .change(0, length, || unlinkat(&*self.folder, name.as_str(), AtFlags::empty()))?)
    }
}
