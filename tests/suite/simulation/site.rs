//! The site that the simulation serves, and the output of a script on it without a network. To add a file,
//! add it to `simulated_site`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::time::Duration;

use evserve::site::Rules;
use evserve::store::{DirReader, DiskStore, FileVersion, MemoryStore, Opened, Store, StoreError};
use tempfile::TempDir;

use crate::conversation::{Talk, site};

/// The simulated site, plus a file on disk that is sent by `send_file`.
pub struct WithDisk {
    memory: Shared,
    disk: DiskStore,
    _folder: TempDir,
}

static DISK_FILE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..700_001).map(|index| (index % 251) as u8).collect());

/// Built once for all seeds, since building it takes longer than most runs.
static SITE: LazyLock<MemoryStore> = LazyLock::new(simulated_site);

/// The same site, with the file on disk in memory.
static SITE_WITH_DISK_FILE: LazyLock<MemoryStore> =
    LazyLock::new(|| simulated_site().with("disk.bin", DISK_FILE.as_slice()));

struct Shared(&'static MemoryStore);

impl Store for Shared {
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError> {
        self.0.open(path)
    }

    fn version(&self, path: &[u8]) -> Option<FileVersion> {
        self.0.version(path)
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        self.0.list(path)
    }
}

impl WithDisk {
    pub fn new() -> WithDisk {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("disk.bin")).unwrap();
        file.write_all_at(&DISK_FILE, 0).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(784_111_777)).unwrap();
        WithDisk { memory: Shared(&SITE), disk: DiskStore::new(folder.path()).unwrap(), _folder: folder }
    }
}

impl Store for WithDisk {
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError> {
        if path == b"/disk.bin" { self.disk.open(path) } else { self.memory.open(path) }
    }

    fn version(&self, path: &[u8]) -> Option<FileVersion> {
        if path == b"/disk.bin" { self.disk.version(path) } else { self.memory.version(path) }
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        self.memory.list(path)
    }
}

/// Returns the site of the other tests, plus a text that takes several turns to compress and a folder that
/// takes several turns to list.
fn simulated_site() -> MemoryStore {
    let words: String = (0..30_000).map(|index| format!("{} ", index * 7919 % 10_007)).collect();
    let site = site().with("words.txt", words);
    (0..700).fold(site, |site, index| site.with(&format!("many/{index}"), ""))
}

/// Returns the output for a script without a network. The file on disk is in memory here.
pub fn converse_with_disk(script: &[u8], ends: bool) -> Vec<u8> {
    let rules = Rules { list: true, ..Rules::default() };
    let mut talk = Talk::by(rules, Shared(&SITE_WITH_DISK_FILE));
    talk.input(script);
    if ends {
        talk.eof();
    }
    without_dates(&talk.outcome.output)
}

/// Removes the Date fields, which depend on the turn in which a response is written.
pub fn without_dates(bytes: &[u8]) -> Vec<u8> {
    const LINE: &[u8] = b"\r\nDate: ";
    const LENGTH: usize = LINE.len() + 29;
    let mut kept = Vec::new();
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, LINE) {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[(at + LENGTH).min(rest.len())..];
    }
    kept.extend_from_slice(rest);
    kept
}
