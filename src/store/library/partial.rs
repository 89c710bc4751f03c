//! Uploads that can be taken up again: what has come of one is kept in a hidden folder, under a name
//! that says what it is the beginning of.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, flock, fstat, ftruncate, mkdirat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::digest::Sha256Digest;
use super::error::LibraryError;
use super::name::Name;
use super::system::NEW_MODE;
use crate::store::version::modified;

/// What an upload will be. Two that agree in it are the same, through whatever door they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadKey {
    /// Its bytes.
    pub length: u64,
    /// Their hash.
    pub sha256: Sha256Digest,
    /// What it will be called.
    pub name: Name,
}

/// What has come of an upload, locked: nobody else writes to it.
#[derive(Debug)]
pub(super) struct Partial {
    /// Where it is.
    pub folder: Rc<OwnedFd>,
    /// What it is called there.
    pub name: String,
    /// The file, at its end.
    pub file: OwnedFd,
    /// Its bytes.
    pub length: u64,
}

/// The hidden folder.
const FOLDER: &str = ".evserve-partial";

/// How everything there is opened, besides for what.
const PLAIN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl UploadKey {
    fn hidden_name(&self) -> String {
        let text = format!("{} {} {}", self.length, self.sha256, self.name);
        Sha256Digest::of(Sha256::new_with_prefix(text)).to_string()
    }

    /// Its bytes if a file of so many can be its beginning.
    fn beginning(&self, size: i64) -> u64 {
        u64::try_from(size).ok().filter(|size| *size <= self.length).unwrap_or(0)
    }
}

impl Partial {
    /// Opens what has come of an upload to the library in `folder`, or begins it.
    pub(super) fn open(folder: &OwnedFd, key: &UploadKey) -> Result<Partial, LibraryError> {
        let name = key.hidden_name();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | PLAIN;
        // Who held it may have finished just now, and what was opened is gone: once more, then.
        for _ in 0..3 {
            match mkdirat(folder, FOLDER, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let folder = openat(folder, FOLDER, PLAIN | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            let file = match openat(&folder, &name, flags, NEW_MODE) {
                Err(Errno::NOENT) => continue,
                file => file?,
            };
            lock(&file)?;
            if !is_at(&file, &folder, &name)? {
                continue;
            }
            let size = fstat(&file)?.st_size;
            let length = key.beginning(size);
            if length == 0 && size > 0 {
                ftruncate(&file, 0)?;
            }
            return Ok(Partial { folder: Rc::new(folder), name, file, length });
        }
        Err(LibraryError::Busy)
    }

    /// Gives it up.
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

/// How many bytes have come of an upload to the library in `folder`.
pub(super) fn length(folder: &OwnedFd, key: &UploadKey) -> Result<u64, LibraryError> {
    let path = format!("{FOLDER}/{}", key.hidden_name());
    match statat(folder, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(key.beginning(stat.st_size)),
        Err(Errno::NOENT) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Removes those that nobody has written to for longer than `age`, and of the others the oldest, until
/// `most` are left. Those that somebody is writing to stay. Returns whether there are any.
pub(super) fn sweep(
    folder: &OwnedFd,
    (most, age): (usize, Duration),
    now: SystemTime,
) -> Result<bool, LibraryError> {
    let partials = match openat(folder, FOLDER, PLAIN | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(false),
        opened => opened?,
    };
    let mut found = Vec::new();
    let mut entries = Dir::read_from(&partials)?;
    while let Some(entry) = entries.read() {
        let name = entry?.file_name().to_owned();
        if !name.to_bytes().starts_with(b".") {
            found.push((modified(&statat(&partials, &name, AtFlags::SYMLINK_NOFOLLOW)?), name));
        }
    }
    found.sort();
    let too_many = found.len().saturating_sub(most);
    for (index, (changed, name)) in found.iter().enumerate() {
        if index < too_many || now.duration_since(*changed).is_ok_and(|since| since > age) {
            let file = openat(&partials, name, PLAIN | OFlags::RDONLY, Mode::empty())?;
            if lock(&file).is_ok() {
                unlinkat(&partials, name, AtFlags::empty())?;
            }
        }
    }
    // It goes when it is empty.
    Ok(unlinkat(folder, FOLDER, AtFlags::REMOVEDIR).is_err())
}
