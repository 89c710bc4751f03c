//! A response (RFC 9110 section 3.4): status, header fields as names and values, and a body. The encoder of
//! each version of HTTP writes it in its own format.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::rc::Rc;

use super::status::Status;
use crate::clock::Instant;
use crate::services::{Context, Core};
use crate::site::{FieldSet, Metadata, Representation, types};
use crate::store::{Content, StoreError};

#[derive(Debug)]
pub(crate) struct Response {
    pub status: Status,
    /// The metadata of a representation, and which of its fields the response carries.
    pub metadata: Option<(Rc<Metadata>, FieldSet)>,
    /// The other fields, except those that follow from the body: Content-Length, and Content-Range of a
    /// single part.
    pub fields: Vec<Field>,
    pub body: Body,
}

/// The result of handling a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Handled(Response),
    /// There is no response yet: the request must be handled again in the next turn.
    Pending,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub name: &'static str,
    /// The value, in printable characters.
    pub value: Cow<'static, str>,
}

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    /// Text that was rendered for this response.
    Text(String),
    /// A part of a file.
    File {
        content: Content,
        /// The part that is sent.
        range: Range<u64>,
        /// The length of the complete file.
        length: u64,
    },
    /// Several parts of one file (RFC 9110 section 14.6).
    ByteRanges(Box<ByteRanges>),
    /// A body that is produced while it is sent, so that its length is unknown.
    Stream(Box<dyn BodySource>),
}

/// Several parts of a file, and the text around them.
#[derive(Debug)]
pub(crate) struct ByteRanges {
    pub content: Content,
    /// The parts, each with the text before it.
    pub parts: Vec<(String, Range<u64>)>,
    /// The text after the last part.
    pub end: String,
}

/// A body that is produced in slices, one per turn. The head is sent with the first slice that has any bytes.
pub(crate) trait BodySource: fmt::Debug {
    /// Appends the next slice to `out`. Returns which slice follows.
    fn advance(&mut self, out: &mut Vec<u8>, cx: &mut Context<'_>) -> Result<NextSlice, StoreError>;

    /// Skips a slice that is due while the client has not received the last one. Returns when the next one is due.
    fn skip(&mut self, _core: &Core) -> NextSlice {
        NextSlice::InNextTurn
    }

    /// Returns the header fields that were not known before the first slice with bytes. The response to a HEAD
    /// lacks them (RFC 9110 section 9.3.2).
    fn fields(&self) -> Vec<Field>;
}

/// When the next slice of a body is produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextSlice {
    /// Never: the body is complete.
    None,
    /// In the next turn.
    InNextTurn,
    /// At this time.
    At(Instant),
}

/// The side of an encoder that accepts header fields.
pub(crate) trait FieldSink {
    fn field(&mut self, name: &str, value: &[u8]);
}

pub(crate) fn field(name: &'static str, value: impl Into<Cow<'static, str>>) -> Field {
    Field { name, value: value.into() }
}

impl Response {
    /// Returns a response without a body.
    pub(crate) fn empty(status: Status, fields: Vec<Field>) -> Response {
        Response { status, metadata: None, fields, body: Body::Empty }
    }

    /// Returns a 200 with a complete file.
    pub(crate) fn file(file: &Representation) -> Response {
        Response {
            status: Status::Ok,
            metadata: Some((Rc::clone(&file.note), FieldSet::All)),
            fields: Vec::new(),
            body: Body::whole(file),
        }
    }

    /// Returns a 304 with the fields that it repeats (RFC 9110 section 15.4.5).
    pub(crate) fn not_modified(metadata: &Rc<Metadata>) -> Response {
        Response {
            metadata: Some((Rc::clone(metadata), FieldSet::NotModified)),
            ..Response::empty(Status::NotModified, Vec::new())
        }
    }

    /// Returns a response with text of the given media type.
    pub(crate) fn text(
        status: Status,
        content_type: &'static str,
        mut fields: Vec<Field>,
        text: String,
    ) -> Response {
        fields.insert(0, field("Content-Type", content_type));
        Response { status, metadata: None, fields, body: Body::Text(text) }
    }

    /// Returns a response with an HTML page.
    pub(crate) fn page(status: Status, fields: Vec<Field>, text: String) -> Response {
        Response::text(status, types::HTML, fields, text)
    }

    /// Returns a 308 to another address on this server.
    pub(crate) fn permanent_redirect(address: String) -> Response {
        let text = format!("{address}\n");
        Response::text(Status::PermanentRedirect, types::TEXT, vec![field("Location", address)], text)
    }

    /// Adds a field.
    pub(crate) fn with(mut self, field: Field) -> Response {
        self.fields.push(field);
        self
    }

    /// Returns whether the body is produced while it is sent.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream(_))
    }

    /// Returns the value of Content-Length (RFC 9110 section 8.6). A 204 must not have one, a 304 does not
    /// need one, and the length of a stream is unknown.
    fn content_length(&self) -> Option<u64> {
        match self.status {
            Status::NoContent | Status::NotModified => None,
            _ => self.body.length(),
        }
    }

    /// Passes all header fields to `sink`.
    pub(crate) fn write_fields(&self, sink: &mut impl FieldSink) {
        if let Some((metadata, set)) = &self.metadata {
            metadata.fields(*set).for_each(|(name, value)| sink.field(name, value.as_bytes()));
        }
        for Field { name, value } in &self.fields {
            sink.field(name, value.as_bytes());
        }
        if let (Status::PartialContent, Body::File { range, length, .. }) = (self.status, &self.body) {
            // Three 64-bit numbers and the text around them fit into 80 bytes.
            let mut value = [0; 80];
            let mut rest = &mut value[..];
            let _ = write!(rest, "bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
            let left = rest.len();
            sink.field("Content-Range", &value[..80 - left]);
        }
        if let Some(length) = self.content_length() {
            sink.field("Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
    }
}

impl Body {
    pub(crate) fn whole(file: &Representation) -> Body {
        Body::File { content: file.content.clone(), range: 0..file.length, length: file.length }
    }

    /// Returns the length of the body, if it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        let span = |range: &Range<u64>| range.end - range.start;
        Some(match self {
            Body::Empty => 0,
            Body::Text(text) => text.len() as u64,
            Body::File { range, .. } => span(range),
            Body::ByteRanges(body) => {
                let parts = body.parts.iter().map(|(head, range)| head.len() as u64 + span(range));
                parts.sum::<u64>() + body.end.len() as u64
            }
            Body::Stream(_) => return None,
        })
    }
}
