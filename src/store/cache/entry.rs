//! A cache entry: its bytes in one block, and the rules that tell how long they are current.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::clock::Instant;
use crate::store::{CountedFile, FileVersion, SharedBytes, Store, Watch};

pub(super) struct CacheEntry<N> {
    pub block: Block,
    pub held: Held<N>,
    /// Whether the file changed so shortly before it was read that another change might leave its times as
    /// they are. Such an entry cannot be revalidated; the file has to be read again.
    is_racily_clean: bool,
    /// The time of the last hit.
    pub used_at: Instant,
    /// The time of the last check on the disk.
    checked_at: Instant,
    /// Reports whether the file has changed, or a missing file has appeared.
    watch: Option<Watch>,
    /// The number of checks on the disk while the entry was in demand and not watched.
    checks: u8,
    /// Whether the entry was hit since the eviction hand last passed.
    pub used: bool,
}

/// What an entry says about its key.
pub(super) enum Held<N> {
    /// A file of this version.
    File(CachedFile<N>, FileVersion),
    /// Nothing to serve, while the file or folder at the path has this version.
    Unserved(FileVersion),
    /// Nothing is at the path.
    Absent,
    /// The file cannot be made until this time.
    Busy { until: Instant },
}

/// The parts of a cached file that are not in the block.
#[derive(Debug)]
pub(super) struct CachedFile<N> {
    /// The open file, if it is too large for the block.
    pub disk: Option<Rc<CountedFile>>,
    /// The length of the content in bytes.
    pub length: u64,
    pub note: N,
}

/// Key, path, prelude and content in one allocation. Each part follows the one that is read before it, which
/// saves a CPU cache miss, and prelude and content are sent in one piece.
pub(super) struct Block {
    bytes: Rc<[u8]>,
    key_end: u32,
    path_end: u32,
    /// The end of the prelude, which is empty until a protocol renders one.
    prelude_end: u32,
}

/// How often a watched file is checked on the disk all the same, for changes that no watch reports: stores through a
/// memory mapping, writes by libaio, writes below an overlay, and a mount over the file.
const CHECK_WATCHED: Duration = Duration::from_secs(1);

/// The number of checks after which one attempt is made to watch the file. A watch costs as much to set up as five
/// checks.
const CHECKS_UNTIL_WATCHED: u8 = 2;

/// How long an entry may go unused before its count of checks starts again.
const RARELY_USED: Duration = Duration::from_secs(10);

/// The estimated bytes of an entry without its block.
const ENTRY_BYTES: usize = 320;

impl<N> CacheEntry<N> {
    /// Creates an entry, read from the disk at `now`.
    pub(super) fn new(block: Block, held: Held<N>, now: (Instant, SystemTime)) -> CacheEntry<N> {
        let version = held.version();
        CacheEntry {
            block,
            held,
            is_racily_clean: version.is_some_and(|version| version.is_racily_clean(now.1)),
            used_at: now.0,
            checked_at: now.0,
            watch: None,
            checks: 0,
            used: false,
        }
    }

    /// Returns whether the entry is still what the disk holds: a watch says so, or a check at this moment.
    pub(super) fn is_current(&mut self, store: &dyn Store, now: Instant) -> bool {
        if let Held::Busy { until } = self.held {
            return now < until;
        }
        let version = self.held.version();
        match self.watch.as_mut().map(Watch::is_current) {
            Some(true) if now < self.checked_at + CHECK_WATCHED => return true,
            // Not every change shows in the file's times.
            Some(false) if version.is_some() => return false,
            // Another name has appeared in the folder. The count starts again, so that the absence is watched again.
            Some(false) => (self.watch, self.checks) = (None, 0),
            _ => {}
        }
        if self.is_racily_clean || store.version(self.block.path()) != version {
            return false;
        }
        self.checked_at = now;
        if self.watch.is_none() {
            self.count_check(store, now);
        }
        true
    }

    /// Counts a check, and tries to watch the file after [`CHECKS_UNTIL_WATCHED`].
    fn count_check(&mut self, store: &dyn Store, now: Instant) {
        if now >= self.used_at + RARELY_USED {
            self.checks = 0;
        }
        self.checks = self.checks.saturating_add(1);
        if self.checks == CHECKS_UNTIL_WATCHED {
            self.watch = store.watch(self.block.path(), self.held.version());
        }
    }

    /// Returns the estimated bytes of memory of the entry.
    pub(super) fn cost(&self) -> usize {
        ENTRY_BYTES + self.block.bytes.len()
    }

    pub(super) fn holds_descriptor(&self) -> bool {
        matches!(&self.held, Held::File(file, _) if file.disk.is_some())
    }
}

impl<N> Held<N> {
    /// Returns the version of what is at the path; `None` if nothing is.
    fn version(&self) -> Option<FileVersion> {
        match self {
            Held::File(_, version) | Held::Unserved(version) => Some(*version),
            Held::Absent | Held::Busy { .. } => None,
        }
    }
}

impl Block {
    /// A block without a prelude.
    pub(super) fn new(key: &[u8], path: &[u8], content: &[u8]) -> Block {
        Block::with_prelude(key, path, &[], content)
    }

    fn with_prelude(key: &[u8], path: &[u8], prelude: &[u8], content: &[u8]) -> Block {
        let key_end = key.len() as u32;
        let path_end = key_end + path.len() as u32;
        let prelude_end = path_end + prelude.len() as u32;
        Block { bytes: [key, path, prelude, content].concat().into(), key_end, path_end, prelude_end }
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.key_end as usize]
    }

    /// Returns the path of the file in the store, which may differ from the key.
    pub(super) fn path(&self) -> &[u8] {
        &self.bytes[self.key_end as usize..self.path_end as usize]
    }

    /// Returns the content of the file, empty if the file is not in memory.
    pub(super) fn content(&self) -> SharedBytes {
        SharedBytes::of(&self.bytes, self.prelude_end as usize..self.bytes.len())
    }

    /// Returns whether a protocol has rendered the prelude.
    pub(super) fn has_prelude(&self) -> bool {
        self.prelude_end > self.path_end
    }

    /// Builds the block again, with `prelude` before the content.
    pub(super) fn set_prelude(&mut self, prelude: &[u8]) {
        *self = Block::with_prelude(self.key(), self.path(), prelude, &self.content());
    }

    /// Returns prelude and content, with `date` at `date_at` in the prelude, or `None` if another connection
    /// is still sending them with another date.
    pub(super) fn message(&mut self, date_at: usize, date: &[u8]) -> Option<SharedBytes> {
        let start = self.path_end as usize;
        let place = start + date_at..start + date_at + date.len();
        debug_assert!(place.end <= self.prelude_end as usize, "the date is a part of the prelude");
        if self.bytes[place.clone()] != *date {
            Rc::get_mut(&mut self.bytes)?[place].copy_from_slice(date);
        }
        Some(SharedBytes::of(&self.bytes, start..self.bytes.len()))
    }
}
