//! Responses with several ranges of a file, as `multipart/byteranges` (RFC 9110 section 14.6). The media type
//! prescribes CRLF line ends, whatever the HTTP version.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::rc::Rc;

use crate::protocol::http::semantics::response::ByteRanges;
use crate::protocol::http::semantics::{Body, Response, Status, field};
use crate::site::{FieldSet, Representation};

/// Returns a 206 with `ranges` of `file`.
pub(super) fn response(file: &Representation, ranges: &[Range<u64>]) -> Response {
    // The boundary must not occur in the parts, so it must be unpredictable: `RandomState` has random keys.
    let boundary = format!("{:016x}", RandomState::new().hash_one(file.note.entity_tag()));
    let content_type = &file.note.content_type;
    let parts = ranges.iter().map(|range| {
        let (first, last, length) = (range.start, range.end - 1, file.length);
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {content_type}\r\n\
             Content-Range: bytes {first}-{last}/{length}\r\n\r\n"
        );
        (head, range.clone())
    });
    let end = format!("\r\n--{boundary}--\r\n");
    let body = ByteRanges { content: file.content.clone(), parts: parts.collect(), end };
    Response {
        status: Status::PartialContent,
        metadata: Some((Rc::clone(&file.note), FieldSet::ExceptContentType)),
        fields: vec![field("Content-Type", format!("multipart/byteranges; boundary={boundary}"))],
        body: Body::ByteRanges(Box::new(body)),
    }
}
