//! The header fields of a request that decide what response is sent. Most requests have few of them, so
//! the parser notes which there are, and a value is looked up when a response depends on it.

use std::borrow::Cow;

/// A field that a response may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum HeaderName {
    Accept,
    AcceptEncoding,
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
    /// Fetch Metadata Request Headers.
    SecFetchMode,
    SecFetchSite,
    /// draft-ietf-httpbis-resumable-upload.
    UploadComplete,
    UploadOffset,
}

impl HeaderName {
    const ALL: [HeaderName; 17] = [
        HeaderName::Accept,
        HeaderName::AcceptEncoding,
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
        HeaderName::SecFetchMode,
        HeaderName::SecFetchSite,
        HeaderName::UploadComplete,
        HeaderName::UploadOffset,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            HeaderName::Accept => "accept",
            HeaderName::AcceptEncoding => "accept-encoding",
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
            HeaderName::SecFetchMode => "sec-fetch-mode",
            HeaderName::SecFetchSite => "sec-fetch-site",
            HeaderName::UploadComplete => "upload-complete",
            HeaderName::UploadOffset => "upload-offset",
        }
    }
}

/// The lengths that these names have, a bit each.
const LENGTHS: u32 = {
    let (mut lengths, mut index) = (0, 0);
    while index < HeaderName::ALL.len() {
        lengths |= 1 << HeaderName::ALL[index].as_str().len();
        index += 1;
    }
    lengths
};

/// The preconditions, and Range.
const CONDITIONAL_OR_RANGE: u32 = 1 << HeaderName::IfMatch as u32
    | 1 << HeaderName::IfModifiedSince as u32
    | 1 << HeaderName::IfNoneMatch as u32
    | 1 << HeaderName::IfRange as u32
    | 1 << HeaderName::IfUnmodifiedSince as u32
    | 1 << HeaderName::Range as u32;

/// Which of these fields a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderSet(u32);

impl HeaderSet {
    /// Every field may be there: the fields were not indexed.
    pub(crate) const UNKNOWN: HeaderSet = HeaderSet(u32::MAX);

    /// Notes a field, if it is one of them.
    pub(crate) fn insert(&mut self, name: &str) {
        // Most fields are none of these, and most of them by their length already.
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

    /// Whether a field is there.
    pub(crate) fn has(self, name: HeaderName) -> bool {
        self.0 & 1 << name as u32 != 0
    }
}

/// Finds the value of a field in a block of fields, whose form only the wire knows. Several lines of one
/// field are one list, joined by commas (RFC 9110 section 5.3), which no single date, tag or range
/// survives.
pub(crate) type FindField = for<'b> fn(block: &'b [u8], name: &str) -> Option<Cow<'b, [u8]>>;

/// The fields of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers<'a> {
    /// The fields as their wire has them.
    pub(crate) block: &'a [u8],
    /// Finds one in it.
    pub(crate) find: FindField,
    /// Which of them there are.
    pub(crate) present: HeaderSet,
}

impl<'a> Headers<'a> {
    /// No fields.
    pub(crate) const NONE: Headers<'static> =
        Headers { block: b"", find: |_, _| None, present: HeaderSet(0) };

    /// What there is to know of them, apart from the block.
    pub(crate) fn without_block(&self) -> Headers<'static> {
        Headers { block: b"", ..*self }
    }

    /// These fields in a copy of their block.
    pub(crate) fn with_block<'b>(&self, block: &'b [u8]) -> Headers<'b> {
        Headers { block, find: self.find, present: self.present }
    }

    /// Whether none of them is a precondition or Range: a file that is found is sent, and sent whole.
    pub(crate) fn is_unconditional(&self) -> bool {
        self.present.0 & CONDITIONAL_OR_RANGE == 0
    }

    /// Whether a field is there.
    pub(crate) fn has(&self, name: HeaderName) -> bool {
        self.present.has(name)
    }

    /// The value of a field.
    pub(crate) fn get(&self, name: HeaderName) -> Option<Cow<'a, [u8]>> {
        if !self.has(name) {
            return None;
        }
        (self.find)(self.block, name.as_str())
    }

    /// The value of Host, which the parser of every request has checked.
    pub(crate) fn host(&self) -> Option<Cow<'a, [u8]>> {
        (self.find)(self.block, "host")
    }
}
