//! The listing formats plain text and JSON, and the trait of all formats.

use std::fmt::Write;

use percent_encoding::percent_encode;

use crate::clock::rfc3339;
use crate::protocol::http::handlers::escape::escape_json;
use crate::protocol::http::semantics::uri::SEGMENT;
use crate::store::DirEntry;

/// The page and the number of entries, which a writer needs before the first entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageInfo {
    /// The number of entries in the folder; `None` if they are too many to sort.
    pub total: Option<usize>,
    /// The number of the page, counted from 1.
    pub page: usize,
    /// Whether another page follows.
    pub more: bool,
}

/// Writes a listing entry by entry.
pub(super) trait ListingWriter {
    /// Writes the text before the first entry.
    fn begin(&mut self, info: PageInfo, out: &mut String);
    /// Writes one entry.
    fn entry(&mut self, child: &DirEntry, out: &mut String);
    /// Writes the text after the last entry.
    fn end(&mut self, out: &mut String);
}

/// Plain text: one name per line, with a slash after the name of a folder. Control characters are
/// percent-encoded as in a URL, so that a name cannot span two lines.
pub(super) struct TextWriter;

impl ListingWriter for TextWriter {
    fn begin(&mut self, _info: PageInfo, _out: &mut String) {}

    fn entry(&mut self, child: &DirEntry, out: &mut String) {
        for character in String::from_utf8_lossy(&child.name).chars() {
            match character.is_control() {
                true => out.extend(percent_encode(character.encode_utf8(&mut [0; 4]).as_bytes(), SEGMENT)),
                false => out.push(character),
            }
        }
        out.push_str(if child.length.is_none() { "/\n" } else { "\n" });
    }

    fn end(&mut self, _out: &mut String) {}
}

/// JSON: an array of objects with `name`, `type` (`file` or `folder`), `size` in bytes, `modified`, and
/// `href`, which is exact even for a name that is not UTF-8.
#[derive(Default)]
pub(super) struct JsonWriter {
    begun: bool,
}

impl ListingWriter for JsonWriter {
    fn begin(&mut self, _info: PageInfo, out: &mut String) {
        out.push('[');
    }

    fn entry(&mut self, child: &DirEntry, out: &mut String) {
        out.push_str(if std::mem::replace(&mut self.begun, true) { ",\n" } else { "\n" });
        out.push_str("{\"name\":\"");
        escape_json(&String::from_utf8_lossy(&child.name), out);
        match child.length {
            Some(length) => {
                let _ = write!(out, "\",\"type\":\"file\",\"size\":{length}");
            }
            None => out.push_str("\",\"type\":\"folder\""),
        }
        let _ = write!(out, ",\"modified\":\"{}\",\"href\":\"{}\"}}", rfc3339(child.modified), href(child));
    }

    fn end(&mut self, out: &mut String) {
        out.push_str("\n]\n");
    }
}

/// Returns the relative URL of an entry. It begins with `./`, so that a colon in the name ends no URL scheme.
pub(super) fn href(child: &DirEntry) -> String {
    let name = percent_encode(&child.name, SEGMENT);
    format!("./{name}{}", if child.length.is_none() { "/" } else { "" })
}
