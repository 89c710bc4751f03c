//! The fields that say what answer a request would like, what it hangs on, or what it brings. Most requests have few of them, so it is
//! noted which there are, and their values are looked up when an answer hangs on them.

use std::borrow::Cow;

use super::grammar::trim;

/// One of these fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Accept.
    Accept,
    /// Accept-Encoding.
    AcceptEncoding,
    /// Content-Encoding.
    ContentEncoding,
    /// Content-Range.
    ContentRange,
    /// Content-Type.
    ContentType,
    /// Cookie.
    Cookie,
    /// If-Match.
    IfMatch,
    /// If-Modified-Since.
    IfModifiedSince,
    /// If-None-Match.
    IfNoneMatch,
    /// If-Range.
    IfRange,
    /// If-Unmodified-Since.
    IfUnmodifiedSince,
    /// Origin.
    Origin,
    /// Range.
    Range,
    /// Sec-Fetch-Mode (Fetch Metadata Request Headers).
    SecFetchMode,
    /// Sec-Fetch-Site.
    SecFetchSite,
    /// Upload-Complete (draft-ietf-httpbis-resumable-upload).
    UploadComplete,
    /// Upload-Offset.
    UploadOffset,
}

impl Wish {
    const ALL: [Wish; 17] = [
        Wish::Accept,
        Wish::AcceptEncoding,
        Wish::ContentEncoding,
        Wish::ContentRange,
        Wish::ContentType,
        Wish::Cookie,
        Wish::IfMatch,
        Wish::IfModifiedSince,
        Wish::IfNoneMatch,
        Wish::IfRange,
        Wish::IfUnmodifiedSince,
        Wish::Origin,
        Wish::Range,
        Wish::SecFetchMode,
        Wish::SecFetchSite,
        Wish::UploadComplete,
        Wish::UploadOffset,
    ];

    const fn name(self) -> &'static str {
        match self {
            Wish::Accept => "accept",
            Wish::AcceptEncoding => "accept-encoding",
            Wish::ContentEncoding => "content-encoding",
            Wish::ContentRange => "content-range",
            Wish::ContentType => "content-type",
            Wish::Cookie => "cookie",
            Wish::IfMatch => "if-match",
            Wish::IfModifiedSince => "if-modified-since",
            Wish::IfNoneMatch => "if-none-match",
            Wish::IfRange => "if-range",
            Wish::IfUnmodifiedSince => "if-unmodified-since",
            Wish::Origin => "origin",
            Wish::Range => "range",
            Wish::SecFetchMode => "sec-fetch-mode",
            Wish::SecFetchSite => "sec-fetch-site",
            Wish::UploadComplete => "upload-complete",
            Wish::UploadOffset => "upload-offset",
        }
    }
}

/// The lengths that their names have, a bit each.
const LENGTHS: u32 = {
    let (mut lengths, mut index) = (0, 0);
    while index < Wish::ALL.len() {
        lengths |= 1 << Wish::ALL[index].name().len();
        index += 1;
    }
    lengths
};

/// The preconditions, and Range.
const OF_A_PART: u32 = 1 << Wish::IfMatch as u32
    | 1 << Wish::IfModifiedSince as u32
    | 1 << Wish::IfNoneMatch as u32
    | 1 << Wish::IfRange as u32
    | 1 << Wish::IfUnmodifiedSince as u32
    | 1 << Wish::Range as u32;

/// Which of the fields there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present(u32);

impl Present {
    /// Notes a field, if it is one of them.
    pub fn note(&mut self, name: &str) {
        // Most fields are none of these, and most of them by their length already.
        if name.len() >= 32 || LENGTHS & 1 << name.len() == 0 {
            return;
        }
        let wish = Wish::ALL
            .into_iter()
            .find(|wish| wish.name().len() == name.len() && wish.name().eq_ignore_ascii_case(name));
        if let Some(wish) = wish {
            self.0 |= 1 << wish as u32;
        }
    }
}

/// The fields of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes<'a> {
    /// The request's head, which was parsed.
    head: &'a [u8],
    present: Present,
}

impl<'a> Wishes<'a> {
    /// None.
    pub const NONE: Wishes<'static> = Wishes { head: b"", present: Present(0) };

    /// Those of a head whose fields were not noted.
    pub fn of_unjudged(head: &'a [u8]) -> Wishes<'a> {
        Wishes { head, present: Present(u32::MAX) }
    }

    /// Those that were noted of `head`.
    pub fn new(head: &'a [u8], present: Present) -> Wishes<'a> {
        Wishes { head, present }
    }

    /// Whether a file that is found is sent, and sent whole, since none of them is a precondition or
    /// Range.
    pub fn ask_for_all(&self) -> bool {
        self.present.0 & OF_A_PART == 0
    }

    /// Whether this one is there.
    pub fn has(&self, wish: Wish) -> bool {
        self.present.0 & 1 << wish as u32 != 0
    }

    /// The value of a field. Several lines of one field are one list, joined by commas (RFC 9110
    /// section 5.3), which no single date, tag or range survives.
    pub fn get(&self, wish: Wish) -> Option<Cow<'a, [u8]>> {
        if !self.has(wish) {
            return None;
        }
        self.find(wish.name())
    }

    /// The value of Host, which every request was judged by.
    pub fn host(&self) -> Option<Cow<'a, [u8]>> {
        self.find("host")
    }

    fn find(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let name = name.as_bytes();
        let mut joined: Option<Cow<'a, [u8]>> = None;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', self.head) {
            let line = &self.head[start..end];
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_lines_joined() {
        let head = b"GET /range: HTTP/1.1\r\nHost: h\r\nRANGE:\t bytes=0-1 \r\nIf-Match:\"a\"\n\
            x-range: no\r\nif-match: \"b:c\"\r\n\r\n";
        let mut present = Present::default();
        ["Host", "RANGE", "If-Match", "x-range", "if-match"].iter().for_each(|name| present.note(name));
        let wishes = Wishes::new(head, present);
        assert_eq!(wishes.get(Wish::Range).as_deref(), Some(&b"bytes=0-1"[..]));
        assert_eq!(wishes.get(Wish::IfMatch).as_deref(), Some(&b"\"a\", \"b:c\""[..]));
        assert_eq!((wishes.get(Wish::IfRange), wishes.ask_for_all()), (None, false));
    }
}
