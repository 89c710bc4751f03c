//! Answers: what a request comes to, as one value, and how it is written.

use crate::clock::Clock;
use crate::limits::COPIED_BODY_MAX_BYTES;
use crate::outbox::Outbox;
use crate::slice::Slice;
use crate::store::Content;

use super::fields::Persistence;
use super::status::{Refusal, Status};
use super::types;

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
    /// The same for every answer of a kind.
    Static(&'static [u8]),
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
    /// So many bytes of a file.
    Content(Content, u64),
}

impl Fields {
    fn bytes(&self) -> &[u8] {
        match self {
            Fields::Static(bytes) => bytes,
            Fields::Made(bytes) => bytes,
            Fields::Shared(bytes) => bytes,
        }
    }
}

impl Answer {
    /// Bytes of the body.
    pub fn body_length(&self) -> u64 {
        match &self.body {
            Body::Nothing => 0,
            Body::Text(text) => text.len() as u64,
            Body::Content(_, length) => *length,
        }
    }

    /// Text, with whole field lines besides type and length.
    pub fn text(status: Status, kind: &str, more: &str, text: String) -> Answer {
        let length = text.len();
        let fields = format!("Content-Type: {kind}\r\n{more}Content-Length: {length}\r\n");
        Answer { status, fields: Fields::Made(fields.into()), body: Body::Text(text) }
    }

    /// A short page that says what went wrong.
    pub fn refusal(refusal: Refusal) -> Answer {
        let Refusal { status, why } = refusal;
        let title = status.text();
        let page = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
             <h1>{title}</h1>\n<p>{why}.</p></html>\n"
        );
        let more = match status {
            Status::MethodNotAllowed => ALLOW,
            Status::ServiceUnavailable => "Retry-After: 1\r\n",
            _ => "",
        };
        Answer::text(status, types::HTML, more, page)
    }
}

/// What a path of the site can be asked for. RFC 9110 section 15.5.6 wants it with every 405.
pub const ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\n";

/// Writes `answer`, for HEAD without its body.
pub fn write(answer: Answer, head_only: bool, persistence: Persistence, clock: &Clock, out: &mut Outbox) {
    out.write(|bytes| {
        write_head(&answer, persistence, clock, bytes);
        match &answer.body {
            Body::Text(text) if !head_only => bytes.extend_from_slice(text.as_bytes()),
            Body::Content(Content::Memory(content), _) if !head_only && is_copied(content) => {
                bytes.extend_from_slice(content);
            }
            _ => {}
        }
    });
    match answer.body {
        Body::Content(Content::Memory(content), _) if !head_only && !is_copied(&content) => {
            out.share(content);
        }
        Body::Content(Content::Disk(file), length) if !head_only => out.send_file(file, 0..length),
        _ => {}
    }
}

/// Whether a body goes right behind its head instead of as a piece of its own.
fn is_copied(content: &[u8]) -> bool {
    content.len() <= COPIED_BODY_MAX_BYTES
}

fn write_head(answer: &Answer, persistence: Persistence, clock: &Clock, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"HTTP/1.1 ");
    bytes.extend_from_slice(answer.status.text().as_bytes());
    bytes.extend_from_slice(b"\r\nServer: evserve\r\nX-Content-Type-Options: nosniff\r\nDate: ");
    bytes.extend_from_slice(clock.http_date());
    bytes.extend_from_slice(match persistence {
        Persistence::Implied => b"\r\n",
        Persistence::Agreed => b"\r\nConnection: keep-alive\r\n",
        Persistence::Close => b"\r\nConnection: close\r\n",
    });
    bytes.extend_from_slice(answer.fields.bytes());
    bytes.extend_from_slice(b"\r\n");
}
