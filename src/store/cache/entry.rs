//! What a cache remembers of one key.

use std::time::{Duration, Instant, SystemTime};

use super::Cached;
use crate::slice::Slice;
use crate::store::{Content, Stamp};

/// One entry.
pub struct Entry<N> {
    /// Key, path, fields and content in one piece: each lies where the one before has just been
    /// read, which spares a cache miss on the way to it.
    pub block: Slice,
    key_end: usize,
    /// Behind the key stands where the file is, which need not be what was asked for.
    path_end: usize,
    /// The version of the file that this is of; `None` where there is no file.
    pub stamp: Option<Stamp>,
    /// Whether the file had been left alone for long enough that its next change shows in its
    /// times. Until then only reading it again tells.
    pub settled: bool,
    /// When it has to be compared with the disk again.
    pub stale_at: Instant,
    /// Whether it was asked for since the hand last passed.
    pub used: bool,
    /// What was made of it; `None` where nothing is to be served.
    pub cached: Option<Cached<N>>,
}

/// For how long an entry is served without a look at the disk. The contract is 100 ms; what a turn
/// takes is on top of it.
pub const FRESH: Duration = Duration::from_millis(90);

/// File systems tell times in steps of a timer tick, 10 ms at most; two changes within one look
/// alike.
const SETTLED_AFTER: Duration = Duration::from_millis(30);

/// What an entry costs besides its block.
const ENTRY_BYTES: usize = 256;

impl<N> Entry<N> {
    /// Of a block whose first two parts are key and path.
    pub fn new(parts: [&[u8]; 4], stamp: Option<Stamp>, now: (Instant, SystemTime)) -> Entry<N> {
        Entry {
            block: Slice::from(parts.concat()),
            key_end: parts[0].len(),
            path_end: parts[0].len() + parts[1].len(),
            stamp,
            settled: stamp.is_none_or(|stamp| stamp.is_settled(now.1, SETTLED_AFTER)),
            stale_at: now.0 + FRESH,
            used: false,
            cached: None,
        }
    }

    /// What is asked for.
    pub fn key(&self) -> &[u8] {
        &self.block[..self.key_end]
    }

    /// Where the file stands.
    pub fn path(&self) -> &[u8] {
        &self.block[self.key_end..self.path_end]
    }

    /// Bytes of memory.
    pub fn cost(&self) -> usize {
        ENTRY_BYTES + self.block.len()
    }

    /// Whether a file is held open.
    pub fn holds_descriptor(&self) -> bool {
        matches!(self.cached, Some(Cached { content: Content::Disk(_), .. }))
    }
}
