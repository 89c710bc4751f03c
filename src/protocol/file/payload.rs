//! The payload of a PUT or a RESUME, whose length is known in advance.

use crate::limits::TURN_READ_BYTES;
use crate::outbox::Outbox;
use crate::services::Context;
use crate::store::{Sha256Digest, Upload, UploadKey};

use super::reply::{ErrorReply, library_error, ok, parse_name, refuse, store, write};
use super::vocabulary::code;

/// A payload that is being received.
#[derive(Debug)]
pub(super) struct Payload {
    /// `None` if the upload was refused or failed: then the payload is read and dropped.
    upload: Option<Box<Upload>>,
    /// The number of bytes still to be received.
    left: u64,
}

impl Payload {
    /// Begins to receive the payload of a PUT. An error is reported at once, and the payload is dropped.
    pub(super) fn put(
        name: &[u8],
        length: u64,
        out: &mut Outbox,
        cx: &Context<'_>,
    ) -> (Payload, Result<(), ErrorReply>) {
        let upload = parse_name(name)
            .and_then(|name| cx.core.library.create(&name, Some(length)).map_err(library_error));
        let (upload, outcome) = match upload {
            Ok(upload) => (Some(Box::new(upload)), Ok(())),
            Err(error) => {
                refuse(&error, out);
                (None, Err(error))
            }
        };
        (Payload { upload, left: length }, outcome)
    }

    /// Begins to receive the payload of a RESUME, that is the bytes that the server lacks. After an error no
    /// payload follows, because the client waits for the offset before it sends.
    pub(super) fn resume(
        what: Option<(u64, Sha256Digest)>,
        name: &[u8],
        out: &mut Outbox,
        cx: &mut Context<'_>,
    ) -> Result<Payload, ErrorReply> {
        let (length, sha256) = what.ok_or_else(|| {
            ErrorReply::new(code::BAD_LENGTH, "RESUME takes a length, a SHA-256 in hex and a name")
        })?;
        let key = UploadKey { length, sha256, name: parse_name(name)? };
        let now = (cx.core.clock.now.monotonic, cx.core.clock.now.wall);
        let upload = cx.core.library.resume(&key, now).map_err(library_error)?;
        let offset = upload.written();
        ok(&format!("{offset}"), out);
        Ok(Payload { upload: Some(Box::new(upload)), left: length - offset })
    }

    /// Returns the number of bytes that can be received at once.
    pub(super) fn expected(&self) -> usize {
        self.left.min(TURN_READ_BYTES as u64) as usize
    }

    /// Returns whether the payload is stored, not dropped.
    pub(super) fn is_wanted(&self) -> bool {
        self.upload.is_some()
    }

    /// Returns whether the part that is already stored must be [hashed](Payload::rehash) first.
    pub(super) fn is_rehashing(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.is_rehashing())
    }

    /// Hashes a slice of the part that is already stored.
    pub(super) fn rehash(&mut self, out: &mut Outbox) {
        if let Some(upload) = &mut self.upload
            && let Err(error) = upload.rehash()
        {
            refuse(&library_error(error), out);
            self.upload = None;
        }
    }

    /// Consumes the bytes at the beginning of `input` that belong to the payload. Returns their number.
    pub(super) fn take(&mut self, input: &[u8], out: &mut Outbox) -> usize {
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        write(&mut self.upload, &input[..taken], out);
        self.left -= taken as u64;
        taken
    }

    /// Stores the upload if its payload is complete. Returns the payload if it is not.
    pub(super) fn end(self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<Payload> {
        if self.left > 0 || self.is_rehashing() {
            return Some(self);
        }
        if let Some(upload) = self.upload {
            store(*upload, out, cx);
        }
        None
    }
}
