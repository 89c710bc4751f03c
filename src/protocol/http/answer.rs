//! Answers: what a request comes to, as one value, and how it is written.

use std::ops::Range;

use crate::limits::COPIED_BODY_MAX_BYTES;
use crate::outbox::Outbox;
use crate::services::Services;
use crate::site::types;
use crate::slice::Slice;
use crate::store::Content;

use super::fields::Persistence;
use super::listing::Listing;
use super::status::{Refusal, Status};

/// An answer, before it is known how the connection goes on.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// The fields that belong to this answer, as whole lines; Content-Length is among them.
    pub fields: Fields,
    /// The body.
    pub body: Body,
}

/// Field lines.
#[derive(Debug)]
pub enum Fields {
    /// Made for this answer.
    Made(Vec<u8>),
    /// Made for a file, and remembered with it.
    Shared(Slice),
}

/// An answer's body.
#[derive(Debug)]
pub enum Body {
    /// None.
    Nothing,
    /// Text made for this answer.
    Text(String),
    /// A part of a file.
    Content(Content, Range<u64>),
    /// Several parts of one file (RFC 9110 section 14.6).
    Parts(Box<Parts>),
    /// A folder's entries, which are read and written in slices.
    Listing(Box<Listing>),
}

/// Several parts of a file.
#[derive(Debug)]
pub struct Parts {
    /// The file.
    pub content: Content,
    /// Each with its head.
    pub parts: Vec<(String, Range<u64>)>,
    /// What ends them.
    pub end: String,
}

impl Fields {
    fn bytes(&self) -> &[u8] {
        match self {
            Fields::Made(bytes) => bytes,
            Fields::Shared(bytes) => bytes,
        }
    }
}

impl Answer {
    /// Bytes of the body, as far as they are known.
    pub fn body_length(&self) -> u64 {
        let span = |range: &Range<u64>| range.end - range.start;
        match &self.body {
            Body::Nothing | Body::Listing(_) => 0,
            Body::Text(text) => text.len() as u64,
            Body::Content(_, range) => span(range),
            Body::Parts(body) => {
                let parts = body.parts.iter().map(|(head, range)| head.len() as u64 + span(range));
                parts.sum::<u64>() + body.end.len() as u64
            }
        }
    }

    /// Whether the body is made while it is sent, so that its length is not known.
    pub fn is_stream(&self) -> bool {
        matches!(self.body, Body::Listing(_))
    }

    /// The answer with one field line more.
    pub fn with(self, line: &str) -> Answer {
        let fields = Fields::Made([self.fields.bytes(), line.as_bytes()].concat());
        Answer { fields, ..self }
    }

    /// An answer without a body, with these field lines.
    pub fn empty(status: Status, fields: &str) -> Answer {
        Answer { status, fields: Fields::Made(fields.into()), body: Body::Nothing }
    }

    /// 304, with the fields that it repeats.
    pub fn not_modified(fields: Fields) -> Answer {
        Answer { status: Status::NotModified, fields, body: Body::Nothing }
    }

    /// Text, with whole field lines besides type and length.
    pub fn text(status: Status, kind: &str, more: &str, text: String) -> Answer {
        let length = text.len();
        let fields = format!("Content-Type: {kind}\r\n{more}Content-Length: {length}\r\n");
        Answer { status, fields: Fields::Made(fields.into()), body: Body::Text(text) }
    }

    /// A short page that says what went wrong, with whole field lines besides those of the refusal.
    pub fn refusal(refusal: Refusal, more: &str) -> Answer {
        let Refusal { status, why, .. } = refusal;
        let title = status.text();
        let page = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
             <h1>{title}</h1>\n<p>{why}.</p></html>\n"
        );
        Answer::text(status, types::HTML, &format!("{more}{}", refusal.fields()), page)
    }
}

/// Writes `answer`, for HEAD without its body.
pub fn write(answer: Answer, head_only: bool, persistence: Persistence, cx: &Services, out: &mut Outbox) {
    out.write(|bytes| write_head(answer.status, answer.fields.bytes(), persistence, cx, bytes));
    if head_only {
        return;
    }
    match answer.body {
        Body::Nothing | Body::Listing(_) => {}
        Body::Text(text) => out.write(|bytes| bytes.extend_from_slice(text.as_bytes())),
        Body::Content(content, range) => write_content(&content, range, out),
        Body::Parts(body) => {
            for (head, range) in body.parts {
                out.write(|bytes| bytes.extend_from_slice(head.as_bytes()));
                write_content(&body.content, range, out);
            }
            out.write(|bytes| bytes.extend_from_slice(body.end.as_bytes()));
        }
    }
}

/// Writes a part of a file: a small one goes right behind its head instead of as a piece of its own,
/// which would cost a system call more than reading it.
#[inline]
fn write_content(content: &Content, mut range: Range<u64>, out: &mut Outbox) {
    if range.end - range.start <= COPIED_BODY_MAX_BYTES {
        out.write(|bytes| range.start += copy(content, &range, bytes));
    }
    if range.is_empty() {
        return;
    }
    match content {
        Content::Memory(bytes) => out.share(bytes.part(in_memory(&range))),
        // What could not be read is left to fail where the connection's end is decided.
        Content::Disk(file) => out.send_file(file.clone(), range),
    }
}

/// Copies what is there of `range`, and returns how much that is.
fn copy(content: &Content, range: &Range<u64>, bytes: &mut Vec<u8>) -> u64 {
    match content {
        Content::Memory(content) => {
            bytes.extend_from_slice(&content[in_memory(range)]);
            range.end - range.start
        }
        Content::Disk(_) => {
            let before = bytes.len();
            bytes.resize(before + in_memory(range).len(), 0);
            let count = content.read(range.start, &mut bytes[before..]).map_or(0, <[u8]>::len);
            bytes.truncate(before + count);
            count as u64
        }
    }
}

/// A range of what a `usize` can count.
fn in_memory(range: &Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Writes the head of an answer whose body is made while it is sent.
pub fn write_stream_head(
    status: Status,
    fields: Fields,
    chunked: bool,
    persistence: Persistence,
    cx: &Services,
    out: &mut Outbox,
) {
    let coding: &[u8] = if chunked { b"Transfer-Encoding: chunked\r\n" } else { b"" };
    let fields = [fields.bytes(), coding].concat();
    out.write(|bytes| write_head(status, &fields, persistence, cx, bytes));
}

fn write_head(status: Status, fields: &[u8], persistence: Persistence, cx: &Services, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"HTTP/1.1 ");
    bytes.extend_from_slice(status.text().as_bytes());
    bytes.extend_from_slice(&cx.site.rules.head);
    bytes.extend_from_slice(cx.clock.http_date());
    bytes.extend_from_slice(match persistence {
        Persistence::Implied => b"\r\n",
        Persistence::Agreed => b"\r\nConnection: keep-alive\r\n",
        Persistence::Close => b"\r\nConnection: close\r\n",
    });
    bytes.extend_from_slice(fields);
    bytes.extend_from_slice(b"\r\n");
}
