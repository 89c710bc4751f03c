//! Compresses files with gzip, one slice per turn.

use std::collections::VecDeque;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::clock::calls::{Call, timed};
use crate::limits::{
    COMPRESSED_FILE_MAX_BYTES, COMPRESSED_FILE_MIN_BYTES, COMPRESSION_SLICE_BYTES, COMPRESSIONS_MAX,
};
use crate::store::{Content, OpenFile, SharedBytes};

use super::metadata::Representation;

/// The compressions in progress, which take turns.
#[derive(Default)]
pub(super) struct Compressions {
    in_progress: VecDeque<Job>,
    /// The buffer for a slice of a file.
    buffer: Vec<u8>,
}

/// A file that is being compressed.
struct Job {
    plain: Representation,
    read: u64,
    encoder: GzEncoder<Vec<u8>>,
}

/// A compression that has ended.
pub(super) struct Finished {
    /// The file without a coding.
    pub plain: Representation,
    /// The compressed file; `None` if the compression failed or its result is not worth sending.
    pub result: Option<OpenFile>,
}

impl Compressions {
    /// Returns whether the file at `path` is being compressed.
    pub(super) fn is_in_progress(&self, path: &[u8]) -> bool {
        self.in_progress.iter().any(|job| *job.plain.note.path == *path)
    }

    /// Starts to compress a file. Returns false if too many compressions are in progress.
    pub(super) fn begin(&mut self, plain: &Representation) -> bool {
        debug_assert!(!self.is_in_progress(&plain.note.path) && plain.length <= COMPRESSED_FILE_MAX_BYTES);
        if self.in_progress.len() >= COMPRESSIONS_MAX {
            return false;
        }
        let encoder = GzEncoder::new(Vec::new(), Compression::default());
        self.in_progress.push_back(Job { plain: plain.clone(), read: 0, encoder });
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_progress.is_empty()
    }

    /// Compresses a slice of one file. Returns the compression if that was its last slice, or if its result
    /// exceeds `largest` bytes.
    pub(super) fn advance(&mut self, largest: usize) -> Option<Finished> {
        let mut job = self.in_progress.pop_front()?;
        self.buffer.resize(COMPRESSION_SLICE_BYTES, 0);
        let going_on = timed(Call::Compress, || job.advance(&mut self.buffer)).unwrap_or(false);
        if going_on && job.encoder.get_ref().len() <= largest {
            self.in_progress.push_back(job);
            return None;
        }
        if self.in_progress.is_empty() {
            self.buffer = Vec::new();
        }
        Some(timed(Call::Compress, || job.finish(largest)))
    }
}

impl Job {
    /// Compresses the next slice. Returns whether more is left to read.
    fn advance(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let slice = self.plain.content.read(self.read, buffer)?;
        self.encoder.write_all(slice)?;
        self.read += slice.len() as u64;
        Ok(!slice.is_empty() && self.read < self.plain.length)
    }

    fn finish(self, largest: usize) -> Finished {
        let Job { plain, read, encoder } = self;
        let whole = read == plain.length;
        // A small file is compressed only for clients that do not accept it without a coding.
        let worth = |length: u64| length < plain.length || plain.length <= COMPRESSED_FILE_MIN_BYTES;
        let fits = |bytes: &Vec<u8>| bytes.len() <= largest && worth(bytes.len() as u64);
        let bytes = encoder.finish().ok().filter(|bytes| whole && fits(bytes));
        let result = bytes.map(|bytes| OpenFile {
            length: bytes.len() as u64,
            content: Content::Memory(SharedBytes::from(bytes)),
            modified: plain.note.modified,
            version: plain.note.version,
        });
        Finished { plain, result }
    }
}
