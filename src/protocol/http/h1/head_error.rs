//! The errors of heads that cannot be parsed: a status and a text for the client.

use crate::limits::TARGET_MAX_BYTES;
use crate::protocol::http::semantics::grammar::is_token;
use crate::protocol::http::semantics::{HttpError, Status};

/// Returns whether the first line has three words, the last of them `HTTP/1.` and a digit.
pub(super) fn is_later_minor_version(lines: &[u8]) -> bool {
    let line = first_line(lines);
    memchr::memchr_iter(b' ', line).count() == 2 && version(line).is_some_and(|(major, _)| major == b'1')
}

/// Parses the version at the end of a line into its two digits (RFC 9112 section 2.3).
fn version(line: &[u8]) -> Option<(u8, u8)> {
    match line.rsplitn(2, |byte| *byte == b' ').next()? {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Some((*major, *minor))
        }
        _ => None,
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    let line = memchr::memchr(b'\n', lines).map_or(lines, |at| &lines[..at]);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns whether a rejected head is the beginning of a TLS handshake: a record of type 22, version 3.x (RFC 8446
/// section 5.1).
pub(super) fn is_client_hello(input: &[u8]) -> bool {
    input.starts_with(&[0x16, 0x03])
}

/// Returns the error for a head that httparse rejects.
pub(super) fn syntax_error(lines: &[u8], error: httparse::Error) -> HttpError {
    request_line_error(lines).unwrap_or_else(|| parser_error(error))
}

fn parser_error(error: httparse::Error) -> HttpError {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => {
            HttpError::new(Status::FieldsTooLarge, "The request has too many header fields")
        }
        Error::HeaderName => HttpError::bad_request("The name of a header field is malformed"),
        Error::HeaderValue => HttpError::bad_request("The value of a header field is malformed"),
        Error::NewLine => HttpError::bad_request("A line of the head does not end in CRLF"),
        Error::Version => HttpError::bad_request("The HTTP version is malformed"),
        Error::Token | Error::Status => HttpError::bad_request("The request line is malformed"),
    }
}

/// Returns the error of a request line that has its own status: a target that is too long, or another major
/// version after a valid method and target.
fn request_line_error(lines: &[u8]) -> Option<HttpError> {
    let line = first_line(lines);
    let method = line.iter().take_while(|byte| is_token(**byte)).count();
    let target = line.get(method + 1..).filter(|_| method > 0 && line[method] == b' ')?;
    let length = target.iter().take_while(|byte| **byte > b' ' && **byte != 0x7f).count();
    if length > TARGET_MAX_BYTES {
        return Some(TARGET_TOO_LONG);
    }
    let behind = target.get(length..)?;
    match (length > 0 && behind.len() == b" HTTP/x.y".len()).then(|| version(behind)).flatten() {
        Some((major, _)) if major != b'1' && lines.len() > line.len() => {
            Some(HttpError::new(Status::VersionNotSupported, "This server speaks HTTP/1.1 and 1.0"))
        }
        _ => None,
    }
}

/// The target is longer than [`TARGET_MAX_BYTES`].
pub(super) const TARGET_TOO_LONG: HttpError =
    HttpError::new(Status::UriTooLong, "The request target is too long");

/// Returns the error for a head that is too large, by the part that makes it so.
pub(super) fn too_large(window: &[u8]) -> HttpError {
    let line = first_line(window);
    if line.len() < window.len() - 1 {
        return request_line_error(window)
            .unwrap_or(HttpError::new(Status::FieldsTooLarge, "The request head is too large"));
    }
    let method = line.iter().take_while(|byte| is_token(**byte)).count();
    match line.get(method) {
        // RFC 9112 section 3: a method longer than any that is implemented is 501.
        None => UNKNOWN_METHOD,
        Some(b' ') if method > 0 => {
            request_line_error(window).unwrap_or(parser_error(httparse::Error::Version))
        }
        Some(_) => parser_error(httparse::Error::Token),
    }
}

/// The server does not implement the method (RFC 9110 section 15.6.2).
pub(super) const UNKNOWN_METHOD: HttpError = HttpError::new(Status::NotImplemented, "The method is unknown");
