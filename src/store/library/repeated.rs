//! An upload of a name that is taken: its bytes are compared with the stored file, so that a client that has lost
//! the response to an upload can repeat it.

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::digest::Sha256Digest;
use super::error::LibraryError;
use super::hidden_file::Stored;
use super::items::stat_of;
use super::name::Name;
use crate::clock::calls::{Call, timed};
use crate::store::FileVersion;
use crate::store::descriptors::CountedFile;

/// A stored file that an upload is compared with.
#[derive(Debug)]
pub(super) struct RepeatedFile {
    version: FileVersion,
    length: u64,
    file: Rc<CountedFile>,
    /// The number of bytes that were compared and hashed.
    offset: u64,
    hasher: Sha256,
    expected: Option<Sha256Digest>,
}

impl RepeatedFile {
    /// Begins to compare with `file`, which is open.
    pub(super) fn new(file: Rc<CountedFile>) -> Result<RepeatedFile, LibraryError> {
        let metadata = file.metadata()?;
        let (version, length) = (FileVersion::from(&metadata), metadata.len());
        Ok(RepeatedFile { version, length, file, offset: 0, hasher: Sha256::new(), expected: None })
    }

    /// Fails at the end with `Mismatch` if the bytes do not have this digest.
    pub(super) fn expect(&mut self, sha256: Sha256Digest) {
        self.expected = Some(sha256);
    }

    /// Returns the number of bytes that were compared.
    pub(super) fn compared(&self) -> u64 {
        self.offset
    }

    /// Compares the next bytes. Fails with `Exists` if they differ.
    pub(super) fn compare(&mut self, bytes: &[u8]) -> Result<(), LibraryError> {
        let mut stored = vec![0; bytes.len()];
        let read = timed(Call::Read, || self.file.read_exact_at(&mut stored, self.offset));
        if read.is_err() || stored != bytes {
            return Err(LibraryError::Exists);
        }
        timed(Call::Hash, || self.hasher.update(bytes));
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Ends the upload. Fails with `Exists` if the file is longer, or is no longer the one that was compared.
    pub(super) fn confirm(
        &self,
        name: &Name,
        folder: &Rc<OwnedFd>,
    ) -> Result<(Stored, FileVersion), LibraryError> {
        let sha256 = Sha256Digest::of(self.hasher.clone());
        if self.expected.is_some_and(|expected| expected != sha256) {
            return Err(LibraryError::Mismatch);
        }
        let is_current = stat_of(folder, name).is_ok_and(|stat| FileVersion::from(&stat) == self.version);
        if self.offset != self.length || !is_current {
            return Err(LibraryError::Exists);
        }
        Ok((Stored { name: name.clone(), length: self.length, sha256, is_new: false }, self.version))
    }
}
