//! How the body of a message is delimited (RFC 9112 section 6).

use super::version::Version;
use crate::protocol::http::semantics::grammar::{number, trim};
use crate::protocol::http::semantics::{HttpError, Status};

/// How a message's body is delimited: the one decision that is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes; a request without a body has 0.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Framing {
    /// RFC 9112 section 6.3, on the strict side wherever it leaves a choice: two parsers that disagree about
    /// where a message ends are how requests are smuggled.
    pub(super) fn decide(
        transfer_encoding: Option<&[u8]>,
        content_length: Option<&[u8]>,
        version: Version,
    ) -> Result<Framing, HttpError> {
        match (transfer_encoding, content_length) {
            (Some(_), Some(_)) => {
                Err(HttpError::bad_request("Transfer-Encoding and Content-Length exclude each other"))
            }
            // Section 6.1: faulty framing.
            (Some(_), None) if version == Version::Http10 => {
                Err(HttpError::bad_request("HTTP/1.0 has no Transfer-Encoding"))
            }
            (Some(coding), None) => transfer_framing(coding),
            (None, Some(length)) => Ok(Framing::Length(parse_length(length)?)),
            (None, None) => Ok(Framing::Length(0)),
        }
    }
}

/// RFC 9112 section 6.1: unknown codings before a last `chunked` are 501; without it as the last
/// one the body's end could not be told.
fn transfer_framing(coding: &[u8]) -> Result<Framing, HttpError> {
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let mut codings = coding.rsplit(|byte| *byte == b',').map(trim);
    let last = codings.next().unwrap_or_default();
    let known_before = codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked") || coding.is_empty());
    if last.eq_ignore_ascii_case(b"chunked") && !known_before {
        return Err(HttpError::new(Status::NotImplemented, "The only transfer coding known is chunked"));
    }
    Err(HttpError::bad_request("The Transfer-Encoding is malformed"))
}

/// `1*DIGIT` (RFC 9110 section 8.6): no sign, no list, no white space, and not beyond 64 bits.
fn parse_length(value: &[u8]) -> Result<u64, HttpError> {
    number(value).ok_or(HttpError::bad_request("The Content-Length is malformed"))
}
