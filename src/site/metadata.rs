//! What is known of a representation (RFC 9110 section 3.2): the fields that describe it, as names and
//! values, and what the site has to know of the file behind it.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::coding::Coding;
use super::rules::Rules;
use super::types;
use crate::clock::http_date;
use crate::store::{Cached, Content, FileVersion, OpenFile};

/// A file's bytes in one coding, with their metadata.
pub type Representation = Cached<Rc<Metadata>>;

/// The metadata of one representation.
#[derive(Debug)]
pub struct Metadata {
    /// The media type.
    pub content_type: String,
    /// The content coding, if it is coded.
    pub content_encoding: Option<Coding>,
    /// What conditions compare; an error page has none, as it would be that of another resource.
    validators: Option<FileValidators>,
    vary: Option<&'static str>,
    cache_control: Option<String>,
    /// Fields that all files of the site have.
    file_fields: &'static [(&'static str, &'static str)],
    /// When the file was last changed.
    pub modified: SystemTime,
    /// When it was opened.
    pub opened: SystemTime,
    /// Which version of it that was.
    pub version: FileVersion,
    /// What was added to the request's path to find the file.
    pub suffix: &'static str,
    /// Whether other codings of it may exist, or be made.
    pub compressible: bool,
    /// Whether it is text, which is worth compressing.
    pub is_text: bool,
}

/// The validators of a file (RFC 9110 section 8.8), as they are sent.
#[derive(Debug)]
struct FileValidators {
    entity_tag: String,
    last_modified: String,
}

/// Which fields of a representation a response carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSet {
    /// All of them.
    All,
    /// All but Content-Type: the response has another one.
    ExceptContentType,
    /// Those that a 304 repeats (RFC 9110 section 15.4.5).
    NotModified,
}

/// What a representation is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// To be asked for: the file as it is, or the coded form of another one.
    Page(Option<(Coding, &'a Representation)>),
    /// To come with an error.
    ErrorPage,
}

impl Metadata {
    /// The metadata of a file at `path` that was opened at the time `opened`.
    pub fn of(
        path: &[u8],
        suffix: &'static str,
        file: &OpenFile,
        purpose: Purpose<'_>,
        (rules, opened): (&Rules, SystemTime),
    ) -> std::io::Result<Metadata> {
        let coded = if let Purpose::Page(coded) = purpose { coded } else { None };
        let content_type = match coded.map(|(_, plain)| plain.note.content_type.clone()) {
            Some(content_type) => content_type,
            None => match rules.content_type(path) {
                Some(content_type) => content_type,
                None => sniff(&file.content)?.to_owned(),
            },
        };
        let content_encoding = coded.map(|(coding, _)| coding);
        let is_text = types::is_text(&content_type);
        let is_packed = types::is_compressed(&content_type);
        let compressible = rules.compress && !is_packed && matches!(purpose, Purpose::Page(None));
        let is_negotiated = coded.is_some() || (compressible && is_text);
        let is_page = matches!(purpose, Purpose::Page(_));
        Ok(Metadata {
            content_type,
            content_encoding,
            validators: is_page.then(|| FileValidators {
                entity_tag: entity_tag(file, content_encoding),
                last_modified: http_date(file.modified.min(opened)),
            }),
            vary: vary(is_negotiated, rules.spa && path == b"/index.html").filter(|_| is_page),
            cache_control: rules.cache_control(path).filter(|_| is_page).map(str::to_owned),
            file_fields: if is_page { rules.file_fields } else { &[] },
            modified: file.modified,
            opened,
            version: file.version,
            suffix,
            compressible,
            is_text,
        })
    }

    /// The date that Last-Modified says: never later than Date (RFC 9110 section 8.8.2.1).
    pub fn last_modified(&self) -> SystemTime {
        self.modified.min(self.opened)
    }

    /// The entity tag, with its quotes; empty if there is none.
    pub fn entity_tag(&self) -> &[u8] {
        self.validators.as_ref().map_or(b"", |validators| validators.entity_tag.as_bytes())
    }

    /// The fields of a response that carries `set` of them.
    pub fn fields(&self, set: FieldSet) -> impl Iterator<Item = (&'static str, &str)> {
        let describes = set != FieldSet::NotModified;
        let validators = self.validators.as_ref();
        let content_type = Some(self.content_type.as_str()).filter(|_| set == FieldSet::All);
        let coding = self.content_encoding.map(Coding::name).filter(|_| describes);
        let described = validators.filter(|_| describes);
        [
            ("Content-Type", content_type),
            ("Content-Encoding", coding),
            ("Last-Modified", described.map(|validators| validators.last_modified.as_str())),
            ("Accept-Ranges", described.map(|_| "bytes")),
            ("ETag", validators.map(|validators| validators.entity_tag.as_str())),
            ("Vary", self.vary),
            ("Cache-Control", self.cache_control.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .chain(self.file_fields.iter().copied())
    }
}

/// What the choice of a representation depends on, beside the path (RFC 9110 section 12.5.5).
fn vary(coding: bool, navigation: bool) -> Option<&'static str> {
    match (coding, navigation) {
        (false, false) => None,
        (true, false) => Some("Accept-Encoding"),
        (false, true) => Some("Accept, Sec-Fetch-Mode"),
        (true, true) => Some("Accept-Encoding, Accept, Sec-Fetch-Mode"),
    }
}

/// A strong validator from modification time, in nanoseconds, size and coding: replicas agree on it.
fn entity_tag(file: &OpenFile, coding: Option<Coding>) -> String {
    let nanoseconds = match file.modified.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    let length = file.version.length();
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
