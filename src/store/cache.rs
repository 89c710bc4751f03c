//! Files that were asked for lately: small ones in memory, large ones by descriptor, each with what
//! the protocol has made of it. Checked against the disk before anything in it is too old.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use hashbrown::HashTable;
use slab::Slab;

use super::{Content, Opened, Stamp, Store};
use crate::slice::Slice;

/// A cache in front of a store.
pub struct Cache {
    /// Where each key's entry is. It holds no keys, to be small: the entries have them.
    index: HashTable<usize>,
    hasher: RandomState,
    entries: Slab<Entry>,
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

/// What is remembered of a file.
#[derive(Clone, Debug)]
pub struct Cached {
    /// Its bytes.
    pub content: Content,
    /// How many they are.
    pub length: u64,
    /// What the protocol made of it when it was opened.
    pub fields: Slice,
}

struct Entry {
    /// Key, path, fields and content in one piece: each lies where the one before has just been
    /// read, which spares a cache miss on the way to it.
    block: Slice,
    key_end: usize,
    /// Behind the key stands where the file is, which need not be what was asked for.
    path_end: usize,
    stamp: Stamp,
    /// Whether the file had been left alone for long enough that its next change shows in its
    /// times. Until then only reading it again tells.
    settled: bool,
    checked: Instant,
    /// Whether it was asked for since the hand last passed.
    used: bool,
    cached: Cached,
}

/// For how long an entry is served without a look at the disk. The contract is 100 ms; what a turn
/// takes is on top of it.
const FRESH: Duration = Duration::from_millis(90);

/// File systems tell times in steps of a timer tick, 10 ms at most; two changes within one look
/// alike.
const SETTLED_AFTER: Duration = Duration::from_millis(30);

/// How long a descriptor is held that nobody asks for: a deleted file takes its space until then.
const DESCRIPTOR_IDLE: Duration = Duration::from_secs(1);

/// What an entry costs besides its block.
const ENTRY_BYTES: usize = 256;

impl Bounds {
    /// For a server that may hold `descriptors` open in all.
    pub fn within(descriptors: usize) -> Bounds {
        Bounds { bytes: 64 << 20, entries: 16_384, descriptors: (descriptors / 16).min(512) }
    }
}

impl Cache {
    /// An empty cache.
    pub fn new(bounds: Bounds) -> Cache {
        Cache {
            index: HashTable::new(),
            hasher: RandomState::new(),
            entries: Slab::new(),
            hand: 0,
            bytes: 0,
            descriptors: 0,
            bounds,
            sweep_at: None,
        }
    }

    /// What is remembered under `key`, unless `store` has something else there by now.
    pub fn get(&mut self, key: &[u8], store: &dyn Store, now: Instant) -> Option<&Cached> {
        let index = self.index_of(key)?;
        let entry = &mut self.entries[index];
        if now.saturating_duration_since(entry.checked) >= FRESH {
            if !entry.settled || store.stamp(entry.path()) != Some(entry.stamp) {
                self.remove(index);
                return None;
            }
            entry.checked = now;
        }
        entry.used = true;
        Some(&self.entries[index].cached)
    }

    /// Remembers under `key` a file that was just opened at `path`, with the `fields` that were made
    /// of it, and returns it as it will be found.
    pub fn put(
        &mut self,
        key: &[u8],
        path: &[u8],
        file: Opened,
        fields: &[u8],
        now: (Instant, SystemTime),
    ) -> Cached {
        if let Some(index) = self.index_of(key) {
            self.remove(index);
        }
        let entry = Entry::new(key, path, file, fields, now);
        let cached = entry.cached.clone();
        if entry.cost() > self.bounds.bytes / 16 {
            return cached;
        }
        self.bytes += entry.cost();
        if entry.holds_descriptor() {
            self.descriptors += 1;
            self.sweep_at.get_or_insert(now.0 + DESCRIPTOR_IDLE);
        }
        let index = self.entries.insert(entry);
        let Cache { index: table, entries, hasher, .. } = self;
        table.insert_unique(hasher.hash_one(key), index, |index| hasher.hash_one(entries[*index].key()));
        while self.is_over_bounds() {
            self.evict(index);
        }
        cached
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
            .filter(|(_, entry)| now.saturating_duration_since(entry.checked) >= DESCRIPTOR_IDLE)
            .map(|(index, _)| index)
            .collect();
        idle.into_iter().for_each(|index| self.remove(index));
        self.sweep_at = (self.descriptors > 0).then_some(now + DESCRIPTOR_IDLE);
    }

    /// How many files are remembered.
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
        self.index.find(self.hasher.hash_one(key), |index| self.entries[*index].key() == key).copied()
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
        let found = self.index.find_entry(self.hasher.hash_one(entry.key()), |found| *found == index);
        if let Ok(found) = found {
            found.remove();
        }
        self.bytes -= entry.cost();
        self.descriptors -= usize::from(entry.holds_descriptor());
    }
}

impl Entry {
    fn new(key: &[u8], path: &[u8], file: Opened, fields: &[u8], now: (Instant, SystemTime)) -> Entry {
        let content: &[u8] = match &file.content {
            Content::Memory(bytes) => bytes,
            Content::Disk(_) => &[],
        };
        let block = Slice::from([key, path, fields, content].concat());
        let (key_end, path_end) = (key.len(), key.len() + path.len());
        let fields_end = path_end + fields.len();
        let content = match file.content {
            Content::Memory(_) => Content::Memory(block.part(fields_end..block.len())),
            disk => disk,
        };
        Entry {
            key_end,
            path_end,
            stamp: file.stamp,
            settled: file.stamp.is_settled(now.1, SETTLED_AFTER),
            checked: now.0,
            used: false,
            cached: Cached { content, length: file.length, fields: block.part(path_end..fields_end) },
            block,
        }
    }

    fn key(&self) -> &[u8] {
        &self.block[..self.key_end]
    }

    fn path(&self) -> &[u8] {
        &self.block[self.key_end..self.path_end]
    }

    fn cost(&self) -> usize {
        ENTRY_BYTES + self.block.len()
    }

    fn holds_descriptor(&self) -> bool {
        matches!(self.cached.content, Content::Disk(_))
    }
}
