//! A site with files that are asked for all the time, and a count of the looks at the disk. Tests of files
//! that are watched `settle` a file, change it, and ask again.

use std::cell::Cell;
use std::fs;
use std::time::{Duration, Instant};

use evserve::store::{Cache, DirReader, DiskStore, FileVersion, Opened, Store, StoreError, Watch};

use super::caching::{BOUNDS, ask};

/// Files on the disk, with a count of the looks at them.
struct Counted {
    store: DiskStore,
    looks: Cell<usize>,
}

impl Store for Counted {
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError> {
        self.store.open(path)
    }

    fn version(&self, path: &[u8]) -> Option<FileVersion> {
        self.looks.set(self.looks.get() + 1);
        self.store.version(path)
    }

    fn watch(&self, path: &[u8], stamp: FileVersion, now: Instant) -> Option<Watch> {
        self.store.watch(path, stamp, now)
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        self.store.list(path)
    }
}

/// A folder on a file system that changes can be told of. That of the temporary files may be another.
pub fn local_folder() -> tempfile::TempDir {
    let folder =
        if cfg!(target_os = "linux") { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() };
    folder.unwrap()
}

/// A site with files that are asked for all the time.
pub struct Site {
    pub folder: tempfile::TempDir,
    store: Counted,
    pub cache: Cache<String>,
    pub now: Instant,
    /// For what is read; making it takes longer than reading.
    buffer: Vec<u8>,
}

pub const TENTH: Duration = Duration::from_millis(100);

impl Site {
    pub fn new() -> Site {
        let folder = local_folder();
        let store = Counted { store: DiskStore::new(folder.path()).unwrap(), looks: Cell::new(0) };
        Site { folder, store, cache: Cache::new(BOUNDS), now: Instant::now(), buffer: vec![0; 300_000] }
    }

    pub fn write_unsettled(&self, name: &str, bytes: &[u8]) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes a file, long enough ago for its times to tell versions apart.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        self.write_unsettled(name, bytes);
        self.rest(name);
    }

    /// Waits until a file was left alone for so long that its times tell versions apart.
    pub fn rest(&self, name: &str) {
        let path = self.folder.path().join(name);
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        while modified.elapsed().unwrap() < TENTH {
            std::thread::sleep(TENTH.saturating_sub(modified.elapsed().unwrap()));
        }
    }

    /// What is served of a file, and nothing if it is not there.
    pub fn get(&mut self, name: &str) -> Vec<u8> {
        let cached = ask(&mut self.cache, &self.store, name, self.now);
        cached.map_or(Vec::new(), |cached| cached.content.read(0, &mut self.buffer).unwrap().to_vec())
    }

    /// Asks for a file all the time for so long, and returns how often the disk was looked at.
    pub fn serve(&mut self, name: &str, time: Duration) -> usize {
        let (end, before) = (self.now + time, self.store.looks.get());
        while self.now < end {
            self.now += Duration::from_millis(5);
            assert!(!self.get(name).is_empty());
        }
        self.store.looks.get() - before
    }

    /// Has a file watched, if that can be.
    pub fn settle(&mut self, name: &str) {
        self.serve(name, Duration::from_secs(2));
        if cfg!(all(target_os = "linux", not(evserve_portable))) {
            let looks = self.serve(name, Duration::from_secs(10));
            assert!(looks <= 11, "{looks} looks at a file that is left alone, in ten seconds");
        }
    }
}
