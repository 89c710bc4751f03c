//! A [`Store`] in memory, for tests and simulations.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Content, DirEntry, DirReader, FileVersion, OpenFile, Opened, SharedBytes, Store, StoreError};

/// Files by path, without a leading slash. A folder exists if a file's path leads through it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    files: BTreeMap<Vec<u8>, (Vec<u8>, SystemTime)>,
}

impl MemoryStore {
    /// Adds a file, last modified in 1994 (the example of RFC 9110 section 5.6.7).
    pub fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> MemoryStore {
        let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
        self.files.insert(path.into(), (bytes.into(), modified));
        self
    }
}

impl Store for MemoryStore {
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError> {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let mut path = names.join(&b'/');
        if let Some((bytes, modified)) = self.files.get(&path) {
            let content = Content::Memory(SharedBytes::from(bytes.as_slice()));
            let length = bytes.len() as u64;
            return Ok(Opened::File(OpenFile {
                content,
                length,
                modified: *modified,
                version: version(length),
            }));
        }
        path.push(b'/');
        let folder = names.is_empty() || self.files.keys().any(|file| file.starts_with(&path));
        if folder { Ok(Opened::Folder(version(0))) } else { Err(StoreError::NotFound) }
    }

    fn version(&self, path: &[u8]) -> Option<FileVersion> {
        match self.open(path) {
            Ok(Opened::File(file)) => Some(file.version),
            Ok(Opened::Folder(version)) => Some(version),
            Err(_) => None,
        }
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let mut prefix = names.join(&b'/');
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let mut children = BTreeMap::new();
        for (file, (bytes, modified)) in &self.files {
            let Some(rest) = file.strip_prefix(&prefix[..]) else { continue };
            let name = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
            let length = (name.len() == rest.len()).then_some(bytes.len() as u64);
            if !name.starts_with(b".") {
                children.insert(name, DirEntry { name: name.into(), length, modified: *modified });
            }
        }
        if children.is_empty() {
            return Err(StoreError::NotFound);
        }
        Ok(Box::new(MemoryFolder(children.into_values().collect())))
    }
}

/// The entries of a folder that are still to be read.
struct MemoryFolder(VecDeque<DirEntry>);

impl DirReader for MemoryFolder {
    fn next(&mut self, count: usize) -> Result<Vec<DirEntry>, StoreError> {
        Ok(self.0.drain(..count.min(self.0.len())).collect())
    }
}

/// Returns the version of a file or folder. Files in memory never change, so the length is enough.
fn version(length: u64) -> FileVersion {
    FileVersion { device: 0, inode: 0, length, modified: (0, 0), changed: (0, 0) }
}
