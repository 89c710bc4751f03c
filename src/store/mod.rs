//! Where files come from. Protocols use the [`Store`] trait, which is implemented by a folder of the disk, by
//! the library, and for tests in memory.

mod beneath;
mod cache;
mod cached_read;
mod descriptors;
mod disk;
mod folder;
mod library;
mod memory;
mod shared_bytes;
mod version;
mod watch;

use std::fmt;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::SystemTime;

pub use beneath::PathResolution;
pub use cache::{Bounds, Cache, CacheCounts, Cached, EntryId, Hit, Lookup};
pub(crate) use cached_read::read_cached;
pub use descriptors::{CountedFile, DescriptorPermit, Descriptors};
pub use disk::DiskStore;
pub use library::{
    Item, Items, KeepFree, Library, LibraryError, LibraryFiles, LibraryRules, Name, OnDuplicate, Presence,
    Sha256Digest, Stored, Unlisted, Upload, UploadKey,
};
pub use memory::MemoryStore;
pub use shared_bytes::SharedBytes;
pub use version::FileVersion;
pub use watch::Watch;

use crate::clock::calls::{Call, timed};

/// A read-only tree of files.
pub trait Store {
    /// Opens the file or folder at `path`: bytes as the file system has them, relative to the store's root.
    /// `.`, `..` and doubled slashes mean what they mean to the kernel. Never leaves the root, and never
    /// blocks on a FIFO, a socket or a device.
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError>;

    /// Returns the current version of the file or folder at `path`. This is cheaper than `open`, but links may lead
    /// out of the root: use it only to check whether a file that was opened is still the same.
    fn version(&self, path: &[u8]) -> Option<FileVersion>;

    /// Watches `path` if it leads to a file of this version, or with `None` to nothing, and if the store can detect
    /// changes.
    fn watch(&self, path: &[u8], version: Option<FileVersion>) -> Option<Watch> {
        let _ = (path, version);
        None
    }

    /// Returns the number of files and folders that are watched.
    fn watches(&self) -> usize {
        0
    }

    /// Opens the store's folder again if another folder has taken its path. Returns whether it did.
    fn reopen_if_replaced(&mut self) -> bool {
        false
    }

    /// Opens the folder at `path` for reading its entries.
    fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError>;
}

/// A folder that is read in slices.
pub trait DirReader {
    /// Returns the next `count` entries, in no order; fewer only at the end of the folder. Leaves out hidden
    /// entries and those that cannot be inspected.
    fn next(&mut self, count: usize) -> Result<Vec<DirEntry>, StoreError>;
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, as the file system has it.
    pub name: Vec<u8>,
    /// The length of a file in bytes; `None` for a folder.
    pub length: Option<u64>,
    /// The modification time.
    pub modified: SystemTime,
}

/// The result of opening a path.
#[derive(Debug)]
pub enum Opened {
    /// A folder of this version.
    Folder(FileVersion),
    /// A regular file, open for reading.
    File(OpenFile),
}

/// One version of a file, open for reading.
#[derive(Debug)]
pub struct OpenFile {
    /// The content of the file.
    pub content: Content,
    /// The length of the content in bytes.
    pub length: u64,
    /// The modification time.
    pub modified: SystemTime,
    /// The version that was opened.
    pub version: FileVersion,
}

/// The content of a file.
#[derive(Clone, Debug)]
pub enum Content {
    /// A copy in memory, made when the file was opened.
    Memory(SharedBytes),
    /// The open file on the disk. If the file is edited in place, its content changes.
    Disk(Rc<CountedFile>),
}

impl Content {
    /// Reads from `offset` into `buffer`, and returns the bytes read; none at the end of the content.
    pub fn read<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        match self {
            Content::Memory(bytes) => {
                let rest = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
                Ok(&rest[..rest.len().min(buffer.len())])
            }
            Content::Disk(file) => {
                let length = timed(Call::Read, || file.read_at(buffer, offset))?;
                Ok(&buffer[..length])
            }
        }
    }

    /// Reads like [`read`](Content::read), but fails with `WouldBlock` instead of waiting for the disk.
    pub fn read_cached<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        match self {
            Content::Memory(_) => self.read(offset, buffer),
            Content::Disk(file) => {
                let length = timed(Call::Read, || read_cached(file, offset, buffer))?;
                Ok(&buffer[..length])
            }
        }
    }
}

/// Why a path could not be opened.
#[derive(Debug)]
pub enum StoreError {
    /// No file that may be served: the path is missing, leads out of the root, or is neither a regular file
    /// nor a folder.
    NotFound,
    /// The file exists, but the server may not read it.
    Forbidden,
    /// A temporary failure: no free descriptor (see [`Descriptors`]), or the file changes during the lookup.
    /// A retry may succeed.
    Busy,
    /// An I/O error.
    Failed(io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::NotFound => f.write_str("not found"),
            StoreError::Forbidden => f.write_str("permission denied"),
            StoreError::Busy => f.write_str("too busy to open it now"),
            StoreError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}
