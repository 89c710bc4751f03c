//! A folder of the disk as a [`Store`].

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::beneath::{PathResolution, Root};
use super::folder::DiskFolder;
use super::watch::{Watch, Watches};
use super::{Content, Descriptors, DirReader, FileVersion, OpenFile, Opened, Store, StoreError};
use crate::clock::calls::{Call, timed};
use crate::limits::MEMORY_BODY_MAX_BYTES;

/// The files beneath one folder. No path or link leads out of it.
#[derive(Debug)]
pub struct DiskStore {
    path: PathBuf,
    root: Rc<Root>,
    watches: Rc<Watches>,
    descriptors: Descriptors,
    /// Whether the folder could not be opened again, which was reported.
    is_missing: bool,
}

/// The maximum number of attempts to read a small file that changes while it is read.
const READ_ATTEMPTS: usize = 8;

impl DiskStore {
    /// Opens `folder`, with the fastest path resolution that works on this system.
    pub fn new(folder: &Path) -> io::Result<DiskStore> {
        Ok(DiskStore::of(folder, Root::open(folder, None)?))
    }

    /// Opens `folder` with the given path resolution.
    pub fn with_resolution(folder: &Path, resolution: PathResolution) -> io::Result<DiskStore> {
        Ok(DiskStore::of(folder, Root::open(folder, Some(resolution))?))
    }

    fn of(path: &Path, root: Root) -> DiskStore {
        let root = Rc::new(root);
        let (path, watches) = (path.to_owned(), Watches::new(Rc::clone(&root)));
        DiskStore { path, root, watches, descriptors: Descriptors::default(), is_missing: false }
    }

    fn open_relative(&self, path: &[u8]) -> Result<Opened, StoreError> {
        let found = self.root.inspect(path)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => Ok(Opened::Folder(FileVersion::from(&found))),
            FileType::RegularFile => {
                Ok(Opened::File(read(self.root.open_file(path)?.into(), &self.descriptors)?))
            }
            // A FIFO, a socket or a device.
            _ => Err(StoreError::NotFound),
        }
    }

    /// Opens large files and lists folders only while there are `descriptors` for them.
    pub fn within(self, descriptors: Descriptors) -> DiskStore {
        DiskStore { descriptors, ..self }
    }
}

impl Store for DiskStore {
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError> {
        timed(Call::Open, || self.open_relative(relative(path)))
    }

    fn version(&self, path: &[u8]) -> Option<FileVersion> {
        let stat = timed(Call::Open, || self.root.stat(relative(path), AtFlags::empty()));
        stat.ok().map(|stat| FileVersion::from(&stat))
    }

    fn watch(&self, path: &[u8], version: Option<FileVersion>) -> Option<Watch> {
        timed(Call::Open, || self.watches.watch(relative(path), version))
    }

    fn reopen_if_replaced(&mut self) -> bool {
        let path = self.path.display();
        match timed(Call::Open, || self.root.find_replacement(&self.path)) {
            Ok(Some(root)) => {
                log::info!("the site folder {path} was replaced; reopened");
                self.root = Rc::new(root);
                self.watches = Watches::new(Rc::clone(&self.root));
                self.is_missing = false;
                return true;
            }
            Ok(None) => self.is_missing = false,
            Err(error) if !self.is_missing => {
                log::error!("cannot open the site folder {path}: {error}; the previous folder stays in use");
                self.is_missing = true;
            }
            Err(_) => {}
        }
        false
    }

    fn watches(&self) -> usize {
        self.watches.count()
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        let permit = self.descriptors.acquire(DiskFolder::DESCRIPTORS).ok_or(StoreError::Busy)?;
        let root = Rc::clone(&self.root);
        Ok(Box::new(timed(Call::Open, || DiskFolder::open(root, relative(path), permit))?))
    }
}

/// Strips the leading slashes.
fn relative(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    &path[start..]
}

/// Reads a file's metadata and, if the file is small, its content. Repeats the read until the version is the
/// same before and after, so that the content is consistent. A large file stays open if there is a descriptor
/// for it.
pub(super) fn read(file: File, descriptors: &Descriptors) -> Result<OpenFile, StoreError> {
    let mut before = file.metadata()?;
    if !before.is_file() {
        // Another kind of file has replaced it since it was inspected.
        return Err(StoreError::NotFound);
    }
    if before.len() > MEMORY_BODY_MAX_BYTES {
        return opened(Content::Disk(descriptors.count(file).ok_or(StoreError::Busy)?), &before);
    }
    for _ in 0..READ_ATTEMPTS {
        let bytes = timed(Call::Read, || read_exactly(&file, before.len()))?;
        let after = file.metadata()?;
        if bytes.len() as u64 == before.len() && FileVersion::from(&before) == FileVersion::from(&after) {
            return opened(Content::Memory(bytes.into()), &before);
        }
        before = after;
    }
    Err(StoreError::Busy)
}

fn opened(content: Content, file: &Metadata) -> Result<OpenFile, StoreError> {
    Ok(OpenFile { content, length: file.len(), modified: file.modified()?, version: file.into() })
}

/// Reads the first `length` bytes, or fewer if the file is shorter.
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
            // EXDEV: the path would leave the root. ELOOP (EMLINK on FreeBSD): a cycle of symbolic links.
            // ENXIO, ENODEV, EOPNOTSUPP: the path is a socket, or a device that is gone. EISDIR, EINVAL:
            // the path cannot name a file.
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
