//! A folder of the disk as a [`Store`].

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::beneath::{Lookup, Root};
use super::folder::DiskFolder;
use super::watch::{Watch, Watches};
use super::{Content, Entry, Folder, Opened, Stamp, Store, StoreError};
use crate::limits::MEMORY_BODY_MAX_BYTES;

/// The files beneath one folder, which no path and no link leaves.
#[derive(Debug)]
pub struct DiskStore {
    root: Rc<Root>,
    watches: Rc<Watches>,
}

/// How often a file that is being written while it is read is read again.
const READ_ATTEMPTS: usize = 8;

impl DiskStore {
    /// The files beneath `folder`, looked up in the fastest way that works here.
    pub fn new(folder: &Path) -> io::Result<DiskStore> {
        Ok(DiskStore::of(Root::open(folder, None)?))
    }

    /// As [`new`](DiskStore::new), with the way of looking up given.
    pub fn with_lookup(folder: &Path, lookup: Lookup) -> io::Result<DiskStore> {
        Ok(DiskStore::of(Root::open(folder, Some(lookup))?))
    }

    fn of(root: Root) -> DiskStore {
        let root = Rc::new(root);
        DiskStore { watches: Watches::new(Rc::clone(&root)), root }
    }
}

impl Store for DiskStore {
    fn open(&self, path: &[u8]) -> Result<Entry, StoreError> {
        let path = relative(path);
        match FileType::from_raw_mode(self.root.inspect(path)?.st_mode) {
            FileType::Directory => Ok(Entry::Folder),
            FileType::RegularFile => Ok(Entry::File(read(self.root.open_file(path)?.into())?)),
            // A FIFO, a socket, a device: nothing that a request may open.
            _ => Err(StoreError::NotFound),
        }
    }

    fn stamp(&self, path: &[u8]) -> Option<Stamp> {
        self.root.stat(relative(path), AtFlags::empty()).ok().map(|stat| stamp_of(&stat))
    }

    fn watch(&self, path: &[u8], stamp: Stamp, now: Instant) -> Option<Watch> {
        self.watches.watch(relative(path), stamp, now)
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn Folder>, StoreError> {
        Ok(Box::new(DiskFolder::open(Rc::clone(&self.root), relative(path))?))
    }
}

/// What tells versions of a file apart.
// The casts are none on Linux; other systems have other widths.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub fn stamp_of(file: &Stat) -> Stamp {
    Stamp {
        device: file.st_dev as u64,
        inode: file.st_ino as u64,
        length: file.st_size as u64,
        modified: (file.st_mtime as i64, file.st_mtime_nsec as i64),
        changed: (file.st_ctime as i64, file.st_ctime_nsec as i64),
    }
}

/// A path without the slashes it begins with.
fn relative(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    &path[start..]
}

/// Takes a file's measure and, if it is small, its bytes. A version is whole when the file was the
/// same before and after.
pub fn read(file: File) -> Result<Opened, StoreError> {
    let mut before = file.metadata()?;
    if !before.is_file() {
        // It was swapped since it was inspected.
        return Err(StoreError::NotFound);
    }
    if before.len() > MEMORY_BODY_MAX_BYTES {
        return opened(Content::Disk(Rc::new(file)), &before);
    }
    for _ in 0..READ_ATTEMPTS {
        let bytes = read_exactly(&file, before.len())?;
        let after = file.metadata()?;
        if bytes.len() as u64 == before.len() && stamp(&before) == stamp(&after) {
            return opened(Content::Memory(bytes.into()), &before);
        }
        before = after;
    }
    Err(StoreError::Busy)
}

fn opened(content: Content, file: &Metadata) -> Result<Opened, StoreError> {
    Ok(Opened { content, length: file.len(), modified: file.modified()?, stamp: stamp(file) })
}

fn stamp(file: &Metadata) -> Stamp {
    Stamp {
        device: file.dev(),
        inode: file.ino(),
        length: file.len(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    }
}

/// Reads `length` bytes from the beginning, fewer if the file ends before.
fn read_exactly(file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        match Errno::from_io_error(&error) {
            // EXDEV: the path would leave the root. ELOOP: a circle of links (EMLINK on
            // FreeBSD). ENXIO, ENODEV,
            // EOPNOTSUPP: what an open of a socket or a lost device says. EISDIR, EINVAL: not a
            // name of a file here.
            Some(
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::XDEV
                | Errno::LOOP
                | Errno::MLINK
                | Errno::NAMETOOLONG
                | Errno::NXIO
                | Errno::NODEV
                | Errno::OPNOTSUPP
                | Errno::ISDIR
                | Errno::INVAL
                | Errno::ILSEQ,
            ) => StoreError::NotFound,
            Some(Errno::ACCESS | Errno::PERM) => StoreError::Forbidden,
            Some(Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::TXTBSY) => {
                StoreError::Busy
            }
            _ => StoreError::Failed(error),
        }
    }
}
