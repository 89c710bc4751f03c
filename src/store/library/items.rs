//! Lists the library's files, and looks up names without following symbolic links.

use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

use super::error::{LibraryError, reading};
use super::name::Name;
use super::rules::OnDuplicate;
use crate::clock::calls::{Call, timed};
use crate::store::DescriptorPermit;
use crate::store::version::modified;

/// A file of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub name: Name,
    /// The length in bytes.
    pub length: u64,
    /// The modification time.
    pub modified: SystemTime,
}

/// The library's files, read in slices.
pub struct Items {
    folder: Rc<OwnedFd>,
    entries: Dir,
    /// `None` if the files are all read in this turn.
    _permit: Option<DescriptorPermit>,
}

impl Items {
    /// Opens `folder` for reading its files, in no particular order.
    pub(super) fn of(folder: &Rc<OwnedFd>, permit: Option<DescriptorPermit>) -> Result<Items, LibraryError> {
        let open = || exists(folder).and_then(|()| Dir::read_from(&**folder).map_err(reading));
        let entries = timed(Call::Open, open)?;
        Ok(Items { folder: Rc::clone(folder), entries, _permit: permit })
    }

    /// Returns the next `count` files; fewer only at the end of the folder.
    pub fn next(&mut self, count: usize) -> Result<Vec<Item>, LibraryError> {
        timed(Call::List, || self.read(count))
    }

    fn read(&mut self, count: usize) -> Result<Vec<Item>, LibraryError> {
        let mut items = Vec::new();
        while items.len() < count {
            let Some(entry) = self.entries.read() else { break };
            let entry = entry?;
            let Some(name) = Name::parse(entry.file_name().to_bytes()) else { continue };
            let stat = stat_of(&self.folder, &name);
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

pub(super) fn stat_of(folder: &OwnedFd, name: &Name) -> rustix::io::Result<Stat> {
    statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
}

/// Opens `name` for reading. Fails for a symbolic link, and does not wait for the writer of a FIFO.
pub(super) fn open(folder: &OwnedFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

/// Fails if the folder was removed: a removed folder reads as an empty one.
pub(super) fn exists(folder: &OwnedFd) -> Result<(), LibraryError> {
    match fstat(folder)?.st_nlink {
        0 => Err(LibraryError::Failed(Errno::NOENT.into())),
        _ => Ok(()),
    }
}

/// Returns the item of a regular file, and `None` for everything else.
pub(super) fn item(name: &Name, stat: &Stat) -> Option<Item> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    is_file.then(|| Item { name: name.clone(), length, modified: modified(stat) })
}

/// Returns the length of the file that an upload of this name replaces, if it replaces one. Fails with
/// `Exists` if the file may not be replaced, or is not a regular one.
pub(super) fn replaced(
    folder: &OwnedFd,
    name: &Name,
    on_duplicate: OnDuplicate,
) -> Result<Option<u64>, LibraryError> {
    if on_duplicate == OnDuplicate::Rename {
        return Ok(None);
    }
    match stat_of(folder, name) {
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(stat) => match item(name, &stat) {
            Some(item) if on_duplicate == OnDuplicate::Replace => Ok(Some(item.length)),
            _ => Err(LibraryError::Exists),
        },
    }
}
