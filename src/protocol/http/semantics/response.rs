//! A response (RFC 9110 section 3.4) as one value: status, header fields as names and values, and a body.
//! Each version's encoder writes it in its own form.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::rc::Rc;

use super::status::Status;
use crate::site::{FieldSet, Metadata, Representation, types};
use crate::store::{Content, StoreError};

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status.
    pub status: Status,
    /// The representation whose fields it carries, and which of them.
    pub metadata: Option<(Rc<Metadata>, FieldSet)>,
    /// Its other fields, without Content-Length, which follows from the body.
    pub fields: Vec<Field>,
    /// The body.
    pub body: Body,
}

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its response.
    Handled(Response),
    /// None yet: the request has to be handled again in the next turn.
    Pending,
}

/// A header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its value, in visible characters.
    pub value: Cow<'static, str>,
}

/// A response's body.
#[derive(Debug)]
pub(crate) enum Body {
    /// None.
    Empty,
    /// Text made for this response.
    Text(String),
    /// A part of a file of `length` bytes.
    File {
        /// The file.
        content: Content,
        /// The part that is sent.
        range: Range<u64>,
        /// Bytes of the file.
        length: u64,
    },
    /// Several parts of one file (RFC 9110 section 14.6).
    ByteRanges(Box<ByteRanges>),
    /// A body that is made while it is sent, so that its length is not known.
    Stream(Box<dyn BodySource>),
}

/// Several parts of a file.
#[derive(Debug)]
pub(crate) struct ByteRanges {
    /// The file.
    pub content: Content,
    /// Each with the text before it.
    pub parts: Vec<(String, Range<u64>)>,
    /// The text behind the last one.
    pub end: String,
}

/// A body that is made in slices, one a turn.
pub(crate) trait BodySource: fmt::Debug {
    /// Appends the next slice to `out`. Returns whether there is more.
    fn advance(&mut self, out: &mut Vec<u8>) -> Result<bool, StoreError>;
}

/// Where an encoder takes header fields.
pub(crate) trait FieldSink {
    /// Takes one field.
    fn field(&mut self, name: &str, value: &[u8]);
}

/// Makes a field.
pub(crate) fn field(name: &'static str, value: impl Into<Cow<'static, str>>) -> Field {
    Field { name, value: value.into() }
}

impl Response {
    /// A response without a body.
    pub(crate) fn empty(status: Status, fields: Vec<Field>) -> Response {
        Response { status, metadata: None, fields, body: Body::Empty }
    }

    /// 200 with the whole of a file.
    pub(crate) fn file(file: &Representation) -> Response {
        Response {
            status: Status::Ok,
            metadata: Some((Rc::clone(&file.note), FieldSet::All)),
            fields: Vec::new(),
            body: Body::whole(file),
        }
    }

    /// 304, with the fields that it repeats.
    pub(crate) fn not_modified(metadata: &Rc<Metadata>) -> Response {
        Response {
            metadata: Some((Rc::clone(metadata), FieldSet::NotModified)),
            ..Response::empty(Status::NotModified, Vec::new())
        }
    }

    /// Text of this media type, with other fields beside.
    pub(crate) fn text(
        status: Status,
        content_type: &'static str,
        mut fields: Vec<Field>,
        text: String,
    ) -> Response {
        fields.insert(0, field("Content-Type", content_type));
        Response { status, metadata: None, fields, body: Body::Text(text) }
    }

    /// A page in HTML.
    pub(crate) fn page(status: Status, fields: Vec<Field>, text: String) -> Response {
        Response::text(status, types::HTML, fields, text)
    }

    /// 308 to another address of this server.
    pub(crate) fn permanent_redirect(address: String) -> Response {
        let text = format!("{address}\n");
        Response::text(Status::PermanentRedirect, types::TEXT, vec![field("Location", address)], text)
    }

    /// The response with one more field.
    pub(crate) fn with(mut self, field: Field) -> Response {
        self.fields.push(field);
        self
    }

    /// Whether the length of the body is not known.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream(_))
    }

    /// The value of Content-Length (RFC 9110 section 8.6): 204 may not have one, 304 needs none, and a
    /// stream's is not known.
    fn content_length(&self) -> Option<u64> {
        match self.status {
            Status::NoContent | Status::NotModified => None,
            _ => self.body.length(),
        }
    }

    /// Gives all header fields to `sink`.
    pub(crate) fn write_fields(&self, sink: &mut impl FieldSink) {
        if let Some((metadata, set)) = &self.metadata {
            metadata.fields(*set).for_each(|(name, value)| sink.field(name, value.as_bytes()));
        }
        for Field { name, value } in &self.fields {
            sink.field(name, value.as_bytes());
        }
        if let (Status::PartialContent, Body::File { range, length, .. }) = (self.status, &self.body) {
            // Three numbers of 64 bits fit.
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
    /// The whole of a file.
    pub(crate) fn whole(file: &Representation) -> Body {
        Body::File { content: file.content.clone(), range: 0..file.length, length: file.length }
    }

    /// Its bytes, if that is known.
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
