//! Caches recently requested files: small ones in memory, large ones as open descriptors. An entry is served only if a
//! watch or a check on the disk says that it is current.

mod entry;

use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::{Content, FileVersion, OpenFile, SharedBytes, Store};
use crate::clock::Instant;
use crate::clock::calls::{Call, timed};
use entry::{Block, CacheEntry, CachedFile, Held};

/// A cache in front of a store. It keeps a note of type `N`, the site's metadata, with each file.
pub struct Cache<N> {
    /// The entries' indices by key. The keys themselves are in the entries, to keep the table small.
    index: HashTable<usize>,
    /// A fast hasher with random keys. If a client still finds collisions, `Bounds::entries` limits their
    /// cost.
    hasher: DefaultHashBuilder,
    entries: Slab<CacheEntry<N>>,
    /// The index in `entries` at which the last eviction stopped.
    hand: usize,
    bytes: usize,
    descriptors: usize,
    bounds: Bounds,
    /// The time of the next search for unused descriptors.
    sweep_at: Option<Instant>,
    hits: u64,
    misses: u64,
}

/// What a cache holds, and how often it was asked.
#[derive(Clone, Copy, Debug)]
pub struct CacheCounts {
    pub entries: usize,
    pub bytes: usize,
    pub bytes_max: usize,
    pub hits: u64,
    pub misses: u64,
}

/// The bounds of a cache.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The maximum bytes of memory, including an estimate of the overhead per entry.
    pub bytes: usize,
    /// The maximum number of entries, including those for missing files.
    pub entries: usize,
    /// The maximum number of entries that hold a descriptor.
    pub descriptors: usize,
}

/// A cached file, independent of the cache.
#[derive(Clone, Debug)]
pub struct Cached<N> {
    pub content: Content,
    /// The length of the content in bytes.
    pub length: u64,
    pub note: N,
}

/// The result of looking up a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The cache has no current entry for the key.
    Miss,
    /// Nothing is at the path.
    Absent,
    /// There is nothing to serve under the key, but a file or folder is at the path.
    Unserved,
    /// The file cannot be made at the moment.
    Busy,
    /// A file, to be fetched with [`Cache::hit`].
    Hit(EntryId),
}

/// The index of an entry, valid until the cache is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId(usize);

/// A file in the cache.
pub struct Hit<'a, N> {
    block: &'a mut Block,
    file: &'a CachedFile<N>,
    /// The cache's count of memory, [`Cache::bytes`].
    bytes: &'a mut usize,
}

/// How long an unused descriptor stays open. A deleted file occupies disk space until then.
const DESCRIPTOR_IDLE: Duration = Duration::from_secs(1);

impl Bounds {
    /// Returns the bounds for a server that may have `descriptors` open files. Two caches, of the site and of
    /// the library, leave half of them to uploads and to files that only one client requests.
    pub fn within(descriptors: usize) -> Bounds {
        Bounds { bytes: 64 << 20, entries: 16_384, descriptors: (descriptors / 4).min(512) }
    }

    /// Returns the maximum cost of one entry in bytes, so that one entry cannot evict all others.
    pub fn largest(&self) -> usize {
        self.bytes / 16
    }
}

impl<N: Clone> Cache<N> {
    pub fn new(bounds: Bounds) -> Cache<N> {
        Cache {
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            entries: Slab::new(),
            hand: 0,
            bytes: 0,
            descriptors: 0,
            bounds,
            sweep_at: None,
            hits: 0,
            misses: 0,
        }
    }

    /// Looks up `key`. An entry whose file has changed in `store` is removed.
    pub fn find(&mut self, key: &[u8], store: &dyn Store, now: Instant) -> Lookup {
        let Some(index) = self.index_of(key) else {
            self.misses += 1;
            return Lookup::Miss;
        };
        let entry = &mut self.entries[index];
        if !entry.is_current(store, now) {
            self.remove(index);
            self.misses += 1;
            return Lookup::Miss;
        }
        self.hits += 1;
        entry.used = true;
        entry.used_at = now;
        match entry.held {
            Held::File(..) => Lookup::Hit(EntryId(index)),
            Held::Unserved(_) => Lookup::Unserved,
            Held::Absent => Lookup::Absent,
            Held::Busy { .. } => Lookup::Busy,
        }
    }

    /// Counts what the cache holds.
    pub fn counts(&self) -> CacheCounts {
        let Cache { bytes, hits, misses, .. } = *self;
        CacheCounts { entries: self.entries.len(), bytes, bytes_max: self.bounds.bytes, hits, misses }
    }

    /// Returns the file that a lookup has just found.
    pub fn hit(&mut self, id: EntryId) -> Option<Hit<'_, N>> {
        match self.entries.get_mut(id.0)? {
            CacheEntry { block, held: Held::File(file, _), .. } => {
                Some(Hit { block, file, bytes: &mut self.bytes })
            }
            _ => None,
        }
    }

    /// Caches a file under `key` that was just opened at `path`, and returns it in its cached form.
    pub fn put(
        &mut self,
        (key, path): (&[u8], &[u8]),
        file: OpenFile,
        note: N,
        now: (Instant, SystemTime),
    ) -> Cached<N> {
        let (content, disk): (&[u8], _) = match &file.content {
            Content::Memory(bytes) => (bytes, None),
            Content::Disk(file) => (&[], Some(Rc::clone(file))),
        };
        let block = Block::new(key, path, content);
        let kept = CachedFile { disk, length: file.length, note };
        let cached = kept.cached(&block);
        self.insert(CacheEntry::new(block, Held::File(kept, file.version), now));
        cached
    }

    /// Caches under `key` that nothing is at `path`.
    pub fn put_absent(&mut self, (key, path): (&[u8], &[u8]), now: (Instant, SystemTime)) {
        self.insert(CacheEntry::new(Block::new(key, path, &[]), Held::Absent, now));
    }

    /// Caches that there is nothing to serve under `key` while the file or folder at `path` has this version.
    pub fn put_unserved(
        &mut self,
        (key, path): (&[u8], &[u8]),
        version: FileVersion,
        now: (Instant, SystemTime),
    ) {
        self.insert(CacheEntry::new(Block::new(key, path, &[]), Held::Unserved(version), now));
    }

    /// Caches until the time `until` that the file under `key` cannot be made.
    pub fn put_busy(&mut self, key: &[u8], until: Instant, now: (Instant, SystemTime)) {
        self.insert(CacheEntry::new(Block::new(key, &[], &[]), Held::Busy { until }, now));
    }

    fn insert(&mut self, entry: CacheEntry<N>) {
        self.forget(entry.block.key());
        if entry.cost() > self.bounds.largest() {
            return;
        }
        self.bytes += entry.cost();
        if entry.holds_descriptor() {
            self.descriptors += 1;
            self.sweep_at.get_or_insert(entry.used_at + DESCRIPTOR_IDLE);
        }
        let hash = self.hasher.hash_one(entry.block.key());
        let index = self.entries.insert(entry);
        let Cache { index: table, entries, hasher, .. } = self;
        table.insert_unique(hash, index, |index| hasher.hash_one(entries[*index].block.key()));
        while self.is_over_bounds() {
            self.evict(index);
        }
    }

    /// Removes the entry of `key`.
    pub fn forget(&mut self, key: &[u8]) {
        if let Some(index) = self.index_of(key) {
            self.remove(index);
        }
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        *self = Cache::new(self.bounds);
    }

    /// Returns when [`sweep`](Cache::sweep) has to be called next, if at all.
    pub fn sweep_at(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// Removes the entries with a descriptor that was not used for a second.
    pub fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| now < at) {
            return;
        }
        let idle: Vec<usize> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.holds_descriptor())
            .filter(|(_, entry)| now >= entry.used_at + DESCRIPTOR_IDLE)
            .map(|(index, _)| index)
            .collect();
        // Closing a file that was deleted frees its space.
        timed(Call::Write, || idle.into_iter().for_each(|index| self.remove(index)));
        self.sweep_at = (self.descriptors > 0).then_some(now + DESCRIPTOR_IDLE);
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Returns the number of entries, including those for missing files.
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// Returns the bytes of memory in use, estimated as in [`Bounds::bytes`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn index_of(&self, key: &[u8]) -> Option<usize> {
        self.index.find(self.hasher.hash_one(key), |index| self.entries[*index].block.key() == key).copied()
    }

    fn is_over_bounds(&self) -> bool {
        self.bytes > self.bounds.bytes
            || self.entries.len() > self.bounds.entries
            || self.descriptors > self.bounds.descriptors
    }

    /// Removes the next entry that was not hit since the hand last passed it (the clock algorithm). The
    /// newest entry, `spared`, is removed only if no other one helps.
    fn evict(&mut self, spared: usize) {
        let only_descriptors = self.bytes <= self.bounds.bytes && self.entries.len() <= self.bounds.entries;
        for _ in 0..2 * self.entries.capacity() {
            self.hand = (self.hand + 1) % self.entries.capacity();
            let entry = match self.entries.get_mut(self.hand) {
                Some(entry) if self.hand != spared && (!only_descriptors || entry.holds_descriptor()) => {
                    entry
                }
                _ => continue,
            };
            if !std::mem::take(&mut entry.used) {
                return self.remove(self.hand);
            }
        }
        self.remove(spared);
    }

    fn remove(&mut self, index: usize) {
        let entry = self.entries.remove(index);
        let found = self.index.find_entry(self.hasher.hash_one(entry.block.key()), |found| *found == index);
        if let Ok(found) = found {
            found.remove();
        }
        self.bytes -= entry.cost();
        self.descriptors -= usize::from(entry.holds_descriptor());
    }
}

impl<N: Clone> CachedFile<N> {
    fn cached(&self, block: &Block) -> Cached<N> {
        let content = match &self.disk {
            Some(file) => Content::Disk(Rc::clone(file)),
            None => Content::Memory(block.content()),
        };
        Cached { content, length: self.length, note: self.note.clone() }
    }
}

impl<N: Clone> Hit<'_, N> {
    /// Returns the file in a form that does not borrow the cache.
    pub fn cached(&self) -> Cached<N> {
        self.file.cached(self.block)
    }

    pub fn note(&self) -> &N {
        &self.file.note
    }

    /// Returns the length of the content in bytes.
    pub fn length(&self) -> u64 {
        self.file.length
    }

    /// Returns the message, prelude and content in one piece, and the length of the content. `render` makes
    /// the prelude for the first message; later ones only replace the date, at `date_at` in the prelude.
    /// Returns `None` if the content is not in memory, or if another connection is still sending the message
    /// with another date. Inlined always: it is a part of every cached response, and called in one place.
    #[inline(always)]
    pub fn message(
        self,
        (date_at, date): (usize, &[u8]),
        render: impl FnOnce(&N, u64) -> Vec<u8>,
    ) -> Option<(SharedBytes, u64)> {
        let length = self.file.length;
        if self.file.disk.is_some() {
            return None;
        }
        if !self.block.has_prelude() {
            let prelude = render(&self.file.note, length);
            *self.bytes += prelude.len();
            self.block.set_prelude(&prelude);
        }
        Some((self.block.message(date_at, date)?, length))
    }
}
