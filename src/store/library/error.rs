//! The errors of the library.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// An error of an operation on a file of the library.
#[derive(Debug)]
pub enum LibraryError {
    /// The file does not exist, or is not a regular one.
    NotFound,
    /// The name is taken, and the file may not be replaced.
    Exists,
    /// The rules, the permissions or the file system do not allow writing.
    ReadOnly,
    /// The file exceeds the maximum length of an upload.
    TooLarge,
    /// The disk or the library is full, or the upload would fill it.
    NoSpace,
    /// A temporary failure: no free descriptor, or another process writes to the same upload.
    Busy,
    /// Another connection continues the upload.
    TakenOver,
    /// Another folder took the place of the library's during the upload.
    FolderReplaced,
    /// The received bytes do not have the announced SHA-256.
    Mismatch,
    /// Another I/O error.
    Failed(io::Error),
}

/// Converts an error of a read, where EACCES and EPERM do not mean `ReadOnly`.
pub(super) fn reading(error: Errno) -> LibraryError {
    match error {
        Errno::ACCESS | Errno::PERM => LibraryError::Failed(error.into()),
        error => error.into(),
    }
}

impl From<Errno> for LibraryError {
    fn from(error: Errno) -> LibraryError {
        match error {
            // ELOOP (EMLINK on FreeBSD): the name is a symbolic link, which counts as missing.
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
            LibraryError::NotFound => "no such file",
            LibraryError::Exists => "a file with this name exists",
            LibraryError::ReadOnly => "the library is read-only",
            LibraryError::TooLarge => "the file exceeds the size limit",
            LibraryError::NoSpace => "there is not enough disk space",
            LibraryError::Busy => "the server is too busy",
            LibraryError::TakenOver => "the upload continues on another connection",
            LibraryError::FolderReplaced => {
                "the library folder was replaced during the upload; send the file again"
            }
            LibraryError::Mismatch => "the SHA-256 of the received bytes is not the announced one",
            LibraryError::Failed(error) => return write!(f, "the disk failed: {error}"),
        })
    }
}

impl std::error::Error for LibraryError {}
