//! How the body of a message is delimited (RFC 9112 section 6).

use super::version::Version;
use crate::protocol::http::semantics::grammar::{number, trim};
use crate::protocol::http::semantics::{HttpError, Status};

/// How the body of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The number of bytes; a request without a body has 0.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Framing {
    /// Applies RFC 9112 section 6.3, on the strict side wherever the RFC leaves a choice, because request
    /// smuggling exploits parsers that disagree about the end of a message.
    pub(super) fn decide(
        transfer_encoding: Option<&[u8]>,
        content_length: Option<&[u8]>,
        version: Version,
    ) -> Result<Framing, HttpError> {
        match (transfer_encoding, content_length) {
            (Some(_), Some(_)) => {
                Err(HttpError::bad_request("The request has both Transfer-Encoding and Content-Length"))
            }
            // Section 6.1: such a message has faulty framing.
            (Some(_), None) if version == Version::Http10 => {
                Err(HttpError::bad_request("HTTP/1.0 has no Transfer-Encoding"))
            }
            (Some(coding), None) => transfer_framing(coding),
            (None, Some(length)) => Ok(Framing::Length(parse_length(length)?)),
            (None, None) => Ok(Framing::Length(0)),
        }
    }
}

/// Interprets Transfer-Encoding (RFC 9112 section 6.1). Unknown codings before a final `chunked` are a 501.
/// Without a final `chunked` the end of the body is unknown, which is a 400.
fn transfer_framing(coding: &[u8]) -> Result<Framing, HttpError> {
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let mut codings = coding.rsplit(|byte| *byte == b',').map(trim);
    let last = codings.next().unwrap_or_default();
    let known_before = codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked") || coding.is_empty());
    if last.eq_ignore_ascii_case(b"chunked") && !known_before {
        return Err(HttpError::new(Status::NotImplemented, "The only supported transfer coding is chunked"));
    }
    Err(HttpError::bad_request("The Transfer-Encoding is malformed"))
}

/// Parses `1*DIGIT` (RFC 9110 section 8.6): no sign, no list, no white space, and at most 64 bits.
fn parse_length(value: &[u8]) -> Result<u64, HttpError> {
    number(value).ok_or(HttpError::bad_request("The Content-Length is malformed"))
}
