//! The first bytes of a file. They tell its type or its charset where the name does not.

use std::io;

use crate::store::Content;

/// The bytes of a file that are at hand when it is opened.
pub(super) struct Beginning<'a> {
    bytes: &'a [u8],
    /// Whether the bytes may end within a character, because the file has more.
    is_cut: bool,
}

/// The number of bytes that are read of a file on the disk, and that decide whether a file is text.
pub(super) const BEGINNING_BYTES: usize = 4096;

/// The number of bytes in which a page must declare its charset (HTML section 4.2.5.4).
const DECLARATION_BYTES: usize = 1024;

impl<'a> Beginning<'a> {
    /// Returns all bytes of a file in memory, or reads the first bytes of one on the disk into `buffer`.
    pub(super) fn of(content: &'a Content, buffer: &'a mut [u8]) -> io::Result<Beginning<'a>> {
        Ok(match content {
            Content::Memory(bytes) => Beginning { bytes, is_cut: false },
            Content::Disk(_) => Beginning { bytes: content.read(0, buffer)?, is_cut: true },
        })
    }

    /// Returns whether the file begins with UTF-8 text.
    pub(super) fn is_text(&self) -> bool {
        let start = &self.bytes[..self.bytes.len().min(BEGINNING_BYTES)];
        let is_cut = self.is_cut || start.len() < self.bytes.len();
        is_utf8(start, is_cut) && !start.iter().any(|byte| is_binary(*byte))
    }

    /// Returns whether a file of this text type may be labelled as UTF-8: its bytes are UTF-8, and it does not
    /// declare another charset, which a label would overrule.
    pub(super) fn is_utf8_text(&self, kind: &str) -> bool {
        let declared = match kind {
            "text/html" => page_charset(&self.bytes[..self.bytes.len().min(DECLARATION_BYTES)]),
            "text/css" => self.bytes.strip_prefix(b"@charset \"").and_then(until_quote),
            _ => None,
        };
        let is_declared =
            |name: &[u8]| [&b"utf-8"[..], b"utf8"].iter().any(|known| name.eq_ignore_ascii_case(known));
        is_utf8(self.bytes, self.is_cut) && declared.is_none_or(is_declared)
    }

    /// Returns whether the file is compressed with gzip (RFC 1952 section 2.3.1).
    pub(super) fn is_gzip(&self) -> bool {
        self.bytes.starts_with(b"\x1f\x8b")
    }
}

/// Returns whether `bytes` are UTF-8. The last character may be incomplete if they are cut.
fn is_utf8(bytes: &[u8], is_cut: bool) -> bool {
    std::str::from_utf8(bytes).err().is_none_or(|error| is_cut && error.error_len().is_none())
}

/// Returns whether a byte is a "binary data byte" (WHATWG MIME Sniffing Standard, section 3).
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

/// Returns the charset that the first `<meta>` with one declares, as `charset=…` or within `content="…"`.
fn page_charset(page: &[u8]) -> Option<&[u8]> {
    let mut rest = page;
    loop {
        rest = after(rest, b"<meta")?;
        let tag = &rest[..memchr::memchr(b'>', rest).unwrap_or(rest.len())];
        let value = after(tag, b"charset").map(<[u8]>::trim_ascii_start);
        if let Some(value) = value.and_then(|value| value.strip_prefix(b"=")) {
            let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b';' | b'/');
            let value = value.trim_ascii_start();
            let value = value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value);
            return Some(&value[..value.iter().position(is_end).unwrap_or(value.len())]);
        }
    }
}

/// Returns what follows the first `word`, in letters of either case.
fn after<'a>(bytes: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let start = bytes.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word))?;
    Some(&bytes[start + word.len()..])
}

fn until_quote(bytes: &[u8]) -> Option<&[u8]> {
    Some(&bytes[..memchr::memchr(b'"', bytes)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Beginning<'_> {
        Beginning { bytes, is_cut: false }
    }

    #[test]
    fn text_is_recognised_by_its_first_bytes() {
        for (bytes, is_text) in [
            (&b""[..], true),
            ("Grüße\n".as_bytes(), true),
            (b"\x7fELF\x01\x01\x01\0", false),
            (b"caf\xe9", false),
            (b"caf\xc3", false),
            (&[b"a".repeat(4095), "é".into()].concat(), true),
            (&[b"a".repeat(5000), vec![0]].concat(), true),
        ] {
            assert_eq!(of(bytes).is_text(), is_text, "{bytes:?}");
        }
        assert!(Beginning { bytes: b"caf\xc3", is_cut: true }.is_text());
    }

    #[test]
    fn declared_and_legacy_charsets_are_not_overruled() {
        for (kind, bytes, is_utf8) in [
            ("text/html", &b"<p>plain"[..], true),
            ("text/html", "<p>Grüße".as_bytes(), true),
            ("text/html", b"<p>caf\xe9", false),
            ("text/html", b"\xff\xfe<\0p\0", false),
            ("text/html", b"\xfe\xff\0<\0p", false),
            ("text/html", b"<meta name=a><META charset='UTF-8'><meta charset=gb2312>", true),
            ("text/html", b"<meta charset = \"gb2312\" />", false),
            ("text/html", b"<meta charset=windows-1252>", false),
            (
                "text/html",
                b"<meta http-equiv=\"Content-Type\" content=\"text/html; charset=ISO-8859-1\">",
                false,
            ),
            ("text/html", b"<meta content=\"text/html; charset=utf-8\">", true),
            ("text/html", b"<meta name=\"charset\" content=x>", true),
            ("text/html", b"<meta", true),
            ("text/plain", b"<meta charset=gb2312>", true),
            ("text/css", b"@charset \"gb2312\"; a {}", false),
            ("text/css", b"@charset \"utf-8\"; a {}", true),
        ] {
            assert_eq!(of(bytes).is_utf8_text(kind), is_utf8, "{kind} {}", String::from_utf8_lossy(bytes));
        }
        let late = [b" ".repeat(1024), b"<meta charset=gb2312>".into()].concat();
        assert!(of(&late).is_utf8_text("text/html"));
    }
}
