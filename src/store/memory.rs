//! A [`Store`] that needs no disk: for tests and simulations.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Content, Entry, Opened, Stamp, Store, StoreError};
use crate::slice::Slice;

/// Files by their paths, without a slash in front; a folder is where a file's path has a slash.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    files: BTreeMap<Vec<u8>, (Vec<u8>, SystemTime)>,
}

impl MemoryStore {
    /// Adds a file, last changed in 1994 (the example of RFC 9110 section 5.6.7).
    pub fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> MemoryStore {
        let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
        self.files.insert(path.into(), (bytes.into(), modified));
        self
    }
}

impl Store for MemoryStore {
    fn open(&self, path: &[u8]) -> Result<Entry, StoreError> {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let mut path = names.join(&b'/');
        if let Some((bytes, modified)) = self.files.get(&path) {
            let content = Content::Memory(Slice::from(bytes.as_slice()));
            let length = bytes.len() as u64;
            return Ok(Entry::File(Opened { content, length, modified: *modified, stamp: stamp(length) }));
        }
        path.push(b'/');
        let folder = names.is_empty() || self.files.keys().any(|file| file.starts_with(&path));
        if folder { Ok(Entry::Folder) } else { Err(StoreError::NotFound) }
    }

    fn stamp(&self, path: &[u8]) -> Option<Stamp> {
        match self.open(path) {
            Ok(Entry::File(file)) => Some(file.stamp),
            _ => None,
        }
    }
}

/// Files in memory never change.
fn stamp(length: u64) -> Stamp {
    Stamp { device: 0, inode: 0, length, modified: (0, 0), changed: (0, 0) }
}
