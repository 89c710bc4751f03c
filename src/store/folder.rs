//! Reads a folder of the disk in slices.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FileType, fstat, statat};

use super::beneath::Root;
use super::version::modified;
use super::{DescriptorPermit, DirEntry, DirReader, StoreError};
use crate::clock::calls::{Call, timed};

/// An open folder, and the position in its entries.
pub(super) struct DiskFolder {
    root: Rc<Root>,
    /// The folder's path beneath the root, to resolve the symbolic links in the folder.
    path: Vec<u8>,
    folder: OwnedFd,
    entries: Dir,
    _permit: DescriptorPermit,
}

impl DiskFolder {
    /// The number of descriptors of an open folder.
    pub(super) const DESCRIPTORS: usize = 2;

    pub(super) fn open(root: Rc<Root>, path: &[u8], permit: DescriptorPermit) -> io::Result<DiskFolder> {
        let folder = root.open_folder(path)?;
        if fstat(&folder)?.st_nlink == 0 {
            // A removed folder would read as an empty one.
            return Err(io::ErrorKind::NotFound.into());
        }
        let entries = Dir::read_from(&folder)?;
        Ok(DiskFolder { root, path: path.into(), folder, entries, _permit: permit })
    }

    /// Returns the entry `name`, or `None` if it cannot be inspected or is neither file nor folder.
    fn child(&self, name: &[u8]) -> Option<DirEntry> {
        let mut stat = statat(self.folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            let path = [&self.path[..], b"/", name].concat();
            stat = self.root.inspect(path.strip_prefix(b"/").unwrap_or(&path)).ok()?;
        }
        let length = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => None,
            FileType::RegularFile => Some(u64::try_from(stat.st_size).unwrap_or(0)),
            _ => return None,
        };
        Some(DirEntry { name: name.into(), length, modified: modified(&stat) })
    }

    fn read(&mut self, count: usize) -> io::Result<Vec<DirEntry>> {
        let mut children = Vec::new();
        while children.len() < count {
            let Some(entry) = self.entries.read() else { break };
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !name.starts_with(b".") {
                children.extend(self.child(name));
            }
        }
        Ok(children)
    }
}

impl DirReader for DiskFolder {
    fn next(&mut self, count: usize) -> Result<Vec<DirEntry>, StoreError> {
        Ok(timed(Call::List, || self.read(count))?)
    }
}
