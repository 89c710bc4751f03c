//! The SHA-256 that a client announces for the body of a PUT (RFC 9530).

use crate::protocol::http::semantics::{HeaderName, Headers, HttpError, digest};
use crate::store::Sha256Digest;

/// The error for a body that does not have the announced digest, and for two digests that differ.
pub(super) const MISMATCH: HttpError =
    HttpError::bad_request("The SHA-256 of the received bytes is not the announced one");

/// Returns the digest in Content-Digest or Repr-Digest. Both are of the same bytes, because a PUT has no content
/// coding.
pub(super) fn announced_digest(headers: &Headers<'_>) -> Result<Option<Sha256Digest>, HttpError> {
    let value = |name| headers.get(name).map_or(Ok(None), |field| digest::parse(&field));
    match (value(HeaderName::ContentDigest)?, value(HeaderName::ReprDigest)?) {
        (Some(content), Some(whole)) if content != whole => Err(MISMATCH),
        (content, whole) => Ok(content.or(whole)),
    }
}
