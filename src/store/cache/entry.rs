//! What a cache holds of one key: its bytes in one block, and how long they count as current.

use std::fs::File;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use crate::store::{FileVersion, SharedBytes, Store, Watch};

/// One entry.
pub(super) struct CacheEntry<N> {
    /// Its bytes.
    pub block: Block,
    /// The version of the file that this is of; `None` where there is no file.
    pub version: Option<FileVersion>,
    /// Whether the file changed so shortly before it was read that another change may not show in its
    /// times. Then only reading it again tells.
    is_racily_clean: bool,
    /// When it has to be made sure again that the file is still the same.
    pub stale_at: Instant,
    /// When the disk was last asked.
    revalidated_at: Instant,
    /// Reports changes of the file, if it is watched.
    watch: Option<Watch>,
    /// How often the disk was asked while the file was in demand and not watched.
    revalidations: u8,
    /// Whether the entry was hit since the eviction hand last passed.
    pub used: bool,
    /// The file; `None` where nothing is to be served.
    pub file: Option<CachedFile<N>>,
}

/// What is held of a file beside its block.
#[derive(Debug)]
pub(super) struct CachedFile<N> {
    /// The file itself, if it is too large for the block.
    pub disk: Option<Rc<File>>,
    /// Its bytes.
    pub length: u64,
    /// What the site knows of it.
    pub note: N,
}

/// Key, path, prelude and content in one piece: each part lies where the one before has just been read,
/// which spares a cache miss on the way to it, and prelude and content leave with one send.
pub(super) struct Block {
    bytes: Rc<[u8]>,
    key_end: u32,
    path_end: u32,
    /// The prelude is empty until a protocol renders one.
    prelude_end: u32,
}

/// For how long an entry is served without a look at the disk. The contract is 100 ms; what a turn
/// takes is on top of it.
const FRESH: Duration = Duration::from_millis(90);

/// For how long a watched one is served without asking whether its file is still left alone, which
/// what was heard then may be older than by as much again.
const FRESH_WATCHED: Duration = Duration::from_millis(40);

/// How often the disk is asked all the same, for changes that no watch reports: those stored through a
/// mapping, written by libaio or past an overlay's back, or mounted over the file.
const REVALIDATE_WATCHED: Duration = Duration::from_secs(1);

/// Revalidations before a watch is tried, once, which costs as much as five.
const REVALIDATIONS_UNTIL_WATCHED: u8 = 8;

/// An entry that was not asked for during this time starts counting its revalidations again.
const RARELY_USED: Duration = Duration::from_secs(10);

/// File systems tell times in steps of a timer tick, 10 ms at most; two changes within one look
/// alike.
const TIME_RESOLUTION: Duration = Duration::from_millis(30);

/// What an entry costs beside its block.
const ENTRY_BYTES: usize = 320;

impl<N> CacheEntry<N> {
    /// An entry that was read from the disk at `now`.
    pub(super) fn new(
        block: Block,
        version: Option<FileVersion>,
        now: (Instant, SystemTime),
    ) -> CacheEntry<N> {
        CacheEntry {
            block,
            version,
            is_racily_clean: version.is_some_and(|version| version.is_racily_clean(now.1, TIME_RESOLUTION)),
            stale_at: now.0 + FRESH,
            revalidated_at: now.0,
            watch: None,
            revalidations: 0,
            used: false,
            file: None,
        }
    }

    /// Makes sure that the file is what it was, and that this holds for some time. Returns whether it is.
    pub(super) fn revalidate(&mut self, store: &dyn Store, now: Instant) -> bool {
        if let Some(watch) = &mut self.watch {
            if !watch.is_quiet(now) {
                return false;
            }
            if now < self.revalidated_at + REVALIDATE_WATCHED {
                self.stale_at = now + FRESH_WATCHED;
                return true;
            }
        }
        if self.is_racily_clean || store.version(self.block.path()) != self.version {
            return false;
        }
        if self.watch.is_none() {
            self.count_revalidation(store, now);
        }
        self.stale_at = now + FRESH;
        self.revalidated_at = now;
        true
    }

    /// Counts a revalidation, and has the file watched if they are many.
    fn count_revalidation(&mut self, store: &dyn Store, now: Instant) {
        if now >= self.stale_at + RARELY_USED {
            self.revalidations = 0;
        }
        self.revalidations = self.revalidations.saturating_add(1);
        if let (REVALIDATIONS_UNTIL_WATCHED, Some(version)) = (self.revalidations, self.version) {
            self.watch = store.watch(self.block.path(), version, now);
        }
    }

    /// Bytes of memory.
    pub(super) fn cost(&self) -> usize {
        ENTRY_BYTES + self.block.bytes.len()
    }

    /// Whether a file is held open.
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

    /// What a lookup names.
    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.key_end as usize]
    }

    /// Where the file is, which need not be the key.
    pub(super) fn path(&self) -> &[u8] {
        &self.bytes[self.key_end as usize..self.path_end as usize]
    }

    /// What is in memory of the file.
    pub(super) fn content(&self) -> SharedBytes {
        SharedBytes::of(&self.bytes, self.prelude_end as usize..self.bytes.len())
    }

    /// Whether a protocol has rendered its prelude.
    pub(super) fn has_prelude(&self) -> bool {
        self.prelude_end > self.path_end
    }

    /// Puts a prelude in front of the content.
    pub(super) fn set_prelude(&mut self, prelude: &[u8]) {
        *self = Block::with_prelude(self.key(), self.path(), prelude, &self.content());
    }

    /// Prelude and content, with `date` at `date_at`. `None` if another connection is still sending them
    /// with another date.
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
