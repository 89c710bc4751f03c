//! Representations (RFC 9110 section 3.2): a file's bytes, in one coding, with the fields that
//! describe them.

use std::io::Write;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::compression::Coding;
use super::rules::{Rules, STATUS_OK};
use super::types;
use crate::clock::http_date;
use crate::slice::Slice;
use crate::store::{Cached, Content, Opened, Stamp};

/// What a request selects, as it is remembered. Its `head` is that of a 200 of which nothing is to be
/// said but the file.
pub type Representation = Cached<Rc<Note>>;

/// What has to be known of a representation besides its fields. It stands apart, so that what is asked
/// for without any wishes has less to read.
#[derive(Debug)]
pub struct Note {
    /// When the file was last changed.
    pub modified: SystemTime,
    /// When it was opened.
    pub opened: SystemTime,
    /// Which version of it that was.
    pub stamp: Stamp,
    /// What was added to the request's path to find the file.
    pub suffix: &'static str,
    /// Whether other codings of it may be there, or be made.
    pub codable: bool,
    /// Whether it is text, which is worth to be compressed.
    pub text: bool,
    /// Where in the head is what.
    layout: Layout,
}

/// Ends of the parts of the head, each of which begins where the one before it ends.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    /// The status line, what stands in every head, and Date.
    standing: usize,
    /// The value of Content-Type, which comes next.
    kind: usize,
    /// What describes the bytes.
    described: usize,
    /// The value of ETag, which comes first in what is kept.
    tag: usize,
    /// ETag, Vary, Cache-Control: what 304 repeats.
    kept: usize,
}

/// What a representation is for.
#[derive(Clone, Copy, Debug)]
pub enum Style<'a> {
    /// To be asked for: the file as it is, or the coded form of another one.
    Page(Option<(Coding, &'a Representation)>),
    /// To come with an error. It has no validators: they would be those of another resource.
    ErrorPage,
}

const KIND: &str = "Content-Type: ";
const ETAG: &str = "ETag: ";
const LINE_END: &[u8] = b"\r\n";

impl Note {
    /// The value of Last-Modified: never later than Date (RFC 9110 section 8.8.2.1).
    pub fn last_modified(&self) -> SystemTime {
        self.modified.min(self.opened)
    }
}

impl Representation {
    /// The lines that belong to the file, as a 200 has them.
    pub fn fields(&self) -> Slice {
        self.head.part(self.note.layout.standing..self.head.len() - LINE_END.len())
    }

    /// The media type.
    pub fn kind(&self) -> &[u8] {
        &self.head[self.note.layout.standing + KIND.len()..self.note.layout.kind]
    }

    /// The entity tag, with its quotes.
    pub fn entity_tag(&self) -> &[u8] {
        let Layout { described, tag, .. } = self.note.layout;
        self.head.get(described + ETAG.len()..tag).unwrap_or_default()
    }

    /// The lines that 304 repeats (RFC 9110 section 15.4.5).
    pub fn kept(&self) -> Slice {
        self.head.part(self.note.layout.described..self.note.layout.kept)
    }

    /// The lines without those of Content-Type and Content-Length, which a part of it has its own
    /// of.
    pub fn besides_kind(&self) -> &[u8] {
        &self.head[self.note.layout.kind + LINE_END.len()..self.note.layout.kept]
    }
}

/// The head of a file that was opened then, and the note on it.
pub fn describe(
    path: &[u8],
    suffix: &'static str,
    file: &Opened,
    style: Style<'_>,
    (rules, opened): (&Rules, SystemTime),
) -> std::io::Result<(Vec<u8>, Note)> {
    let (coding, plain) = match style {
        Style::Page(Some((coding, plain))) => (Some(coding), Some(plain)),
        _ => (None, None),
    };
    let found = plain.map(|plain| String::from_utf8_lossy(plain.kind()).into_owned());
    let kind = match found.or_else(|| rules.kind(path)) {
        Some(kind) => kind,
        None => sniff(&file.content)?.to_owned(),
    };
    let (text, packed) = (types::is_text(&kind), types::is_compressed(&kind));
    let codable = rules.compress && !packed && matches!(style, Style::Page(None));
    let mut layout = Layout::default();
    let mut head = [STATUS_OK.as_bytes(), &rules.head, http_date(opened).as_bytes(), LINE_END].concat();
    layout.standing = head.len();
    write!(head, "{KIND}{kind}")?;
    layout.kind = head.len();
    head.extend_from_slice(LINE_END);
    if let Some(coding) = coding {
        write!(head, "Content-Encoding: {}\r\n", coding.name())?;
    }
    let is_page = matches!(style, Style::Page(_));
    if is_page {
        let modified = http_date(file.modified.min(opened));
        write!(head, "Last-Modified: {modified}\r\nAccept-Ranges: bytes\r\n")?;
    }
    layout.described = head.len();
    if is_page {
        write!(head, "{ETAG}{}", entity_tag(file, coding))?;
        layout.tag = head.len();
        head.extend_from_slice(LINE_END);
        let vary = vary(coding.is_some() || (codable && text), rules.spa && path == b"/index.html");
        if let Some(vary) = vary {
            write!(head, "Vary: {vary}\r\n")?;
        }
        if let Some(value) = rules.cache_control(path) {
            write!(head, "Cache-Control: {value}\r\n")?;
        }
        head.extend_from_slice(rules.file_lines.as_bytes());
    }
    layout.kept = head.len();
    write!(head, "Content-Length: {}\r\n\r\n", file.length)?;
    let stamp = file.stamp;
    Ok((head, Note { modified: file.modified, opened, stamp, suffix, codable, text, layout }))
}

/// What the choice of a representation hung on, besides the path (RFC 9110 section 12.5.5).
fn vary(coding: bool, navigation: bool) -> Option<&'static str> {
    match (coding, navigation) {
        (false, false) => None,
        (true, false) => Some("Accept-Encoding"),
        (false, true) => Some("Accept, Sec-Fetch-Mode"),
        (true, true) => Some("Accept-Encoding, Accept, Sec-Fetch-Mode"),
    }
}

/// A strong validator from modification time, in nanoseconds, size and coding: replicas agree on it.
fn entity_tag(file: &Opened, coding: Option<Coding>) -> String {
    let nanoseconds = match file.modified.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    let length = file.stamp.length();
    match coding {
        None => format!("\"{nanoseconds:x}-{length:x}\""),
        Some(coding) => format!("\"{nanoseconds:x}-{length:x}-{}\"", coding.name()),
    }
}

/// The type of a file whose name does not tell: text if it begins as UTF-8 text does.
fn sniff(content: &Content) -> std::io::Result<&'static str> {
    const BEGINNING_BYTES: usize = 4096;
    let mut buffer = [0; BEGINNING_BYTES];
    let beginning = content.read(0, &mut buffer)?;
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
