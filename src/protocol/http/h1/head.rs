//! A request head (RFC 9112 section 2.1): found in the input, parsed by httparse, and checked where the
//! RFCs are stricter than httparse.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Deref;

use super::framing::Framing;
use super::head_error::{TARGET_TOO_LONG, UNKNOWN_METHOD, is_later_minor_version, syntax_error, too_large};
use super::version::{Disposition, Persistence, Version};
use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::limits::{FIELDS_MAX, HEAD_MAX_BYTES, TARGET_MAX_BYTES};
use crate::protocol::http::semantics::grammar::trim;
use crate::protocol::http::semantics::target::{is_authority, needs_tls};
use crate::protocol::http::semantics::{
    HeaderSet, Headers, HttpError, Method, OwnedRequest, Request, Status, Target,
};

/// A request head, borrowed from the input it was parsed from.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub request: Request<'a>,
    /// Whether the target needs a connection with TLS.
    pub needs_tls: bool,
    pub framing: Framing,
    /// Whether the client waits for 100 (Continue) before it sends the body.
    pub expects_continue: bool,
    pub persistence: Persistence,
    pub version: Version,
}

/// A head, and when its first byte was received. Responses from the cache do without that time, so a [`Head`] lacks it.
#[derive(Debug)]
pub(super) struct ReceivedHead<'a> {
    head: Head<'a>,
    pub begun: Instant,
}

/// A head that outlives the input it was parsed from.
#[derive(Debug)]
pub(super) struct OwnedHead {
    request: OwnedRequest,
    begun: Instant,
    framing: Framing,
    persistence: Persistence,
    version: Version,
}

/// The result of parsing the beginning of the input.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// A head and its length in bytes.
    Head(Head<'a>, usize),
    /// An incomplete head.
    Partial,
    /// A head that is refused. The fields, which are empty unless the head is complete, select the format of
    /// the error response.
    Invalid(HttpError, Headers<'a>),
}

impl Head<'_> {
    /// Decides what happens to the connection after the response. If `early_close` is given, the connection
    /// closes, whatever the request says.
    pub(super) fn disposition(&self, early_close: Option<CloseReason>, is_draining: bool) -> Disposition {
        match (early_close, self.persistence) {
            (Some(reason), _) => Disposition::Close(reason),
            (None, Persistence::Close) => Disposition::Close(CloseReason::CloseRequested),
            // The bytes after a CONNECT are meant for another server.
            _ if is_draining || self.request.method == Method::Connect => {
                Disposition::Close(CloseReason::ServerClosed)
            }
            (None, Persistence::Implied) => Disposition::KeepAlive,
            (None, Persistence::Agreed) => Disposition::AnnounceKeepAlive,
        }
    }
}

impl<'a> ReceivedHead<'a> {
    pub(super) fn new(head: Head<'a>, begun: Instant) -> ReceivedHead<'a> {
        ReceivedHead { head, begun }
    }
}

impl<'a> Deref for ReceivedHead<'a> {
    type Target = Head<'a>;

    fn deref(&self) -> &Head<'a> {
        &self.head
    }
}

impl From<&ReceivedHead<'_>> for OwnedHead {
    fn from(ReceivedHead { head, begun }: &ReceivedHead<'_>) -> OwnedHead {
        let Head { framing, persistence, version, .. } = *head;
        OwnedHead { request: OwnedRequest::from(&head.request), begun: *begun, framing, persistence, version }
    }
}

impl OwnedHead {
    /// Borrows the head, without its expectation: a 100 (Continue) was already sent, or is no longer due.
    pub(super) fn borrow(&self) -> ReceivedHead<'_> {
        let OwnedHead { request, begun, framing, persistence, version } = self;
        let head = Head {
            request: request.borrow(),
            // A head that needs TLS and lacks it is refused at once, and never kept.
            needs_tls: false,
            framing: *framing,
            expects_continue: false,
            persistence: *persistence,
            version: *version,
        };
        ReceivedHead { head, begun: *begun }
    }
}

/// Returns the method of a head. The rest of the head may be missing or malformed.
pub(super) fn method_of(input: &[u8]) -> Option<Method> {
    let end = memchr::memchr(b' ', &input[..input.len().min(METHOD_MAX_BYTES + 1)])?;
    Method::parse(std::str::from_utf8(&input[..end]).ok()?)
}

/// The length of the longest methods, CONNECT and OPTIONS.
const METHOD_MAX_BYTES: usize = 7;

/// Parses the head at the beginning of `input`, whose first `seen` bytes were already scanned.
///
/// A head is accepted or refused only at the end of a line, or at a byte that is invalid in every line, so
/// the result does not depend on how the input was cut. Only a new line is a reason to parse again, so a head
/// that arrives byte by byte costs at most the number of its lines times its length.
pub(super) fn parse(input: &[u8], seen: usize) -> Parsed<'_> {
    let window = &input[..input.len().min(HEAD_MAX_BYTES)];
    let new = &window[seen.min(window.len())..];
    if let Some(last) = memchr::memrchr(b'\n', new) {
        let end = window.len() - new.len() + last + 1;
        match parse_lines(&window[..end]) {
            Ok(Some((head, length))) => return Parsed::Head(head, length),
            Ok(None) => {}
            Err((error, headers)) => return Parsed::Invalid(error, headers),
        }
    }
    let tail_start = memchr::memrchr(b'\n', window).map_or(0, |at| at + 1);
    let tail = &window[tail_start.max(seen.min(window.len()))..];
    if tail.iter().any(|byte| is_control(*byte)) {
        // The error is the one that the complete line would have caused.
        let error = parse_lines(window).err().map(|(error, _)| error);
        let error = error.unwrap_or(HttpError::bad_request("The request head contains a control character"));
        return Parsed::Invalid(error, Headers::NONE);
    }
    if input.len() >= HEAD_MAX_BYTES {
        return Parsed::Invalid(too_large(window), Headers::NONE);
    }
    Parsed::Partial
}

/// Returns whether a byte is invalid in every line of a head. CR is checked once its line is complete.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t' && byte != b'\r') || byte == 0x7f
}

/// Parses complete lines. Returns `None` if they do not include the empty line that ends the head.
fn parse_lines(lines: &[u8]) -> Result<Option<(Head<'_>, usize)>, (HttpError, Headers<'_>)> {
    let mut storage = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(lines, &mut storage) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::Version) if is_later_minor_version(lines) => return parse_later_version(lines),
        Err(error) => return Err((syntax_error(lines, error), Headers::NONE)),
    };
    let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let lines = &lines[..length];
    match head(lines, parsed.method, parsed.path, version, parsed.headers) {
        Ok(head) => Ok(Some((head, length))),
        Err(error) => Err((error, Headers { block: lines, find: find_field, present: HeaderSet::UNKNOWN })),
    }
}

/// Parses HTTP/1.2 and later as HTTP/1.1 (RFC 9110 section 2.5). httparse rejects these versions, but has
/// stored the method and the target by the time it does.
fn parse_later_version(lines: &[u8]) -> Result<Option<(Head<'_>, usize)>, (HttpError, Headers<'_>)> {
    let mut parsed = httparse::Request::new(&mut []);
    let _ = parsed.parse(lines);
    let line = memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1);
    let mut storage = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(&lines[line..], &mut storage) {
        Ok(httparse::Status::Complete((length, fields))) => {
            let lines = &lines[..line + length];
            match head(lines, parsed.method, parsed.path, Version::Http11, fields) {
                Ok(head) => Ok(Some((head, lines.len()))),
                Err(error) => {
                    Err((error, Headers { block: lines, find: find_field, present: HeaderSet::UNKNOWN }))
                }
            }
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err((syntax_error(lines, error), Headers::NONE)),
    }
}

/// Checks the parts that httparse has found, and builds a head from them.
fn head<'a>(
    lines: &'a [u8],
    method: Option<&'a str>,
    target: Option<&'a str>,
    version: Version,
    fields: &[httparse::Header<'a>],
) -> Result<Head<'a>, HttpError> {
    let target = target.unwrap_or_default().as_bytes();
    if target.len() > TARGET_MAX_BYTES {
        return Err(TARGET_TOO_LONG);
    }
    let fields = FramingHeaders::collect(fields)?;
    if fields.host.is_none() && version == Version::Http11 {
        // RFC 9112 section 3.2 requires Host, even with an absolute-form target.
        return Err(HttpError::bad_request("The Host field is missing"));
    }
    let framing = fields.framing(version)?;
    // An unknown expectation is reported only if nothing else is wrong.
    let expects_continue = fields.expects_continue(version);
    let persistence = fields.persistence(version);
    let method = Method::parse(method.unwrap_or_default()).ok_or(UNKNOWN_METHOD)?;
    let (needs_tls, target) = (needs_tls(target), Target::parse(target, method)?);
    let headers = Headers { block: lines, find: find_field, present: fields.present };
    let body_length = if let Framing::Length(length) = framing { Some(length) } else { None };
    let request = Request { method, target, headers, body_length };
    Ok(Head { request, needs_tls, framing, expects_continue: expects_continue?, persistence, version })
}

/// The fields that are checked in every request.
#[derive(Default)]
struct FramingHeaders<'a> {
    /// The Host field, which is valid if it is present.
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    expectation: Expectation,
    connection: ConnectionOption,
    /// Which of the other fields that a response may depend on are present.
    present: HeaderSet,
}

/// The value of Expect (RFC 9110 section 10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expectation {
    #[default]
    None,
    /// Only 100-continue.
    Continue,
    /// At least one unknown expectation.
    Unknown,
}

/// The option in Connection. `close` takes precedence over `keep-alive` (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ConnectionOption {
    #[default]
    None,
    KeepAlive,
    Close,
}

impl<'a> FramingHeaders<'a> {
    /// Collects the fields. Duplicate fields and a malformed Host are errors.
    fn collect(fields: &[httparse::Header<'a>]) -> Result<FramingHeaders<'a>, HttpError> {
        let mut found = FramingHeaders::default();
        for httparse::Header { name, value } in fields {
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    once(&mut found.host, value, "Host is given twice")?
                }
                6 if name.eq_ignore_ascii_case("expect") => found.expect(value),
                10 if name.eq_ignore_ascii_case("connection") => found.connection(value),
                14 if name.eq_ignore_ascii_case("content-length") => {
                    once(&mut found.content_length, value, "Content-Length is given twice")?;
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    once(&mut found.transfer_encoding, value, "Transfer-Encoding is given twice")?;
                }
                _ => found.present.insert(name),
            }
        }
        match found.host {
            Some(host) if !is_authority(host) => Err(HttpError::bad_request("The Host field is malformed")),
            _ => Ok(found),
        }
    }

    /// Applies a Connection field, in which only complete tokens count (RFC 9110 section 7.6.1).
    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(trim) {
            if option.eq_ignore_ascii_case(b"close") {
                self.connection = ConnectionOption::Close;
            } else if option.eq_ignore_ascii_case(b"keep-alive") && self.connection == ConnectionOption::None
            {
                self.connection = ConnectionOption::KeepAlive;
            }
        }
    }

    /// Returns how the body is delimited. Most requests have neither field, and so no body.
    fn framing(&self, version: Version) -> Result<Framing, HttpError> {
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(Framing::Length(0)),
            (coding, length) => Framing::decide(coding, length, version),
        }
    }

    fn expect(&mut self, value: &[u8]) {
        for expectation in value.split(|byte| *byte == b',').map(trim).filter(|value| !value.is_empty()) {
            self.expectation = match self.expectation {
                Expectation::Unknown => Expectation::Unknown,
                _ if expectation.eq_ignore_ascii_case(b"100-continue") => Expectation::Continue,
                _ => Expectation::Unknown,
            };
        }
    }

    /// Returns whether the client waits for a 100. RFC 9110 section 10.1.1 defines no other expectation, and
    /// a server ignores this one in HTTP/1.0.
    fn expects_continue(&self, version: Version) -> Result<bool, HttpError> {
        match (version, self.expectation) {
            (Version::Http10, _) | (Version::Http11, Expectation::None) => Ok(false),
            (Version::Http11, Expectation::Continue) => Ok(true),
            (Version::Http11, Expectation::Unknown) => Err(HttpError::new(
                Status::ExpectationFailed,
                "The only supported expectation is 100-continue",
            )),
        }
    }

    fn persistence(&self, version: Version) -> Persistence {
        match (self.connection, version) {
            (ConnectionOption::Close, _) | (ConnectionOption::None, Version::Http10) => Persistence::Close,
            (ConnectionOption::KeepAlive, Version::Http10) => Persistence::Agreed,
            (_, Version::Http11) => Persistence::Implied,
        }
    }
}

fn once<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8], twice: &'static str) -> Result<(), HttpError> {
    match field.replace(value) {
        Some(_) => Err(HttpError::bad_request(twice)),
        None => Ok(()),
    }
}

/// Finds the value of a field in the lines of a parsed head.
fn find_field<'a>(lines: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    let name = name.as_bytes();
    let mut joined: Option<Cow<'a, [u8]>> = None;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', lines) {
        let line = &lines[start..end];
        start = end + 1;
        if line.get(name.len()) != Some(&b':') || !line[..name.len()].eq_ignore_ascii_case(name) {
            continue;
        }
        let value = trim(line[name.len() + 1..].strip_suffix(b"\r").unwrap_or(&line[name.len() + 1..]));
        joined = Some(match joined {
            None => Cow::Borrowed(value),
            Some(before) => Cow::Owned([&before, value].join(&b", "[..])),
        });
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::semantics::HeaderName;

    #[test]
    fn field_values_are_found_and_repeated_fields_are_joined() {
        let head = b"GET /range: HTTP/1.1\r\nHost: h\r\nRANGE:\t bytes=0-1 \r\nIf-Match:\"a\"\n\
            x-range: no\r\nif-match: \"b:c\"\r\n\r\n";
        let mut present = HeaderSet::default();
        ["Host", "RANGE", "If-Match", "x-range", "if-match"].iter().for_each(|name| present.insert(name));
        let headers = Headers { block: head, find: find_field, present };
        assert_eq!(headers.get(HeaderName::Range).as_deref(), Some(&b"bytes=0-1"[..]));
        assert_eq!(headers.get(HeaderName::IfMatch).as_deref(), Some(&b"\"a\", \"b:c\""[..]));
        assert_eq!((headers.get(HeaderName::IfRange), headers.is_unconditional()), (None, false));
    }

    #[test]
    fn an_owned_head_equals_the_head_it_was_copied_from() {
        for target in ["/a?b", "/", "/a%20b", "http://h", "http://h?q", "http://h/x?y", "//x?"] {
            let input = format!("GET {target} HTTP/1.0\r\nRange: bytes=0-\r\nContent-Length: 5\r\n\r\n");
            let Parsed::Head(head, _) = parse(input.as_bytes(), 0) else { panic!("{target}") };
            let head = ReceivedHead::new(head, Instant::now());
            let owned = OwnedHead::from(&head);
            let again = owned.borrow();
            assert_eq!(again.request.target, head.request.target);
            assert_eq!(again.request.headers.get(HeaderName::Range).as_deref(), Some(&b"bytes=0-"[..]));
            assert_eq!(
                (again.framing, again.persistence, again.version, again.request.body_length),
                (head.framing, head.persistence, head.version, Some(5))
            );
        }
    }
}
