//! A cache entry: its bytes in one block, and the rules that tell how long they are current.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use crate::store::version::TIME_RESOLUTION;
use crate::store::{CountedFile, FileVersion, SharedBytes, Store, Watch};

pub(super) struct CacheEntry<N> {
    pub block: Block,
    /// The cached version of the file; `None` if there is no file.
    pub version: Option<FileVersion>,
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
    /// For an entry of [`Cache::put_busy`](super::Cache::put_busy): the time until which it lasts.
    pub busy_until: Option<Instant>,
    /// Whether the entry was hit since the eviction hand last passed.
    pub used: bool,
    /// The file; `None` if there is nothing to serve.
    pub file: Option<CachedFile<N>>,
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
    /// Creates an entry without a file, read from the disk at `now`.
    pub(super) fn new(
        block: Block,
        version: Option<FileVersion>,
        now: (Instant, SystemTime),
    ) -> CacheEntry<N> {
        CacheEntry {
            block,
            version,
            is_racily_clean: version.is_some_and(|version| version.is_racily_clean(now.1, TIME_RESOLUTION)),
            used_at: now.0,
            checked_at: now.0,
            watch: None,
            checks: 0,
            busy_until: None,
            used: false,
            file: None,
        }
    }

    /// Returns whether the entry is still what the disk holds: a watch says so, or a check at this moment.
    pub(super) fn is_current(&mut self, store: &dyn Store, now: Instant) -> bool {
        if let Some(until) = self.busy_until {
            return now < until;
        }
        match self.watch.as_mut().map(Watch::is_current) {
            Some(true) if now < self.checked_at + CHECK_WATCHED => return true,
            // Not every change shows in the file's times.
            Some(false) if self.version.is_some() => return false,
            Some(false) => self.watch = None,
            _ => {}
        }
        if self.is_racily_clean || store.version(self.block.path()) != self.version {
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
            self.watch = store.watch(self.block.path(), self.version);
        }
    }

    /// Returns the estimated bytes of memory of the entry.
    pub(super) fn cost(&self) -> usize {
        ENTRY_BYTES + self.block.bytes.len()
    }

    pub(super) fn holds_descriptor(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.disk.is_some())
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
