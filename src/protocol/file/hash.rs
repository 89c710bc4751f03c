//! The reply to HASH: a file is read and hashed, a slice per turn.

use std::os::unix::fs::FileExt;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::limits::REHASH_SLICE_BYTES;
use crate::outbox::Outbox;
use crate::services::Context;
use crate::store::{CountedFile, LibraryError, Sha256Digest};

use super::reply::{ErrorReply, library_error, ok, parse_name};

/// A file that is being hashed.
#[derive(Debug)]
pub(super) struct HashInProgress {
    file: Rc<CountedFile>,
    hasher: Sha256,
    offset: u64,
}

impl HashInProgress {
    pub(super) fn begin(name: &[u8], cx: &Context<'_>) -> Result<HashInProgress, ErrorReply> {
        let (file, _) = cx.core.library.read(&parse_name(name)?).map_err(library_error)?;
        Ok(HashInProgress { file, hasher: Sha256::new(), offset: 0 })
    }

    /// Hashes a slice. At the end of the file, replies and returns `None`.
    pub(super) fn advance(mut self, out: &mut Outbox) -> Result<Option<HashInProgress>, ErrorReply> {
        let mut slice = vec![0; REHASH_SLICE_BYTES];
        let read = self.file.read_at(&mut slice, self.offset);
        let count = read.map_err(|error| library_error(LibraryError::Failed(error)))?;
        if count == 0 {
            ok(&format!("{}", Sha256Digest::of(self.hasher)), out);
            return Ok(None);
        }
        self.hasher.update(&slice[..count]);
        self.offset += count as u64;
        Ok(Some(self))
    }
}
