//! Files that were asked for lately: small ones in memory, large ones by descriptor, each with what
//! the site knows of it. Checked against the disk, or watched, so that nothing in it is too old.

mod entry;

use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::{Content, FileVersion, OpenFile, SharedBytes, Store};
use entry::{Block, CacheEntry, CachedFile};

/// A cache in front of a store, with a note on every file.
pub struct Cache<N> {
    /// Where each key's entry is. It holds no keys, to be small: the entries have them.
    index: HashTable<usize>,
    /// A fast one with random keys: who finds collisions all the same is stopped by the bound on
    /// entries.
    hasher: DefaultHashBuilder,
    entries: Slab<CacheEntry<N>>,
    /// Where the search for something to evict goes on.
    hand: usize,
    bytes: usize,
    descriptors: usize,
    bounds: Bounds,
    /// When descriptors that nobody asks for are looked for again.
    sweep_at: Option<Instant>,
}

/// What a cache may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of memory, with a guess of what an entry costs besides its contents.
    pub bytes: usize,
    /// Files.
    pub entries: usize,
    /// Files among them that are held open.
    pub descriptors: usize,
}

/// A cached file, independent of the cache.
#[derive(Clone, Debug)]
pub struct Cached<N> {
    /// Its bytes.
    pub content: Content,
    /// How many they are.
    pub length: u64,
    /// What the site knows of it.
    pub note: N,
}

/// What the cache knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing: the store has to be asked.
    Miss,
    /// There is nothing to serve, of this version of the file.
    Absent(Option<FileVersion>),
    /// There is a file: see [`Cache::hit`].
    Hit(EntryId),
}

/// An entry, until the cache is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId(usize);

/// A file in the cache.
pub struct Hit<'a, N> {
    block: &'a mut Block,
    file: &'a CachedFile<N>,
    /// Bytes of memory that the cache holds.
    bytes: &'a mut usize,
}

/// How long a descriptor is held that nobody asks for: a deleted file takes its space until then.
const DESCRIPTOR_IDLE: Duration = Duration::from_secs(1);

impl Bounds {
    /// For a server that may hold `descriptors` open in all.
    pub fn within(descriptors: usize) -> Bounds {
        Bounds { bytes: 64 << 20, entries: 16_384, descriptors: (descriptors / 16).min(512) }
    }

    /// Bytes of an entry, so that one cannot drive out all others.
    pub fn largest(&self) -> usize {
        self.bytes / 16
    }
}

impl<N: Clone> Cache<N> {
    /// An empty cache.
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
        }
    }

    /// What is cached under `key`, unless `store` has something else there by now.
    pub fn find(&mut self, key: &[u8], store: &dyn Store, now: Instant) -> Lookup {
        let Some(index) = self.index_of(key) else { return Lookup::Miss };
        let entry = &mut self.entries[index];
        if now >= entry.stale_at && !entry.revalidate(store, now) {
            self.remove(index);
            return Lookup::Miss;
        }
        entry.used = true;
        match entry.file {
            Some(_) => Lookup::Hit(EntryId(index)),
            None => Lookup::Absent(entry.version),
        }
    }

    /// The file that a lookup has just found.
    pub fn hit(&mut self, id: EntryId) -> Option<Hit<'_, N>> {
        let CacheEntry { block, file, .. } = self.entries.get_mut(id.0)?;
        Some(Hit { block, file: file.as_ref()?, bytes: &mut self.bytes })
    }

    /// Caches under `key` a file that was just opened at `path`, and returns it as it will be found.
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
        let mut entry = CacheEntry::new(Block::new(key, path, content), Some(file.version), now);
        let cached = entry.file.insert(CachedFile { disk, length: file.length, note }).cached(&entry.block);
        self.insert(entry);
        cached
    }

    /// Caches that there is nothing under `key`, for as long as `path` has this version.
    pub fn put_absent(
        &mut self,
        (key, path): (&[u8], &[u8]),
        version: Option<FileVersion>,
        now: (Instant, SystemTime),
    ) {
        self.insert(CacheEntry::new(Block::new(key, path, &[]), version, now));
    }

    fn insert(&mut self, entry: CacheEntry<N>) {
        self.forget(entry.block.key());
        if entry.cost() > self.bounds.largest() {
            return;
        }
        self.bytes += entry.cost();
        if entry.holds_descriptor() {
            self.descriptors += 1;
            self.sweep_at.get_or_insert(entry.stale_at + DESCRIPTOR_IDLE);
        }
        let hash = self.hasher.hash_one(entry.block.key());
        let index = self.entries.insert(entry);
        let Cache { index: table, entries, hasher, .. } = self;
        table.insert_unique(hash, index, |index| hasher.hash_one(entries[*index].block.key()));
        while self.is_over_bounds() {
            self.evict(index);
        }
    }

    /// Forgets what is known of `key`.
    pub fn forget(&mut self, key: &[u8]) {
        if let Some(index) = self.index_of(key) {
            self.remove(index);
        }
    }

    /// When [`sweep`](Cache::sweep) has something to do.
    pub fn sweep_at(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// Closes the files that nobody has asked for lately.
    pub fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| now < at) {
            return;
        }
        let idle: Vec<usize> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.holds_descriptor())
            .filter(|(_, entry)| now >= entry.stale_at + DESCRIPTOR_IDLE)
            .map(|(index, _)| index)
            .collect();
        idle.into_iter().for_each(|index| self.remove(index));
        self.sweep_at = (self.descriptors > 0).then_some(now + DESCRIPTOR_IDLE);
    }

    /// What it may hold.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// How many files are remembered, or that they are not there.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory held.
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

    /// Removes the next entry that was not asked for since the hand last passed (the clock
    /// algorithm), if that can be without the newest, which is `spared` for as long.
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
    /// The file, independent of the cache.
    pub fn cached(&self) -> Cached<N> {
        self.file.cached(self.block)
    }

    /// What the site knows of it.
    pub fn note(&self) -> &N {
        &self.file.note
    }

    /// Bytes of its content.
    pub fn length(&self) -> u64 {
        self.file.length
    }

    /// Prelude and content in one piece, and the content's length. `render` makes the prelude when the
    /// first message is asked for; later only the date changes, which is at `date_at` in it. `None` if
    /// the content is not in memory, or another connection is still sending the message with another date.
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
