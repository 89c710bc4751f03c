//! The forms of a listing: lines of text, JSON, and what they have in common with the page.

use std::fmt::Write;

use percent_encoding::percent_encode;

use crate::clock::rfc3339;
use crate::protocol::http::handlers::escape::escape_json;
use crate::protocol::http::semantics::uri::SEGMENT;
use crate::store::DirEntry;

/// What a writer has to know before its first entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageInfo {
    /// How many entries there are, if that is known.
    pub total: Option<usize>,
    /// The page, counted from 1.
    pub page: usize,
    /// Whether another page follows.
    pub more: bool,
}

/// Writes a listing entry by entry.
pub(super) trait ListingWriter {
    /// Before the first entry.
    fn begin(&mut self, info: PageInfo, out: &mut String);
    /// An entry.
    fn entry(&mut self, child: &DirEntry, out: &mut String);
    /// Behind the last one.
    fn end(&mut self, out: &mut String);
}

/// A name a line, a folder's with a slash. Control characters, which could make two lines of one,
/// are percent-encoded as in an address.
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

/// An array of objects: `name`, `type` (`file` or `folder`), `size` in bytes, `modified`, and `href`,
/// which also says names that are not UTF-8.
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

/// A relative address that works for every name: behind `./` a colon ends no scheme.
pub(super) fn href(child: &DirEntry) -> String {
    let name = percent_encode(&child.name, SEGMENT);
    format!("./{name}{}", if child.length.is_none() { "/" } else { "" })
}
