//! The library: one folder of files that every door reads and writes.

mod error;
mod files;
mod fingerprint;
mod items;
mod name;
mod partial;
mod rules;
mod space;
mod system;
mod upload;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, statat, unlinkat,
};
use rustix::io::Errno;

use super::folder::modified;
use crate::limits::PARTIAL_SWEEP;
pub use error::LibraryError;
use error::reading;
pub use files::LibraryFiles;
pub use fingerprint::Fingerprint;
pub use items::{Item, Items};
use items::{item, still_there};
pub use name::Name;
pub use partial::Identity;
use partial::Partial;
pub use rules::{KeepFree, LibraryRules};
use space::{Reservation, Space};
use upload::Way;
pub use upload::{Stored, Upload};

/// The library.
pub struct Library {
    folder: Rc<OwnedFd>,
    rules: LibraryRules,
    way: Way,
    space: Rc<Space>,
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

/// What hidden files of our own are called, before their random part.
const OWN_PREFIX: &str = ".evserve-upload-";

impl Library {
    /// Opens the library at `path`, and removes what a crash has left there.
    pub fn open(path: &Path, rules: LibraryRules) -> io::Result<Library> {
        let folder = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let (mut way, mut next_sweep) = (Way::Named, NextSweep::Never);
        if !rules.read_only {
            next_sweep = NextSweep::AtOnce;
            sweep(&folder)?;
            way = Way::find(&folder);
        }
        let folder = Rc::new(folder);
        let space = Rc::new(Space::new(Rc::clone(&folder), &rules));
        Ok(Library { folder, rules, way, space, next_sweep, changed: SystemTime::UNIX_EPOCH })
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
        let reservation = Reservation::new(&self.space, length, replaced)?;
        Upload::begin(self, name, reservation)
    }

    /// Begins an upload of which the beginning may be here, and keeps what comes of it. Nobody else
    /// writes to it meanwhile.
    pub fn resume(
        &mut self,
        identity: &Identity,
        now: (Instant, SystemTime),
    ) -> Result<Upload, LibraryError> {
        let replaced = self.check(&identity.name, Some(identity.length))?;
        let reservation = Reservation::new(&self.space, None, replaced)?;
        let partial = Partial::open(&self.folder, identity)?;
        self.sweep(now);
        Upload::resume(self, identity, partial, reservation)
    }

    /// How many bytes of an upload are here.
    pub fn partial(&self, identity: &Identity) -> Result<u64, LibraryError> {
        self.upload_max()?;
        partial::length(&self.folder, identity)
    }

    /// Gives up what has come of an upload.
    pub fn give_up(&self, identity: &Identity) -> Result<(), LibraryError> {
        self.upload_max()?;
        Partial::open(&self.folder, identity)?.remove()
    }

    /// Removes partial uploads that are too old or too many, now and then. Returns when there is more
    /// to do.
    pub fn housekeep(&mut self, now: (Instant, SystemTime)) -> Option<Instant> {
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
        Ok(self.space.change(0, length, || unlinkat(&*self.folder, name.as_str(), AtFlags::empty()))?)
    }
}

/// What stands under a name, links not followed.
fn stat_of(folder: &OwnedFd, name: &Name) -> rustix::io::Result<Stat> {
    statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
}

/// Opens what stands under a name to read it. A link is not followed, and a FIFO not waited for.
fn open(folder: &OwnedFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

/// Bytes of the file that an upload of this name replaces, or that it may not. What is no file is not
/// replaced at all.
fn replaced(folder: &OwnedFd, name: &Name, overwrite: bool) -> Result<u64, LibraryError> {
    match stat_of(folder, name) {
        Err(Errno::NOENT) => Ok(0),
        Err(error) => Err(error.into()),
        Ok(stat) => {
            item(name, &stat).filter(|_| overwrite).map(|item| item.length).ok_or(LibraryError::Exists)
        }
    }
}

/// Removes the hidden files of uploads whose server is gone. A living one holds a lock.
fn sweep(folder: &OwnedFd) -> io::Result<()> {
    let mut entries = Dir::read_from(folder)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_bytes().starts_with(OWN_PREFIX.as_bytes()) {
            continue;
        }
        let file = open(folder, name);
        if file.is_ok_and(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            unlinkat(folder, name, AtFlags::empty())?;
        }
    }
    Ok(())
}
