//! A PUT of a name that is taken: its payload is compared with the stored file, so that a client that has lost
//! the reply to an upload can repeat it.

use std::os::unix::fs::FileExt;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::outbox::Outbox;
use crate::services::Context;
use crate::store::{CountedFile, FileVersion, LibraryError, Name, Sha256Digest};

use super::reply::{library_error, ok, refuse};

/// A stored file that a payload is compared with.
#[derive(Debug)]
pub(super) struct StoredFile {
    name: Name,
    version: FileVersion,
    file: Rc<CountedFile>,
    /// The number of bytes that were compared and hashed.
    offset: u64,
    hasher: Sha256,
}

impl StoredFile {
    /// Opens the file `name`. Fails with `Exists` if it cannot be the same, and with `Busy` if that cannot be
    /// found out now.
    pub(super) fn find(name: Name, length: u64, cx: &Context<'_>) -> Result<StoredFile, LibraryError> {
        let (file, item) = match cx.core.library.read(&name) {
            Err(LibraryError::Busy) => return Err(LibraryError::Busy),
            // A folder, a link, or a file that the server may not read.
            read => read.map_err(|_| LibraryError::Exists)?,
        };
        if item.length != length {
            return Err(LibraryError::Exists);
        }
        let version = FileVersion::from(&file.metadata()?);
        Ok(StoredFile { name, version, file, offset: 0, hasher: Sha256::new() })
    }

    /// Compares the next bytes. Fails with `Exists` if they differ.
    pub(super) fn compare(&mut self, bytes: &[u8]) -> Result<(), LibraryError> {
        let mut stored = vec![0; bytes.len()];
        let read = self.file.read_exact_at(&mut stored, self.offset);
        if read.is_err() || stored != bytes {
            return Err(LibraryError::Exists);
        }
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Replies to a complete payload. The file may have changed since its bytes were compared.
    pub(super) fn end(self, out: &mut Outbox, cx: &Context<'_>) {
        match cx.core.library.version(&self.name) {
            Some(version) if version == self.version => {
                ok(&format!("{} {}", self.offset, Sha256Digest::of(self.hasher)), out);
            }
            _ => refuse(&library_error(LibraryError::Exists), out),
        }
    }
}
