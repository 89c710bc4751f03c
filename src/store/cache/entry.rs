//! What a cache remembers of one key.

use std::fs::File;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::block::Block;
use crate::store::{Stamp, Store, Watch};

/// One entry.
pub struct Entry<N> {
    /// Its bytes.
    pub block: Block,
    /// The version of the file that this is of; `None` where there is no file.
    pub stamp: Option<Stamp>,
    /// Whether the file had been left alone for long enough that its next change shows in its
    /// times. Until then only reading it again tells.
    settled: bool,
    /// When it has to be made sure again that the file is still the same.
    pub stale_at: Instant,
    /// When the disk said so.
    looked_at: Instant,
    /// By whom we would be told if it were not.
    watch: Option<Watch>,
    /// How often it did so while the file was asked for and not watched.
    looks: u8,
    /// Whether it was asked for since the hand last passed.
    pub used: bool,
    /// The file; `None` where nothing is to be served.
    pub file: Option<Held<N>>,
}

/// What is held of a file besides its block.
#[derive(Debug)]
pub struct Held<N> {
    /// The file itself, if it is too large for the block.
    pub disk: Option<Rc<File>>,
    /// Its bytes.
    pub length: u64,
    /// What the protocol has to know of it.
    pub note: N,
}

/// For how long an entry is served without a look at the disk. The contract is 100 ms; what a turn
/// takes is on top of it.
const FRESH: Duration = Duration::from_millis(90);

/// For how long a watched one is served without asking whether its file is still left alone, which
/// what was heard then may be older than by as much again.
const FRESH_WATCHED: Duration = Duration::from_millis(40);

/// How often the disk is looked at all the same, for what nobody tells of: what is stored through a
/// mapping, written by libaio or past an overlay's back, or mounted over the file.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// Looks at the disk before it is tried, once, to have a file watched, which costs as much as five.
const LOOKS_UNTIL_WATCHED: u8 = 8;

/// Who was not asked for that long has to be looked at as often anew.
const ASKED_SELDOM: Duration = Duration::from_secs(10);

/// File systems tell times in steps of a timer tick, 10 ms at most; two changes within one look
/// alike.
const SETTLED_AFTER: Duration = Duration::from_millis(30);

/// What an entry costs besides its block.
const ENTRY_BYTES: usize = 320;

impl<N> Entry<N> {
    /// Of a block whose parts are key, path, head and content.
    pub fn new(parts: [&[u8]; 4], stamp: Option<Stamp>, now: (Instant, SystemTime)) -> Entry<N> {
        Entry {
            block: Block::new(parts),
            stamp,
            settled: stamp.is_none_or(|stamp| stamp.is_settled(now.1, SETTLED_AFTER)),
            stale_at: now.0 + FRESH,
            looked_at: now.0,
            watch: None,
            looks: 0,
            used: false,
            file: None,
        }
    }

    /// Makes sure that the file is what it was, and that this is good for some time. Returns whether
    /// it is.
    pub fn refresh(&mut self, store: &dyn Store, now: Instant) -> bool {
        if let Some(watch) = &mut self.watch {
            if !watch.is_quiet(now) {
                return false;
            }
            if now < self.looked_at + LOOK_ANYWAY {
                self.stale_at = now + FRESH_WATCHED;
                return true;
            }
        }
        if !self.settled || store.stamp(self.block.path()) != self.stamp {
            return false;
        }
        if self.watch.is_none() {
            self.have_watched(store, now);
        }
        self.stale_at = now + FRESH;
        self.looked_at = now;
        true
    }

    /// Counts a look, and has the file watched if they are many.
    fn have_watched(&mut self, store: &dyn Store, now: Instant) {
        if now >= self.stale_at + ASKED_SELDOM {
            self.looks = 0;
        }
        self.looks = self.looks.saturating_add(1);
        if let (LOOKS_UNTIL_WATCHED, Some(stamp)) = (self.looks, self.stamp) {
            self.watch = store.watch(self.block.path(), stamp, now);
        }
    }

    /// Bytes of memory.
    pub fn cost(&self) -> usize {
        ENTRY_BYTES + self.block.len()
    }

    /// Whether a file is held open.
    pub fn holds_descriptor(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.disk.is_some())
    }
}
