//! The SHA-256 that a client announces for the body of a PUT (RFC 9530).

use sha2::{Digest, Sha256};

use crate::protocol::http::semantics::{HeaderName, Headers, HttpError, digest};
use crate::store::Sha256Digest;

/// An announced digest, and the hash of the bytes received so far.
#[derive(Debug)]
pub(crate) struct AnnouncedDigest {
    expected: Sha256Digest,
    received: Sha256,
}

const MISMATCH: HttpError =
    HttpError::bad_request("The SHA-256 of the received bytes is not the announced one");

impl AnnouncedDigest {
    /// Returns the digest in Content-Digest or Repr-Digest. Both are of the same bytes, because a PUT has no
    /// content coding.
    pub(super) fn of(headers: &Headers<'_>) -> Result<Option<AnnouncedDigest>, HttpError> {
        let value = |name| headers.get(name).map_or(Ok(None), |field| digest::parse(&field));
        let expected = match (value(HeaderName::ContentDigest)?, value(HeaderName::ReprDigest)?) {
            (Some(content), Some(whole)) if content != whole => return Err(MISMATCH),
            (content, whole) => content.or(whole),
        };
        Ok(expected.map(|expected| AnnouncedDigest { expected, received: Sha256::new() }))
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.received.update(bytes);
    }

    /// Compares the digests once the body is complete.
    pub(super) fn check(self) -> Result<(), HttpError> {
        if Sha256Digest::of(self.received) == self.expected { Ok(()) } else { Err(MISMATCH) }
    }
}
