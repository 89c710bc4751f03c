//! Partial uploads: the received bytes of a resumable upload are kept in a hidden folder, under a name that
//! is a hash of the upload's key.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, ftruncate, mkdirat, openat, statat,
    unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::digest::Sha256Digest;
use super::error::LibraryError;
use super::name::Name;
use super::staging::Staging;
use super::system::NEW_MODE;
use crate::clock::calls::{Call, timed};
use crate::store::version::modified;

/// The identity of a resumable upload. Uploads with the same key are the same upload, over any protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadKey {
    /// The length of the complete file in bytes.
    pub length: u64,
    /// The digest of the complete file.
    pub sha256: Sha256Digest,
    /// The name under which the file will be stored.
    pub name: Name,
}

/// An open partial upload, locked so that only one process writes to it.
#[derive(Debug)]
pub(super) struct Partial {
    /// The folder of partial uploads.
    pub folder: Rc<OwnedFd>,
    /// The name of the file in that folder.
    pub name: String,
    /// The file, which is written at its end (O_APPEND).
    pub file: OwnedFd,
    /// The length of the file in bytes.
    pub length: u64,
}

/// The name of the hidden folder.
pub(super) const FOLDER: &str = ".evserve-partial";

/// The flags for every open in the hidden folder, in addition to the access mode.
const PLAIN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl UploadKey {
    /// Returns the name of the partial upload's file, a hash of the key.
    pub(super) fn hidden_name(&self) -> String {
        let text = format!("{} {} {}", self.length, self.sha256, self.name);
        Sha256Digest::of(Sha256::new_with_prefix(text)).to_string()
    }

    /// Returns the length of a partial upload, given the size of its file: 0 if the file is larger than the
    /// complete one.
    fn beginning(&self, size: i64) -> u64 {
        u64::try_from(size).ok().filter(|size| *size <= self.length).unwrap_or(0)
    }
}

impl Partial {
    /// The number of descriptors of an open partial upload: its file and its folder.
    pub(super) const DESCRIPTORS: usize = 2;

    /// Opens a partial upload to a library, or creates an empty one.
    pub(super) fn open(staging: &Staging, key: &UploadKey) -> Result<Partial, LibraryError> {
        let folder = &*staging.folder;
        // The open is repeated if another process completes the upload or removes the folder meanwhile.
        for _ in 0..3 {
            match staging.quota.change(0, 0, || mkdirat(folder, FOLDER, Mode::RWXU)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(partial) = Partial::attempt(folder, key, OFlags::CREATE)? {
                return Ok(partial);
            }
        }
        Err(LibraryError::Busy)
    }

    /// Opens a partial upload to the library in `folder`, if there is one.
    pub(super) fn find(folder: &OwnedFd, key: &UploadKey) -> Result<Option<Partial>, LibraryError> {
        Partial::attempt(folder, key, OFlags::empty())
    }

    /// Opens and locks the file. Returns `None` if it is missing, or another process removes it meanwhile.
    fn attempt(folder: &OwnedFd, key: &UploadKey, create: OFlags) -> Result<Option<Partial>, LibraryError> {
        let name = key.hidden_name();
        let folder = match openat(folder, FOLDER, PLAIN | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            folder => folder?,
        };
        let file = match openat(&folder, &name, create | OFlags::RDWR | OFlags::APPEND | PLAIN, NEW_MODE) {
            Err(Errno::NOENT) => return Ok(None),
            file => file?,
        };
        lock(&file)?;
        if !is_at(&file, &folder, &name)? {
            return Ok(None);
        }
        let size = fstat(&file)?.st_size;
        let length = key.beginning(size);
        if length == 0 && size > 0 {
            ftruncate(&file, 0)?;
        }
        Ok(Some(Partial { folder: Rc::new(folder), name, file, length }))
    }

    /// Removes the received bytes.
    pub(super) fn remove(self) -> Result<(), LibraryError> {
        Ok(unlinkat(&*self.folder, self.name, AtFlags::empty())?)
    }
}

fn lock(file: &OwnedFd) -> Result<(), LibraryError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(LibraryError::Busy),
        locked => Ok(locked?),
    }
}

fn is_at(file: &OwnedFd, folder: &OwnedFd, name: &str) -> Result<bool, LibraryError> {
    let open = fstat(file)?;
    let there = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    Ok(there.is_ok_and(|there| (there.st_dev, there.st_ino) == (open.st_dev, open.st_ino)))
}

/// Returns how many bytes of an upload to the library in `folder` were received.
pub(super) fn length(folder: &OwnedFd, key: &UploadKey) -> Result<u64, LibraryError> {
    let path = format!("{FOLDER}/{}", key.hidden_name());
    match statat(folder, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(key.beginning(stat.st_size)),
        Err(Errno::NOENT) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// The result of a sweep.
#[derive(Debug)]
pub(super) struct Swept {
    /// Whether any partial uploads are left.
    pub has_more: bool,
    /// An entry of the folder that was skipped, and why.
    pub skipped: Option<(CString, Errno)>,
}

/// Removes partial uploads whose last write is longer ago than `age`, and the oldest of the others until
/// `most` are left. Uploads in progress stay. Entries that are no partial uploads or cannot be removed are
/// skipped.
pub(super) fn sweep(
    staging: &Staging,
    (most, age): (usize, Duration),
    now: SystemTime,
) -> Result<Swept, LibraryError> {
    let mut swept = Swept { has_more: false, skipped: None };
    let folder = &*staging.folder;
    let partials = match openat(folder, FOLDER, PLAIN | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(swept),
        opened => opened?,
    };
    let mut found = Vec::new();
    let mut entries = Dir::read_from(&partials)?;
    while let Some(entry) = entries.read() {
        let name = entry?.file_name().to_owned();
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        match statat(&partials, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_file() => {
                found.push((modified(&stat), name));
            }
            Ok(_) => swept.skipped = Some((name, Errno::INVAL)),
            Err(Errno::NOENT) => {}
            Err(error) => swept.skipped = Some((name, error)),
        }
    }
    found.sort();
    let too_many = found.len().saturating_sub(most);
    for (index, (changed, name)) in found.into_iter().enumerate() {
        let is_old = now.duration_since(changed).is_ok_and(|since| since > age);
        match (index < too_many || is_old).then(|| timed(Call::Write, || remove_unlocked(&partials, &name))) {
            Some(Ok(true) | Err(Errno::NOENT)) => {}
            Some(Ok(false)) | None => swept.has_more = true,
            Some(Err(error)) => {
                swept.has_more = true;
                swept.skipped = Some((name, error));
            }
        }
    }
    if !swept.has_more {
        // The removal fails if the folder is not empty.
        let remove = || unlinkat(folder, FOLDER, AtFlags::REMOVEDIR);
        let _ = timed(Call::Write, || staging.quota.change(0, 0, remove));
    }
    Ok(swept)
}

/// Removes a partial upload, unless it is in progress. Returns whether it did.
fn remove_unlocked(partials: &OwnedFd, name: &CStr) -> rustix::io::Result<bool> {
    let file = openat(partials, name, PLAIN | OFlags::RDONLY, Mode::empty())?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    unlinkat(partials, name, AtFlags::empty())?;
    Ok(true)
}
