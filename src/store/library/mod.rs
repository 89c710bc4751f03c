//! The library: one folder of files that every door reads and writes.

mod error;
mod name;
mod space;
mod upload;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, statat, unlinkat,
};
use rustix::io::Errno;

use super::folder::modified;
pub use error::LibraryError;
use error::reading;
pub use name::Name;
use space::{Reservation, Space};
use upload::Way;
pub use upload::{Fingerprint, Stored, Upload};

/// The library.
pub struct Library {
    folder: Rc<OwnedFd>,
    rules: LibraryRules,
    way: Way,
    space: Rc<Space>,
}

/// What may be done with the library.
#[derive(Clone, Debug)]
pub struct LibraryRules {
    /// Nothing is written.
    pub read_only: bool,
    /// An upload may replace a file of its name.
    pub overwrite: bool,
    /// An upload is on the disk before it is acknowledged.
    pub fsync: bool,
    /// Bytes of an upload.
    pub max_upload: u64,
    /// Bytes of all files.
    pub max_library: Option<u64>,
    /// What stays free of the disk.
    pub keep_free: KeepFree,
}

/// How much of a disk stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFree {
    /// So many hundredths of it.
    Percent(u64),
    /// So many bytes.
    Bytes(u64),
}

/// A file of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub name: Name,
    /// Its bytes.
    pub length: u64,
    /// When it was last changed.
    pub modified: SystemTime,
}

/// What hidden files of our own are called, before their random part.
const OWN_PREFIX: &str = ".evserve-upload-";

impl Default for LibraryRules {
    fn default() -> LibraryRules {
        LibraryRules {
            read_only: false,
            overwrite: false,
            fsync: false,
            max_upload: 1 << 30,
            max_library: None,
            keep_free: KeepFree::Percent(5),
        }
    }
}

impl Library {
    /// Opens the library at `path`, and removes what a crash has left there.
    pub fn open(path: &Path, rules: LibraryRules) -> io::Result<Library> {
        let folder = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut way = Way::Named;
        if !rules.read_only {
            sweep(&folder)?;
            way = Way::find(&folder);
        }
        let folder = Rc::new(folder);
        let space = Rc::new(Space::new(Rc::clone(&folder), &rules));
        Ok(Library { folder, rules, way, space })
    }

    /// What may be done with it.
    pub fn rules(&self) -> &LibraryRules {
        &self.rules
    }

    /// Begins to list the files, in no order.
    pub fn list(&self) -> Result<Items, LibraryError> {
        self.still_there()?;
        Items::of(&self.folder)
    }

    /// What is known of a file without opening it.
    pub fn stat(&self, name: &Name) -> Result<Item, LibraryError> {
        let stat = statat(&*self.folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(reading)?;
        item(name, &stat).ok_or(LibraryError::NotFound)
    }

    /// Opens a file for reading.
    pub fn read(&self, name: &Name) -> Result<(Rc<File>, Item), LibraryError> {
        // What is no file is not opened: an open could wake the other end of a FIFO.
        self.stat(name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&*self.folder, name.as_str(), flags, Mode::empty()).map_err(reading)?;
        let item = item(name, &fstat(&file)?).ok_or(LibraryError::NotFound)?;
        Ok((Rc::new(file.into()), item))
    }

    /// Begins an upload of `length` bytes, if that is known. Nothing is to be seen of it before it is
    /// committed.
    pub fn create(&self, name: &Name, length: Option<u64>) -> Result<Upload, LibraryError> {
        let most = self.upload_max()?;
        if length.is_some_and(|length| length > most) {
            return Err(LibraryError::TooLarge);
        }
        if !self.rules.overwrite && statat(&*self.folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(LibraryError::Exists);
        }
        self.still_there()?;
        let reservation = Reservation::new(&self.space, length)?;
        Upload::begin(self, name, reservation)
    }

    /// Bytes that an upload may have.
    pub fn upload_max(&self) -> Result<u64, LibraryError> {
        if self.rules.read_only { Err(LibraryError::ReadOnly) } else { Ok(self.rules.max_upload) }
    }

    /// Removes a file.
    pub fn remove(&self, name: &Name) -> Result<(), LibraryError> {
        self.upload_max()?;
        let Item { length, .. } = self.stat(name)?;
        unlinkat(&*self.folder, name.as_str(), AtFlags::empty())?;
        self.space.note(0, length);
        Ok(())
    }

    /// Fails if the folder was removed: it would be found empty for ever.
    fn still_there(&self) -> Result<(), LibraryError> {
        match fstat(&*self.folder)?.st_nlink {
            0 => Err(LibraryError::Failed(Errno::NOENT.into())),
            _ => Ok(()),
        }
    }
}

/// The library's files, read piece by piece.
pub struct Items {
    folder: Rc<OwnedFd>,
    entries: Dir,
}

impl Items {
    fn of(folder: &Rc<OwnedFd>) -> Result<Items, LibraryError> {
        let entries = Dir::read_from(&**folder).map_err(reading)?;
        Ok(Items { folder: Rc::clone(folder), entries })
    }

    /// The `count` files that come next; fewer only when there are no more.
    pub fn next(&mut self, count: usize) -> Result<Vec<Item>, LibraryError> {
        let mut items = Vec::new();
        while items.len() < count {
            let Some(entry) = self.entries.read() else { break };
            let entry = entry?;
            let Some(name) = Name::parse(entry.file_name().to_bytes()) else { continue };
            let stat = statat(&*self.folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
            items.extend(stat.ok().and_then(|stat| item(&name, &stat)));
        }
        Ok(items)
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Items")
    }
}

/// The item of a regular file.
fn item(name: &Name, stat: &Stat) -> Option<Item> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    is_file.then(|| Item { name: name.clone(), length, modified: modified(stat) })
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
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(folder.as_fd(), name, flags, Mode::empty());
        if file.is_ok_and(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            unlinkat(folder, name, AtFlags::empty())?;
        }
    }
    Ok(())
}
