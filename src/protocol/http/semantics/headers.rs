//! The header fields of a request that a response may depend on. Most requests have few of them, so the
//! parser only records which are present, and a value is looked up when a response depends on it.

use std::borrow::Cow;

/// A header field that a response may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum HeaderName {
    Accept,
    AcceptEncoding,
    /// Defined, like `ReprDigest` and `WantReprDigest`, by RFC 9530.
    ContentDigest,
    ContentEncoding,
    ContentRange,
    ContentType,
    Cookie,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    Origin,
    Range,
    ReprDigest,
    /// Defined, like `SecFetchSite`, by the W3C's Fetch Metadata Request Headers.
    SecFetchMode,
    SecFetchSite,
    /// Defined, like `UploadOffset`, by draft-ietf-httpbis-resumable-upload.
    UploadComplete,
    UploadOffset,
    WantReprDigest,
}

impl HeaderName {
    const ALL: [HeaderName; 20] = [
        HeaderName::Accept,
        HeaderName::AcceptEncoding,
        HeaderName::ContentDigest,
        HeaderName::ContentEncoding,
        HeaderName::ContentRange,
        HeaderName::ContentType,
        HeaderName::Cookie,
        HeaderName::IfMatch,
        HeaderName::IfModifiedSince,
        HeaderName::IfNoneMatch,
        HeaderName::IfRange,
        HeaderName::IfUnmodifiedSince,
        HeaderName::Origin,
        HeaderName::Range,
        HeaderName::ReprDigest,
        HeaderName::SecFetchMode,
        HeaderName::SecFetchSite,
        HeaderName::UploadComplete,
        HeaderName::UploadOffset,
        HeaderName::WantReprDigest,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            HeaderName::Accept => "accept",
            HeaderName::AcceptEncoding => "accept-encoding",
            HeaderName::ContentDigest => "content-digest",
            HeaderName::ContentEncoding => "content-encoding",
            HeaderName::ContentRange => "content-range",
            HeaderName::ContentType => "content-type",
            HeaderName::Cookie => "cookie",
            HeaderName::IfMatch => "if-match",
            HeaderName::IfModifiedSince => "if-modified-since",
            HeaderName::IfNoneMatch => "if-none-match",
            HeaderName::IfRange => "if-range",
            HeaderName::IfUnmodifiedSince => "if-unmodified-since",
            HeaderName::Origin => "origin",
            HeaderName::Range => "range",
            HeaderName::ReprDigest => "repr-digest",
            HeaderName::SecFetchMode => "sec-fetch-mode",
            HeaderName::SecFetchSite => "sec-fetch-site",
            HeaderName::UploadComplete => "upload-complete",
            HeaderName::UploadOffset => "upload-offset",
            HeaderName::WantReprDigest => "want-repr-digest",
        }
    }
}

/// The lengths of all names, one bit per length.
const LENGTHS: u32 = {
    let (mut lengths, mut index) = (0, 0);
    while index < HeaderName::ALL.len() {
        lengths |= 1 << HeaderName::ALL[index].as_str().len();
        index += 1;
    }
    lengths
};

/// The fields without which every client gets the same response: the preconditions, Range and Want-Repr-Digest,
/// one bit per field.
const SELECTING: u32 = 1 << HeaderName::IfMatch as u32
    | 1 << HeaderName::IfModifiedSince as u32
    | 1 << HeaderName::IfNoneMatch as u32
    | 1 << HeaderName::IfRange as u32
    | 1 << HeaderName::IfUnmodifiedSince as u32
    | 1 << HeaderName::Range as u32
    | 1 << HeaderName::WantReprDigest as u32;

/// The set of fields that are present in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderSet(u32);

impl HeaderSet {
    /// The set for a head that was not indexed: any field may be present.
    pub(crate) const UNKNOWN: HeaderSet = HeaderSet(u32::MAX);

    /// Adds the field named `name`, unless it is unknown.
    pub(crate) fn insert(&mut self, name: &str) {
        // Most fields are unknown, and the length alone rules most of those out.
        if name.len() >= 32 || LENGTHS & 1 << name.len() == 0 {
            return;
        }
        let known = HeaderName::ALL
            .into_iter()
            .find(|known| known.as_str().len() == name.len() && known.as_str().eq_ignore_ascii_case(name));
        if let Some(known) = known {
            self.0 |= 1 << known as u32;
        }
    }

    pub(crate) fn has(self, name: HeaderName) -> bool {
        self.0 & 1 << name as u32 != 0
    }
}

/// Finds the value of a field in a block of fields, whose format only the wire knows. The lines of a repeated
/// field are joined with commas into one list (RFC 9110 section 5.3); a field that takes a single date, tag
/// or range is malformed then.
pub(crate) type FindField = for<'b> fn(block: &'b [u8], name: &str) -> Option<Cow<'b, [u8]>>;

/// The fields of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers<'a> {
    /// The fields in the format of their wire.
    pub(crate) block: &'a [u8],
    /// The function that finds a field in the block.
    pub(crate) find: FindField,
    pub(crate) present: HeaderSet,
}

impl<'a> Headers<'a> {
    pub(crate) const NONE: Headers<'static> =
        Headers { block: b"", find: |_, _| None, present: HeaderSet(0) };

    /// Returns these headers without their block, to be combined with a copy of it by
    /// [`with_block`](Headers::with_block).
    pub(crate) fn without_block(&self) -> Headers<'static> {
        Headers { block: b"", ..*self }
    }

    /// Returns these headers with `block`, a copy of their block.
    pub(crate) fn with_block<'b>(&self, block: &'b [u8]) -> Headers<'b> {
        Headers { block, find: self.find, present: self.present }
    }

    /// Returns whether the request has neither a precondition nor Range, so that a file is always sent, and
    /// sent completely, and does not ask for a digest.
    pub(crate) fn is_unconditional(&self) -> bool {
        self.present.0 & SELECTING == 0
    }

    pub(crate) fn has(&self, name: HeaderName) -> bool {
        self.present.has(name)
    }

    /// Returns the value of a field.
    pub(crate) fn get(&self, name: HeaderName) -> Option<Cow<'a, [u8]>> {
        if !self.has(name) {
            return None;
        }
        (self.find)(self.block, name.as_str())
    }

    /// Returns the value of User-Agent. Nearly every request has it, and few responses depend on it, so the parser
    /// does not index it.
    pub(crate) fn user_agent(&self) -> Option<Cow<'a, [u8]>> {
        (self.find)(self.block, "user-agent")
    }

    /// Returns the value of Host, which the parser has already checked.
    /// Returns the token of a write to the admin interface.
    pub(crate) fn admin_token(&self) -> Option<Cow<'a, [u8]>> {
        (self.find)(self.block, "x-evserve-token")
    }

    pub(crate) fn host(&self) -> Option<Cow<'a, [u8]>> {
        (self.find)(self.block, "host")
    }
}
