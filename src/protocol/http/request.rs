//! A request head: found in the input, parsed by httparse, and checked where the RFCs are stricter
//! than it.

use std::mem::MaybeUninit;

use crate::limits::{FIELDS_MAX, HEAD_MAX_BYTES, TARGET_MAX_BYTES};

use super::body::Framing;
use super::fields::{Fields, Persistence};
use super::grammar::is_token;
use super::method::Method;
use super::status::{Refusal, Status};
use super::target::Target;
use super::wishes::Wishes;

/// A request, borrowed from the input it was parsed from.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub target: Target<'a>,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client waits for 100 (Continue) before it sends the body.
    pub expects_continue: bool,
    /// Whether the connection may go on after the answer.
    pub persistence: Persistence,
    /// Whether the client knows HTTP/1.0 only, which has no chunks.
    pub is_1_0: bool,
    /// What answer the client would like.
    pub wishes: Wishes<'a>,
}

/// What stands at the beginning of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A head of so many bytes.
    Request(Request<'a>, usize),
    /// The beginning of one.
    Partial,
    /// Nothing that can be carried out, and how its sender would like to hear that, if the head is
    /// whole.
    Refused(Refusal, Wishes<'a>),
}

/// Looks for a head in `input`, of which the first `seen` bytes were there at the last try.
///
/// A verdict falls only at the end of a line, or at a byte that no line may have, so that it does
/// not depend on how the input was cut; and since only a new line is a reason to parse again, a
/// head that drips in byte by byte costs no more than its lines times its length.
pub fn parse(input: &[u8], seen: usize) -> Parsed<'_> {
    let window = &input[..input.len().min(HEAD_MAX_BYTES)];
    let new = &window[seen.min(window.len())..];
    if let Some(last) = memchr::memrchr(b'\n', new) {
        let end = window.len() - new.len() + last + 1;
        match parse_lines(&window[..end]) {
            Ok(Some((request, length))) => return Parsed::Request(request, length),
            Ok(None) => {}
            Err((refusal, wishes)) => return Parsed::Refused(refusal, wishes),
        }
    }
    let tail_start = memchr::memrchr(b'\n', window).map_or(0, |at| at + 1);
    let tail = &window[tail_start.max(seen.min(window.len()))..];
    if tail.iter().any(|byte| is_control(*byte)) {
        // The words are those that the whole line would have got.
        let refusal = parse_lines(window).err().map(|(refusal, _)| refusal);
        let refusal = refusal.unwrap_or(Refusal::bad("The head has a control character"));
        return Parsed::Refused(refusal, Wishes::NONE);
    }
    if input.len() >= HEAD_MAX_BYTES {
        return Parsed::Refused(too_large(window), Wishes::NONE);
    }
    Parsed::Partial
}

/// What no line of a head may contain. CR is judged with its line.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t' && byte != b'\r') || byte == 0x7f
}

/// Parses whole lines. `None` when the empty line is not among them.
fn parse_lines(lines: &[u8]) -> Result<Option<(Request<'_>, usize)>, (Refusal, Wishes<'_>)> {
    let mut storage = [const { MaybeUninit::<httparse::Header>::uninit() }; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut []);
    let length = match head.parse_with_uninit_headers(lines, &mut storage) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::Version) if is_later_minor_version(lines) => return parse_later_version(lines),
        Err(error) => return Err((syntax_refusal(lines, error), Wishes::NONE)),
    };
    let version_1_0 = head.version == Some(0);
    let lines = &lines[..length];
    match request(lines, head.method, head.path, version_1_0, head.headers) {
        Ok(request) => Ok(Some((request, length))),
        Err(refusal) => Err((refusal, Wishes::of_unjudged(lines))),
    }
}

/// HTTP/1.2 and later are answered as 1.1 (RFC 9110 section 2.5). httparse does not know them, but
/// has kept the method and the target when it stops at the version.
fn parse_later_version(lines: &[u8]) -> Result<Option<(Request<'_>, usize)>, (Refusal, Wishes<'_>)> {
    let mut head = httparse::Request::new(&mut []);
    let _ = head.parse(lines);
    let line = memchr::memchr(b'\n', lines).map_or(lines.len(), |at| at + 1);
    let mut storage = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(&lines[line..], &mut storage) {
        Ok(httparse::Status::Complete((length, fields))) => {
            let lines = &lines[..line + length];
            match request(lines, head.method, head.path, false, fields) {
                Ok(request) => Ok(Some((request, lines.len()))),
                Err(refusal) => Err((refusal, Wishes::of_unjudged(lines))),
            }
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err((syntax_refusal(lines, error), Wishes::NONE)),
    }
}

/// Whether the first line is three words, the last of them `HTTP/1.` and a digit.
fn is_later_minor_version(lines: &[u8]) -> bool {
    let line = first_line(lines);
    memchr::memchr_iter(b' ', line).count() == 2 && version(line).is_some_and(|(major, _)| major == b'1')
}

/// The version at a line's end, as its two digits (RFC 9112 section 2.3).
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

fn syntax_refusal(lines: &[u8], error: httparse::Error) -> Refusal {
    line_refusal(lines).unwrap_or_else(|| refusal_of(error))
}

fn refusal_of(error: httparse::Error) -> Refusal {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => Refusal::new(Status::FieldsTooLarge, "The head has too many fields"),
        Error::HeaderName => Refusal::bad("A field's name is malformed"),
        Error::HeaderValue => Refusal::bad("A field's value is malformed"),
        Error::NewLine => Refusal::bad("A line of the head does not end in CRLF"),
        Error::Version => Refusal::bad("The HTTP version is malformed"),
        Error::Token | Error::Status => Refusal::bad("The request line is malformed"),
    }
}

/// What is wrong with the request line, if that is where the fault lies and it has a status of its
/// own: an overlong target, or another major version behind a sound method and target.
fn line_refusal(lines: &[u8]) -> Option<Refusal> {
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
            Some(Refusal::new(Status::VersionNotSupported, "This server speaks HTTP/1.1 and 1.0"))
        }
        _ => None,
    }
}

const TARGET_TOO_LONG: Refusal = Refusal::new(Status::UriTooLong, "The request-target is too long");

/// Which part of a head that is too large is to blame.
fn too_large(window: &[u8]) -> Refusal {
    let line = first_line(window);
    if line.len() < window.len() - 1 {
        return line_refusal(window)
            .unwrap_or(Refusal::new(Status::FieldsTooLarge, "The head has more bytes than are taken"));
    }
    let method = line.iter().take_while(|byte| is_token(**byte)).count();
    match line.get(method) {
        // RFC 9112 section 3: a method longer than any that is implemented is 501.
        None => UNKNOWN_METHOD,
        Some(b' ') if method > 0 => line_refusal(window).unwrap_or(refusal_of(httparse::Error::Version)),
        Some(_) => refusal_of(httparse::Error::Token),
    }
}

const UNKNOWN_METHOD: Refusal = Refusal::new(Status::NotImplemented, "The method is not known here");

/// Makes a request of what httparse found.
fn request<'a>(
    head: &'a [u8],
    method: Option<&'a str>,
    target: Option<&'a str>,
    version_1_0: bool,
    fields: &[httparse::Header<'a>],
) -> Result<Request<'a>, Refusal> {
    let target = target.unwrap_or_default().as_bytes();
    if target.len() > TARGET_MAX_BYTES {
        return Err(TARGET_TOO_LONG);
    }
    let fields = Fields::collect(fields)?;
    if fields.host.is_none() && !version_1_0 {
        // RFC 9112 section 3.2; with an absolute-form target, too.
        return Err(Refusal::bad("The Host field is missing"));
    }
    let framing = fields.framing(version_1_0)?;
    let method = Method::parse(method.unwrap_or_default()).ok_or(UNKNOWN_METHOD)?;
    let target = Target::parse(target, method)?;
    let expects_continue = fields.expects_continue(version_1_0)?;
    let persistence = fields.persistence(version_1_0);
    let wishes = Wishes::new(head, fields.present);
    Ok(Request { method, target, framing, expects_continue, persistence, is_1_0: version_1_0, wishes })
}
