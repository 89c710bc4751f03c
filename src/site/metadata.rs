//! The metadata of a representation (RFC 9110 section 3.2): its header fields, and what the site must know
//! about the file.

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
    pub content_type: String,
    pub content_encoding: Option<Coding>,
    /// The validators for conditional requests. An error page has none, because a client would take them
    /// for those of the requested resource.
    validators: Option<FileValidators>,
    vary: Option<&'static str>,
    cache_control: Option<String>,
    /// The header fields of all files of the site.
    file_fields: &'static [(&'static str, &'static str)],
    /// The time of the file's last change.
    pub modified: SystemTime,
    /// The time at which the file was opened.
    pub opened: SystemTime,
    /// The version of the file that was opened.
    pub version: FileVersion,
    /// The suffix that was appended to the request path to find the file.
    pub suffix: &'static str,
    /// Whether the file may have coded forms.
    pub compressible: bool,
    /// Whether the file is text, which is worth compressing.
    pub is_text: bool,
}

/// The validators of a file (RFC 9110 section 8.8), as field values.
#[derive(Debug)]
struct FileValidators {
    entity_tag: String,
    last_modified: String,
}

/// The metadata fields that a response carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSet {
    All,
    /// All fields except Content-Type, because the response sets its own.
    ExceptContentType,
    /// The fields of a 304 (RFC 9110 section 15.4.5).
    NotModified,
}

/// The use of a representation.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// The response to a request: the file itself, or a coded form of another file.
    Page(Option<(Coding, &'a Representation)>),
    /// The body of an error response.
    ErrorPage,
}

impl Metadata {
    /// Returns the metadata of the file at `path`, which was opened at the time `opened`.
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

    /// Returns the time for Last-Modified, which is never later than Date (RFC 9110 section 8.8.2.1).
    pub fn last_modified(&self) -> SystemTime {
        self.modified.min(self.opened)
    }

    /// Returns the entity tag with its quotes, or an empty slice if there is none.
    pub fn entity_tag(&self) -> &[u8] {
        self.validators.as_ref().map_or(b"", |validators| validators.entity_tag.as_bytes())
    }

    /// Returns the names and values of the fields in `set`.
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

/// Returns the value of Vary (RFC 9110 section 12.5.5) for a file whose selection depends on the accepted
/// codings, on whether the request is a navigation, or on both.
fn vary(coding: bool, navigation: bool) -> Option<&'static str> {
    match (coding, navigation) {
        (false, false) => None,
        (true, false) => Some("Accept-Encoding"),
        (false, true) => Some("Accept, Sec-Fetch-Mode"),
        (true, true) => Some("Accept-Encoding, Accept, Sec-Fetch-Mode"),
    }
}

/// Returns a strong entity tag made of the modification time in nanoseconds, the size and the coding, so that
/// replicas of a file have the same tag.
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

/// Guesses the media type of a file without an extension: text if the file begins with UTF-8 text.
fn sniff(content: &Content) -> std::io::Result<&'static str> {
    const BEGINNING_BYTES: usize = 4096;
    let mut buffer = [0; BEGINNING_BYTES];
    let beginning = content.read(0, &mut buffer)?;
    let is_text = match std::str::from_utf8(beginning) {
        Ok(_) => true,
        // The end of the buffer may split a character.
        Err(error) => error.error_len().is_none() && beginning.len() == BEGINNING_BYTES,
    };
    let is_text = is_text && !beginning.iter().any(|byte| is_binary(*byte));
    Ok(if is_text { types::TEXT } else { types::BINARY })
}

/// Returns whether a byte is a "binary data byte" (WHATWG MIME Sniffing Standard, section 3).
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_recognised_without_an_extension() {
        let kind = |bytes: &[u8]| sniff(&Content::Memory(bytes.into())).expect("in memory");
        assert_eq!(kind(b""), types::TEXT);
        assert_eq!(kind("Grüße\n".as_bytes()), types::TEXT);
        assert_eq!(kind(b"\x7fELF\x01\x01\x01\0"), types::BINARY);
        assert_eq!(kind(b"caf\xe9"), types::BINARY);
        assert_eq!(kind(b"caf\xc3"), types::BINARY);
        assert_eq!(kind(&[b"a".repeat(4095), "é".into()].concat()), types::TEXT);
    }
}
