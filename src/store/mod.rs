//! Where files come from. Protocols know the trait; the disk stands behind it, in tests memory.

mod beneath;
mod cache;
mod disk;
mod folder;
mod library;
mod memory;
mod shared_bytes;
mod version;
mod watch;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

pub use beneath::PathResolution;
pub use cache::{Bounds, Cache, Cached, EntryId, Hit, Lookup};
pub use disk::DiskStore;
pub use library::{
    Item, Items, KeepFree, Library, LibraryError, LibraryFiles, LibraryRules, Name, Sha256Digest, Stored,
    Upload, UploadKey,
};
pub use memory::MemoryStore;
pub use shared_bytes::SharedBytes;
pub use version::FileVersion;
pub use watch::Watch;

/// A tree of files to read.
pub trait Store {
    /// Opens what stands at `path`: bytes as the file system has them, relative to the store's
    /// root, `.` and `..` and doubled slashes as the kernel takes them. Never leaves the root,
    /// never blocks on what is no regular file.
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError>;

    /// The version of what stands at `path` now. Cheaper than `open` and without its care for where
    /// links lead, it is good only to tell whether a file that was opened is still the same.
    fn version(&self, path: &[u8]) -> Option<FileVersion>;

    /// Watches the file at `path`, if it has this version and the store can promise to hear of its
    /// changes.
    fn watch(&self, path: &[u8], version: FileVersion, now: Instant) -> Option<Watch> {
        let _ = (path, version, now);
        None
    }

    /// Begins to read the folder at `path`.
    fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError>;
}

/// A folder that is being read, piece by piece.
pub trait DirReader {
    /// The `count` children that come next, in no order; fewer only when there are no more. Hidden
    /// ones, and what could not be opened, are left out.
    fn next(&mut self, count: usize) -> Result<Vec<DirEntry>, StoreError>;
}

/// What stands in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name, as the file system has it.
    pub name: Vec<u8>,
    /// Bytes of a file; `None` is a folder.
    pub length: Option<u64>,
    /// When it was last changed.
    pub modified: SystemTime,
}

/// What a path leads to.
#[derive(Debug)]
pub enum Opened {
    /// A folder.
    Folder,
    /// A regular file, open for reading.
    File(OpenFile),
}

/// One version of a file.
#[derive(Debug)]
pub struct OpenFile {
    /// Its bytes.
    pub content: Content,
    /// How many they are.
    pub length: u64,
    /// When they were last changed.
    pub modified: SystemTime,
    /// Which version it is.
    pub version: FileVersion,
}

/// A file's bytes.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory, as they were when the file was opened.
    Memory(SharedBytes),
    /// On the disk; who edits the file in place changes them under us.
    Disk(Rc<File>),
}

impl Content {
    /// Reads from `offset` on, at most what `buffer` holds, and returns what came.
    pub fn read<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        match self {
            Content::Memory(bytes) => {
                let rest = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
                Ok(&rest[..rest.len().min(buffer.len())])
            }
            Content::Disk(file) => {
                let length = file.read_at(buffer, offset)?;
                Ok(&buffer[..length])
            }
        }
    }
}

/// Why a path could not be opened.
#[derive(Debug)]
pub enum StoreError {
    /// Nothing is there that may be seen: no such file, not a regular one, outside the root.
    NotFound,
    /// It is there and may not be read.
    Forbidden,
    /// Not now: no descriptor free, or a rename in the way. It may work when asked again.
    Busy,
    /// The disk failed.
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
