//! The site's files as answers.

use std::time::{SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use crate::clock::http_date;
use crate::services::Services;
use crate::store::{Cached, Content, Entry, Opened, StoreError};

use super::answer::{Answer, Body, Fields};
use super::status::{Refusal, Status};
use super::types;

/// Answers with what stands at `path`, decoded and beginning with a slash: a file, a folder's
/// `index.html`, or the way to the folder's proper address.
pub fn get(path: &[u8], query: Option<&[u8]>, cx: &mut Services) -> Result<Answer, Refusal> {
    if let Some(answer) = remembered(path, Status::Ok, cx) {
        return Ok(answer);
    }
    if is_hidden(path) {
        return Err(NOT_FOUND);
    }
    if path.ends_with(b"/") {
        let index = [path, b"index.html"].concat();
        return match cx.site.open(&index).map_err(refusal)? {
            Entry::File(file) => open(Status::Ok, path, &index, file, cx),
            Entry::Folder => Err(NOT_FOUND),
        };
    }
    match cx.site.open(path).map_err(refusal)? {
        Entry::File(file) => open(Status::Ok, path, path, file, cx),
        Entry::Folder => Ok(redirect(path, query)),
    }
}

/// The site's own page for what it does not have, else a short one.
pub fn not_found(refusal: Refusal, cx: &mut Services) -> Answer {
    // No path of a request is without a slash, so this is a key of its own in the cache.
    const PAGE: &[u8] = b"404.html";
    let page = remembered(PAGE, Status::NotFound, cx).or_else(|| match cx.site.open(PAGE) {
        Ok(Entry::File(file)) => open(Status::NotFound, PAGE, PAGE, file, cx).ok(),
        _ => None,
    });
    page.unwrap_or_else(|| Answer::refusal(refusal))
}

/// The answer that is remembered for `path`.
fn remembered(path: &[u8], status: Status, cx: &mut Services) -> Option<Answer> {
    cx.cache.get(path, &*cx.site, cx.clock.now()).map(|cached| answer(status, cached.clone()))
}

fn answer(status: Status, file: Cached) -> Answer {
    Answer { status, fields: Fields::Shared(file.fields), body: Body::Content(file.content, file.length) }
}

const NOT_FOUND: Refusal = Refusal::new(Status::NotFound, "There is nothing at this address");

fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::NotFound => NOT_FOUND,
        StoreError::Forbidden => Refusal::new(Status::Forbidden, "The server may not read this file"),
        StoreError::Busy => Refusal::new(Status::ServiceUnavailable, "The file cannot be opened just now"),
        StoreError::Failed(error) => {
            log::error!("cannot read a file of the site: {error}");
            Refusal::new(Status::InternalServerError, "The file cannot be read")
        }
    }
}

/// Dot files are nobody's business, except what RFC 8615 puts there.
fn is_hidden(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
    names.next_if_eq(&&b".well-known"[..]);
    names.any(|name| name.starts_with(b".") && name != b"." && name != b"..")
}

/// To the same address with a slash, so that the folder's relative links lead into it. The path is
/// put together anew: doubled slashes, which a browser would take for another host, are gone.
fn redirect(path: &[u8], query: Option<&[u8]>) -> Answer {
    let mut location = String::from("/");
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        location.extend(percent_encode(name, SEGMENT));
        location.push('/');
    }
    if let Some(query) = query {
        location.push('?');
        location.extend(percent_encode(query, QUERY));
    }
    let more = format!("Location: {location}\r\n");
    location.push('\n');
    Answer::text(Status::PermanentRedirect, types::TEXT, &more, location)
}

/// What is not `pchar` (RFC 3986 section 3.3).
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What a query, which comes encoded, may not contain all the same: the query percent-encode set of
/// the WHATWG's URL Standard.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// Answers with a file that was opened at `path`, and remembers that for `asked`.
fn open(
    status: Status,
    asked: &[u8],
    path: &[u8],
    file: Opened,
    cx: &mut Services,
) -> Result<Answer, Refusal> {
    let kind = match types::of(path) {
        Some(kind) => kind,
        None => sniff(&file.content).map_err(|error| refusal(StoreError::Failed(error)))?,
    };
    let validators = match status {
        Status::Ok => format!(
            "Last-Modified: {}\r\nETag: {}\r\n",
            // Never later than Date (RFC 9110 section 8.8.2.1).
            http_date(file.modified.min(cx.clock.wall())),
            entity_tag(file.modified, file.length),
        ),
        _ => String::new(),
    };
    let length = file.length;
    let fields = format!("Content-Type: {kind}\r\n{validators}Content-Length: {length}\r\n");
    let cached = cx.cache.put(asked, path, file, fields.as_bytes(), (cx.clock.now(), cx.clock.wall()));
    Ok(answer(status, cached))
}

/// A strong validator from modification time, in nanoseconds, and size: replicas agree on it.
fn entity_tag(modified: SystemTime, length: u64) -> String {
    let nanoseconds = match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    format!("\"{nanoseconds:x}-{length:x}\"")
}

/// The type of a file whose name does not tell: text if it begins as UTF-8 text does.
fn sniff(content: &Content) -> std::io::Result<&'static str> {
    const BEGINNING_BYTES: usize = 4096;
    let mut buffer = [0; BEGINNING_BYTES];
    let beginning = content.peek(&mut buffer)?;
    let beginning = &beginning[..beginning.len().min(BEGINNING_BYTES)];
    let is_text = match std::str::from_utf8(beginning) {
        Ok(_) => true,
        // A character that is cut by the end of what was read.
        Err(error) => error.error_len().is_none() && beginning.len() == BEGINNING_BYTES,
    };
    let is_text = is_text && !beginning.iter().any(|byte| is_binary(*byte));
    Ok(if is_text { types::TEXT } else { types::BINARY })
}

/// The bytes that the WHATWG's MIME Sniffing Standard (section 3) takes as a sign of binary data.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_files_are_hidden_but_well_known_is_not() {
        for path in
            ["/.git/config", "/a/.env", "/.", "/..x", "/a/.well-known/x", "/.well-known/.x", "/.well-knownx"]
        {
            assert_eq!(is_hidden(path.as_bytes()), path != "/.", "{path}");
        }
        for path in ["/", "/a.b", "/.well-known/acme", "/../x", "/a/./b", "//.well-known/x"] {
            assert!(!is_hidden(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn redirects_stay_on_this_host_and_are_encoded() {
        let location = |path: &str, query: Option<&str>| {
            let answer = redirect(path.as_bytes(), query.map(str::as_bytes));
            let Fields::Made(fields) = answer.fields else { panic!("{answer:?}") };
            let fields = String::from_utf8(fields).expect("ASCII");
            fields.lines().find(|line| line.starts_with("Location")).expect("a line").to_owned()
        };
        assert_eq!(location("/a", None), "Location: /a/");
        assert_eq!(location("//evil.example", None), "Location: /evil.example/");
        assert_eq!(location("/a b/\r\nX: y", Some("q=%20\"x")), "Location: /a%20b/%0D%0AX:%20y/?q=%20%22x");
        assert_eq!(location("/\\evil", None), "Location: /%5Cevil/");
        assert_eq!(location("/é%", None), "Location: /%C3%A9%25/");
    }

    #[test]
    fn text_without_an_extension_is_recognised() {
        let kind = |bytes: &[u8]| sniff(&Content::Memory(bytes.into())).expect("in memory");
        assert_eq!(kind(b""), types::TEXT);
        assert_eq!(kind("Grüße\n".as_bytes()), types::TEXT);
        assert_eq!(kind(b"\x7fELF\x01\x01\x01\0"), types::BINARY);
        assert_eq!(kind(b"caf\xe9"), types::BINARY);
        assert_eq!(kind(b"caf\xc3"), types::BINARY);
        assert_eq!(kind(&[b"a".repeat(4095), "é".into()].concat()), types::TEXT);
    }
}
