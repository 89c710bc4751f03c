//! Where uploads are written before they are whole, and by which rules they are stored.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FlockOperation, flock, unlinkat};

use super::lookup::open;
use super::quota::DiskQuota;
use super::rules::LibraryRules;
use super::system;

/// What the uploads to one library have in common.
pub(super) struct Staging {
    /// The library's folder.
    pub folder: Rc<OwnedFd>,
    /// How uploads are kept out of sight.
    pub mode: StagingMode,
    /// The disk space that they share.
    pub quota: Rc<DiskQuota>,
    /// Bytes that one may have.
    pub max_upload: u64,
    /// Whether one may replace a file of its name.
    pub overwrite: bool,
    /// Whether one is on the disk before it is acknowledged.
    pub fsync: bool,
}

/// How an upload is kept out of sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StagingMode {
    /// In a file without a name (O_TMPFILE, Linux), which vanishes with the server.
    Unnamed,
    /// Under a hidden name: other systems, and file systems without O_TMPFILE.
    Named,
}

/// The names of our hidden files begin so; a random part follows.
const HIDDEN_PREFIX: &str = ".evserve-upload-";

impl Staging {
    /// Staging in `folder`. If it is written to, what a crash has left there is removed.
    pub(super) fn new(folder: Rc<OwnedFd>, rules: &LibraryRules) -> io::Result<Staging> {
        let LibraryRules { max_upload, overwrite, fsync, .. } = *rules;
        let mut mode = StagingMode::Named;
        if !rules.read_only {
            sweep(&folder)?;
            mode = StagingMode::find(&folder);
        }
        let quota = Rc::new(DiskQuota::new(Rc::clone(&folder), rules));
        Ok(Staging { folder, mode, quota, max_upload, overwrite, fsync })
    }
}

impl StagingMode {
    /// Tries what works in `folder`.
    fn find(folder: &OwnedFd) -> StagingMode {
        let trial = hidden_name();
        let works = system::unnamed(folder).and_then(|file| system::link(&file, folder, &trial));
        let _ = unlinkat(folder, trial, AtFlags::empty());
        if works.is_ok() { StagingMode::Unnamed } else { StagingMode::Named }
    }
}

/// A random name, which is free and cannot be guessed.
pub(super) fn hidden_name() -> String {
    format!("{HIDDEN_PREFIX}{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Removes the hidden files of uploads whose server is gone. A living one holds a lock.
fn sweep(folder: &OwnedFd) -> io::Result<()> {
    let mut entries = Dir::read_from(folder)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_bytes().starts_with(HIDDEN_PREFIX.as_bytes()) {
            continue;
        }
        let file = open(folder, name);
        if file.is_ok_and(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            unlinkat(folder, name, AtFlags::empty())?;
        }
    }
    Ok(())
}
