//! A request head (RFC 9112 section 2.1): found in the input, parsed by httparse, and checked where the
//! RFCs are stricter than it.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use super::framing::Framing;
use super::head_error::{TARGET_TOO_LONG, UNKNOWN_METHOD, is_later_minor_version, syntax_error, too_large};
use super::version::{Disposition, Persistence, Version};
use crate::close_reason::CloseReason;
use crate::limits::{FIELDS_MAX, HEAD_MAX_BYTES, TARGET_MAX_BYTES};
use crate::protocol::http::semantics::grammar::trim;
use crate::protocol::http::semantics::target::is_authority;
use crate::protocol::http::semantics::{
    HeaderSet, Headers, HttpError, Method, OwnedRequest, Request, Status, Target,
};

/// A request head, borrowed from the input it was parsed from.
#[derive(Clone, Debug)]
pub(super) struct Head<'a> {
    /// What it asks for, whatever the version.
    pub request: Request<'a>,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client waits for 100 (Continue) before it sends the body.
    pub expects_continue: bool,
    /// What it says about the life of its connection.
    pub persistence: Persistence,
    /// The version of HTTP, as far as responses depend on it.
    pub version: Version,
}

/// A head that outlives the input it was parsed from.
#[derive(Debug)]
pub(super) struct OwnedHead {
    request: OwnedRequest,
    framing: Framing,
    persistence: Persistence,
    version: Version,
}

/// What stands at the beginning of the input.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// A head of so many bytes.
    Head(Head<'a>, usize),
    /// The beginning of one.
    Partial,
    /// Nothing that can be carried out, with the fields that say how its sender would like to hear that, if
    /// the head is whole.
    Invalid(HttpError, Headers<'a>),
}

impl Head<'_> {
    /// What becomes of the connection after the response. `early_close` is why it is closed whatever the
    /// request says, if it is.
    pub(super) fn disposition(&self, early_close: Option<CloseReason>, is_draining: bool) -> Disposition {
        match (early_close, self.persistence) {
            (Some(reason), _) => Disposition::Close(reason),
            (None, Persistence::Close) => Disposition::Close(CloseReason::Answered),
            // What follows a CONNECT was meant for another server.
            _ if is_draining || self.request.method == Method::Connect => {
                Disposition::Close(CloseReason::LastAnswer)
            }
            (None, Persistence::Implied) => Disposition::KeepAlive,
            (None, Persistence::Agreed) => Disposition::AnnounceKeepAlive,
        }
    }
}

impl From<&Head<'_>> for OwnedHead {
    fn from(head: &Head<'_>) -> OwnedHead {
        let Head { framing, persistence, version, .. } = *head;
        OwnedHead { request: OwnedRequest::from(&head.request), framing, persistence, version }
    }
}

impl OwnedHead {
    /// The head, borrowed. A 100 (Continue) was sent before it was kept, or is not due any more.
    pub(super) fn borrow(&self) -> Head<'_> {
        let OwnedHead { request, framing, persistence, version } = self;
        Head {
            request: request.borrow(),
            framing: *framing,
            expects_continue: false,
            persistence: *persistence,
            version: *version,
        }
    }
}

/// The method of a head of which only the beginning need be there or sound.
pub(super) fn method_of(input: &[u8]) -> Option<Method> {
    let end = memchr::memchr(b' ', &input[..input.len().min(METHOD_MAX_BYTES + 1)])?;
    Method::parse(std::str::from_utf8(&input[..end]).ok()?)
}

/// Bytes of the longest method, CONNECT and OPTIONS.
const METHOD_MAX_BYTES: usize = 7;

/// Looks for a head in `input`, of which the first `seen` bytes were there at the last try.
///
/// A verdict falls only at the end of a line, or at a byte that no line may have, so that it does
/// not depend on how the input was cut; and since only a new line is a reason to parse again, a
/// head that drips in byte by byte costs no more than its lines times its length.
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
        // The words are those that the whole line would have got.
        let error = parse_lines(window).err().map(|(error, _)| error);
        let error = error.unwrap_or(HttpError::bad_request("The head has a control character"));
        return Parsed::Invalid(error, Headers::NONE);
    }
    if input.len() >= HEAD_MAX_BYTES {
        return Parsed::Invalid(too_large(window), Headers::NONE);
    }
    Parsed::Partial
}

/// What no line of a head may contain. CR is judged with its line.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t' && byte != b'\r') || byte == 0x7f
}

/// Parses whole lines. `None` when the empty line is not among them.
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

/// HTTP/1.2 and later are answered as 1.1 (RFC 9110 section 2.5). httparse does not know them, but
/// has kept the method and the target when it stops at the version.
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

/// Makes a head of what httparse found.
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
        // RFC 9112 section 3.2; with an absolute-form target, too.
        return Err(HttpError::bad_request("The Host field is missing"));
    }
    let framing = fields.framing(version)?;
    // An expectation that cannot be met is told last.
    let expects_continue = fields.expects_continue(version);
    let persistence = fields.persistence(version);
    let method = Method::parse(method.unwrap_or_default()).ok_or(UNKNOWN_METHOD)?;
    let target = Target::parse(target, method)?;
    let headers = Headers { block: lines, find: find_field, present: fields.present };
    let body_length = if let Framing::Length(length) = framing { Some(length) } else { None };
    let request = Request { method, target, headers, body_length };
    Ok(Head { request, framing, expects_continue: expects_continue?, persistence, version })
}

/// The fields that every request is judged by.
#[derive(Default)]
struct FramingHeaders<'a> {
    /// Present and valid, or absent.
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    expectation: Expectation,
    connection: ConnectionOption,
    /// The other fields that the response may depend on.
    present: HeaderSet,
}

/// What Expect says (RFC 9110 section 10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expectation {
    #[default]
    None,
    /// 100-continue, and nothing else.
    Continue,
    /// Something else, too.
    Unknown,
}

/// What Connection says. `close` outweighs `keep-alive` (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ConnectionOption {
    #[default]
    None,
    KeepAlive,
    Close,
}

impl<'a> FramingHeaders<'a> {
    /// Picks them out.
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

    /// Only whole tokens count (RFC 9110 section 7.6.1).
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

    /// How the body is delimited. Most requests have neither field, and no body.
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

    /// Whether the client waits for a 100. There is one expectation, and 1.0 has none (RFC 9110
    /// section 10.1.1).
    fn expects_continue(&self, version: Version) -> Result<bool, HttpError> {
        match (version, self.expectation) {
            (Version::Http10, _) | (Version::Http11, Expectation::None) => Ok(false),
            (Version::Http11, Expectation::Continue) => Ok(true),
            (Version::Http11, Expectation::Unknown) => {
                Err(HttpError::new(Status::ExpectationFailed, "The only expectation known is 100-continue"))
            }
        }
    }

    /// How the connection goes on.
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

/// Finds a field in the lines of a head that was parsed.
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
    fn values_are_found_and_lines_joined() {
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
    fn an_owned_head_is_the_same_request() {
        for target in ["/a?b", "/", "/a%20b", "http://h", "http://h?q", "http://h/x?y", "//x?"] {
            let input = format!("GET {target} HTTP/1.0\r\nRange: bytes=0-\r\nContent-Length: 5\r\n\r\n");
            let Parsed::Head(head, _) = parse(input.as_bytes(), 0) else { panic!("{target}") };
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
