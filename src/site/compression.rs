//! gzip made of files, a slice a turn.

use std::collections::VecDeque;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::limits::{
    COMPRESSED_FILE_MAX_BYTES, COMPRESSED_FILE_MIN_BYTES, COMPRESSION_SLICE_BYTES, COMPRESSIONS_MAX,
};
use crate::store::{Content, OpenFile, SharedBytes};

use super::metadata::Representation;

/// Files that are being compressed, in turns.
#[derive(Default)]
pub(super) struct Compressions {
    under_way: VecDeque<Job>,
    /// Where a slice of a file is read into.
    buffer: Vec<u8>,
}

/// A file that is being compressed.
struct Job {
    path: Vec<u8>,
    plain: Representation,
    read: u64,
    encoder: GzEncoder<Vec<u8>>,
}

/// How a compression ended.
pub(super) struct Finished {
    /// The request's path.
    pub path: Vec<u8>,
    /// What was compressed.
    pub plain: Representation,
    /// What came of it, if that is worth to be sent.
    pub result: Option<OpenFile>,
}

impl Compressions {
    /// Whether the file at `path` is being compressed.
    pub(super) fn is_under_way(&self, path: &[u8]) -> bool {
        self.under_way.iter().any(|job| job.path == path)
    }

    /// Begins to compress a file, unless there are too many already. Returns whether it did.
    pub(super) fn begin(&mut self, path: &[u8], plain: &Representation) -> bool {
        debug_assert!(!self.is_under_way(path) && plain.length <= COMPRESSED_FILE_MAX_BYTES);
        if self.under_way.len() >= COMPRESSIONS_MAX {
            return false;
        }
        let encoder = GzEncoder::new(Vec::new(), Compression::default());
        let (path, plain) = (path.to_vec(), plain.clone());
        self.under_way.push_back(Job { path, plain, read: 0, encoder });
        true
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Compresses a slice of one file. `largest` is what may come of it.
    pub(super) fn advance(&mut self, largest: usize) -> Option<Finished> {
        let mut job = self.under_way.pop_front()?;
        self.buffer.resize(COMPRESSION_SLICE_BYTES, 0);
        let going_on = job.advance(&mut self.buffer).unwrap_or(false);
        if going_on && job.encoder.get_ref().len() <= largest {
            self.under_way.push_back(job);
            return None;
        }
        if self.under_way.is_empty() {
            self.buffer = Vec::new();
        }
        Some(job.finish(largest))
    }
}

impl Job {
    /// Returns whether more is to be read.
    fn advance(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let slice = self.plain.content.read(self.read, buffer)?;
        self.encoder.write_all(slice)?;
        self.read += slice.len() as u64;
        Ok(!slice.is_empty() && self.read < self.plain.length)
    }

    fn finish(self, largest: usize) -> Finished {
        let Job { path, plain, read, encoder } = self;
        let whole = read == plain.length;
        // A small file is compressed only for who would not take it as it is.
        let worth = |length: u64| length < plain.length || plain.length <= COMPRESSED_FILE_MIN_BYTES;
        let fits = |bytes: &Vec<u8>| bytes.len() <= largest && worth(bytes.len() as u64);
        let bytes = encoder.finish().ok().filter(|bytes| whole && fits(bytes));
        let result = bytes.map(|bytes| OpenFile {
            length: bytes.len() as u64,
            content: Content::Memory(SharedBytes::from(bytes)),
            modified: plain.note.modified,
            version: plain.note.version,
        });
        Finished { path, plain, result }
    }
}
