//! What can go wrong with a file of the library.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// Why something cannot be done with a file of the library.
#[derive(Debug)]
pub enum LibraryError {
    /// There is no such file.
    NotFound,
    /// There is one of that name.
    Exists,
    /// Nothing may be written.
    ReadOnly,
    /// It is larger than uploads may be.
    TooLarge,
    /// The disk is full, or would be.
    NoSpace,
    /// Not now: no descriptor is free, or somebody else is at it.
    Busy,
    /// What has come is not what was announced.
    Mismatch,
    /// The disk failed.
    Failed(io::Error),
}

/// An error of reading, which says nothing of what may be written.
pub(super) fn reading(error: Errno) -> LibraryError {
    match error {
        Errno::ACCESS | Errno::PERM => LibraryError::Failed(error.into()),
        error => error.into(),
    }
}

impl From<Errno> for LibraryError {
    fn from(error: Errno) -> LibraryError {
        match error {
            // ELOOP: a symbolic link stands there, which counts as nothing.
            Errno::NOENT | Errno::LOOP | Errno::MLINK => LibraryError::NotFound,
            Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY => LibraryError::Exists,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => LibraryError::ReadOnly,
            Errno::NOSPC | Errno::DQUOT => LibraryError::NoSpace,
            Errno::FBIG => LibraryError::TooLarge,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => LibraryError::Busy,
            error => LibraryError::Failed(error.into()),
        }
    }
}

impl From<io::Error> for LibraryError {
    fn from(error: io::Error) -> LibraryError {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => LibraryError::Failed(error),
        }
    }
}

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LibraryError::NotFound => "there is no such file",
            LibraryError::Exists => "there is a file of that name",
            LibraryError::ReadOnly => "nothing may be written here",
            LibraryError::TooLarge => "the file is larger than is taken",
            LibraryError::NoSpace => "there is not enough space",
            LibraryError::Busy => "too much is under way",
            LibraryError::Mismatch => "what has come has another SHA-256 than was announced",
            LibraryError::Failed(error) => return write!(f, "the disk failed: {error}"),
        })
    }
}

impl std::error::Error for LibraryError {}
