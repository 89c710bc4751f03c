//! A site whose files are requested constantly, which counts how often the cache checks the disk. A test of a
//! watched file calls `settle`, changes the file, and calls `get`.

use std::cell::Cell;
use std::fs;
use std::time::Duration;

use evserve::clock::Instant;
use evserve::store::{Cache, DirReader, DiskStore, FileVersion, Opened, Store, StoreError, Watch};

use super::caching::{BOUNDS, get, wait_until_old};

/// A disk store that counts how often the version of a file is checked.
struct CountingStore {
    store: DiskStore,
    checks: Cell<usize>,
    watch_attempts: Cell<usize>,
}

impl Store for CountingStore {
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError> {
        self.store.open(path)
    }

    fn version(&self, path: &[u8]) -> Option<FileVersion> {
        self.checks.set(self.checks.get() + 1);
        self.store.version(path)
    }

    fn watch(&self, path: &[u8], version: Option<FileVersion>) -> Option<Watch> {
        self.watch_attempts.set(self.watch_attempts.get() + 1);
        self.store.watch(path, version)
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        self.store.list(path)
    }
}

/// Creates a folder on a file system that can be watched. The temporary directory may be on one that cannot.
pub fn local_folder() -> tempfile::TempDir {
    let folder =
        if cfg!(target_os = "linux") { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() };
    folder.unwrap()
}

/// A site whose files are requested constantly, under a virtual clock.
pub struct Site {
    pub folder: tempfile::TempDir,
    store: CountingStore,
    pub cache: Cache<String>,
    pub now: Instant,
    /// The read buffer, reused because allocating it takes longer than reading.
    buffer: Vec<u8>,
}

impl Site {
    pub fn new() -> Site {
        let folder = local_folder();
        let store = CountingStore {
            store: DiskStore::new(folder.path()).unwrap(),
            checks: Cell::new(0),
            watch_attempts: Cell::new(0),
        };
        Site { folder, store, cache: Cache::new(BOUNDS), now: Instant::now(), buffer: vec![0; 300_000] }
    }

    pub fn write_without_waiting(&self, name: &str, bytes: &[u8]) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes a file and waits until its timestamps can tell versions apart.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        self.write_without_waiting(name, bytes);
        self.wait_until_old(name);
    }

    /// Waits until a file is old enough for its timestamps to tell versions apart.
    pub fn wait_until_old(&self, name: &str) {
        wait_until_old(&self.folder.path().join(name));
    }

    /// Returns the content that is served for a file, empty if there is no such file.
    pub fn get(&mut self, name: &str) -> Vec<u8> {
        let cached = get(&mut self.cache, &self.store, name, self.now);
        cached.map_or(Vec::new(), |cached| cached.content.read(0, &mut self.buffer).unwrap().to_vec())
    }

    /// Requests a file every 5 ms for `time`, and returns how often the cache checked the disk.
    pub fn serve(&mut self, name: &str, time: Duration) -> usize {
        self.serve_each(name, time, |content| assert!(!content.is_empty()))
    }

    /// Requests a missing file like [`serve`](Site::serve).
    pub fn serve_missing(&mut self, name: &str, time: Duration) -> usize {
        self.serve_each(name, time, |content| assert!(content.is_empty()))
    }

    fn serve_each(&mut self, name: &str, time: Duration, check: impl Fn(&[u8])) -> usize {
        let (end, before) = (self.now + time, self.checks());
        while self.now < end {
            self.now += Duration::from_millis(5);
            check(&self.get(name));
        }
        self.checks() - before
    }

    /// Returns how often the cache checked the disk.
    pub fn checks(&self) -> usize {
        self.store.checks.get()
    }

    /// Returns how often the cache tried to watch a file.
    pub fn watch_attempts(&self) -> usize {
        self.store.watch_attempts.get()
    }

    /// Requests a file until it is watched, where files can be watched.
    pub fn settle(&mut self, name: &str) {
        self.serve(name, Duration::from_secs(2));
        if cfg!(all(target_os = "linux", not(evserve_portable))) {
            let checks = self.serve(name, Duration::from_secs(10));
            assert!(checks <= 11, "{checks} checks of an unchanged file in ten seconds");
        }
    }
}
