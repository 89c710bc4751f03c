//! The hidden files of incomplete uploads, and the rules by which uploads are stored.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FlockOperation, flock, unlinkat};

use super::items::open;
use super::quota::DiskQuota;
use super::rules::{LibraryRules, OnDuplicate};
use super::system;
use crate::clock::calls::{Call, timed};

/// The state that all uploads to one library share.
pub(super) struct Staging {
    /// The library's folder.
    pub folder: Rc<OwnedFd>,
    pub mode: StagingMode,
    pub quota: Rc<DiskQuota>,
    /// The maximum length of an upload in bytes.
    pub max_upload: u64,
    /// What happens to an upload whose name is taken.
    pub on_duplicate: OnDuplicate,
    /// Whether an upload is synced to the disk before it is acknowledged.
    pub fsync: bool,
}

/// How an incomplete upload is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StagingMode {
    /// In a file without a name (O_TMPFILE, Linux), which vanishes when the server exits.
    Unnamed,
    /// Under a hidden name, on other systems and on file systems without O_TMPFILE.
    Named,
}

/// The beginning of the names of hidden files; a random part follows.
pub(super) const HIDDEN_PREFIX: &str = ".evserve-upload-";

impl Staging {
    /// Prepares `folder` for uploads. Unless the library is read-only, removes files that a crash left there.
    pub(super) fn new(folder: Rc<OwnedFd>, rules: &LibraryRules) -> io::Result<Staging> {
        let LibraryRules { max_upload, on_duplicate, fsync, .. } = *rules;
        let mut mode = StagingMode::Named;
        if !rules.read_only {
            timed(Call::List, || sweep(&folder))?;
            mode = StagingMode::find(&folder);
        }
        let quota = Rc::new(DiskQuota::new(Rc::clone(&folder), rules));
        Ok(Staging { folder, mode, quota, max_upload, on_duplicate, fsync })
    }
}

impl StagingMode {
    /// Finds out by trial whether unnamed files work in `folder`.
    fn find(folder: &OwnedFd) -> StagingMode {
        let trial = hidden_name();
        let works = system::unnamed(folder).and_then(|file| system::link(&file, folder, &trial));
        let _ = unlinkat(folder, trial, AtFlags::empty());
        if works.is_ok() { StagingMode::Unnamed } else { StagingMode::Named }
    }
}

/// Returns a random hidden name, which is not in use and cannot be guessed.
pub(super) fn hidden_name() -> String {
    format!("{HIDDEN_PREFIX}{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Removes the hidden files that a crashed server left. A running server holds a lock on its own.
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
