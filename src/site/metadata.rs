//! The metadata of a representation (RFC 9110 section 3.2): its header fields, and what the site must know
//! about the file.

use std::cell::OnceCell;
use std::io;
use std::rc::Rc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::beginning::{BEGINNING_BYTES, Beginning};
use super::coding::Coding;
use super::rules::Rules;
use super::types;
use super::validators::FileValidators;
use crate::clock::calls::{Call, timed};
use crate::limits::MEMORY_BODY_MAX_BYTES;
use crate::store::{Cached, Content, FileVersion, OpenFile, Sha256Digest};

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
    /// The path of the file, which may be longer than that of the request.
    pub path: Box<[u8]>,
    /// Whether the file may have coded forms.
    pub compressible: bool,
    /// Whether the file is text, which is worth compressing.
    pub is_text: bool,
    /// The SHA-256 of the content, once a client has asked for it.
    digest: OnceCell<Sha256Digest>,
    /// Whether this is the front page of a single-page application, to which navigations lead.
    is_front: bool,
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
        file: &OpenFile,
        purpose: Purpose<'_>,
        (rules, opened): (&Rules, SystemTime),
    ) -> io::Result<Metadata> {
        let coded = if let Purpose::Page(coded) = purpose { coded } else { None };
        let (content_type, content_encoding) = match coded {
            Some((coding, plain)) => (plain.note.content_type.clone(), Some(coding)),
            None => describe(path, &file.content, rules)?,
        };
        let is_text = types::is_text(&content_type);
        let is_packed = types::is_compressed(&content_type) || content_encoding.is_some();
        let compressible = rules.compress && !is_packed && matches!(purpose, Purpose::Page(None));
        let is_negotiated = coded.is_some() || (compressible && is_text);
        let is_page = matches!(purpose, Purpose::Page(_));
        // The rules apply to a file in each of its forms. The name of a sidecar does not matter.
        let (is_front, cache_control) = match coded {
            Some((_, plain)) => (plain.note.is_front, plain.note.cache_control.clone()),
            None => (rules.spa && path == b"/index.html", rules.cache_control(path).map(str::to_owned)),
        };
        let coded = coded.map(|(coding, plain)| (coding, plain.note.version, plain.note.entity_tag()));
        let validators = if is_page { Some(FileValidators::of(file, coded, (rules, opened))) } else { None };
        Ok(Metadata {
            content_type,
            content_encoding,
            validators,
            vary: vary(is_negotiated, is_front).filter(|_| is_page),
            cache_control: cache_control.filter(|_| is_page),
            file_fields: if is_page { rules.file_fields } else { &[] },
            modified: file.modified,
            opened,
            version: file.version,
            path: path.into(),
            compressible,
            is_text,
            digest: OnceCell::new(),
            is_front,
        })
    }

    /// Returns the time in Last-Modified, if there is one.
    pub fn last_modified(&self) -> Option<SystemTime> {
        Some(self.validators.as_ref()?.last_modified.as_ref()?.0)
    }

    /// Returns the SHA-256 of a file that is in memory, and small enough to be hashed within a turn.
    pub fn digest(file: &Representation) -> Option<Sha256Digest> {
        match &file.content {
            Content::Memory(bytes) if file.length <= MEMORY_BODY_MAX_BYTES => {
                let sha256 = || Sha256Digest::of(Sha256::new_with_prefix(&bytes[..]));
                let digest = || timed(Call::Hash, sha256);
                Some(*file.note.digest.get_or_init(digest))
            }
            _ => None,
        }
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
        let last_modified = described.and_then(|validators| validators.last_modified.as_ref());
        let last_modified = last_modified.map(|(_, value)| value.as_str());
        [
            ("Content-Type", content_type),
            ("Content-Encoding", coding),
            ("Last-Modified", last_modified),
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

/// Returns the media type of the file at `path`, with its charset if it is text, and the coding in which it is
/// stored. The file is read only if its bytes decide.
fn describe(path: &[u8], content: &Content, rules: &Rules) -> io::Result<(String, Option<Coding>)> {
    // TypeScript and MPEG transport streams share an extension.
    let named = types::of_path(path);
    let certain = rules.own_type(path).or(named.filter(|kind| *kind != types::TRANSPORT_STREAM));
    if let Some(kind) = certain.filter(|kind| *kind != types::DRAWING && !types::needs_charset(kind)) {
        return Ok((kind.to_owned(), None));
    }
    let mut buffer = [0; BEGINNING_BYTES];
    let beginning = Beginning::of(content, &mut buffer)?;
    let kind = match certain {
        Some(kind) => kind,
        None if beginning.is_text() => types::PLAIN,
        None => named.unwrap_or(types::BINARY),
    };
    // Drawings are stored compressed, as `.svgz`.
    let coding = (kind == types::DRAWING && beginning.is_gzip()).then_some(Coding::Gzip);
    let needs_charset = types::needs_charset(kind) && beginning.is_utf8_text(kind);
    Ok((if needs_charset { format!("{kind}; charset=utf-8") } else { kind.to_owned() }, coding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Descriptors;

    #[test]
    fn a_file_is_read_only_if_its_bytes_decide_the_type() {
        let folder = tempfile::tempdir().expect("a folder");
        // Reading fails, because the file is open for writing only.
        let options = std::fs::File::options().create(true).write(true).to_owned();
        let file = options.open(folder.path().join("large")).expect("a file");
        let content = Content::Disk(Descriptors::default().count(file).expect("a descriptor"));
        for (path, kind) in [
            ("/film.mp4", Some("video/mp4")),
            ("/archive.zip", Some("application/zip")),
            ("/data.unknown", Some(types::BINARY)),
            ("/own.ts", Some("video/mp2t")),
            ("/page.html", None),
            ("/film.ts", None),
            ("/README", None),
            ("/drawing.svgz", None),
        ] {
            let mut rules = Rules::default();
            if path == "/own.ts" {
                rules.types.push(("ts".into(), "video/mp2t".into()));
            }
            let described = describe(path.as_bytes(), &content, &rules).ok().map(|(kind, _)| kind);
            assert_eq!(described.as_deref(), kind, "{path}");
        }
    }
}
