//! The encoder for HTTP/1.1: status line, field lines, and the body in its cheapest form.

use std::ops::Range;
use std::rc::Rc;

use super::version::Disposition;
use crate::clock::Clock;
use crate::limits::COPIED_BODY_MAX_BYTES;
use crate::outbox::Outbox;
use crate::protocol::http::semantics::{Body, FieldSink, Response, Status};
use crate::services::Context;
use crate::site::{FieldSet, Metadata, Rules};
use crate::store::Content;

/// The response to a new peer if no file descriptor is left for its connection.
pub(crate) const BUSY_REPLY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nServer: evserve\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";

/// The response to a client that speaks no TLS on a listener with TLS.
pub(crate) const PLAIN_REPLY: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nServer: evserve\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\nContent-Length: 36\r\n\r\nThis port needs TLS: use https://.\r\n";

/// The interim response to `Expect: 100-continue` (RFC 9110 section 10.1.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The beginning of a 200, up to the value of Date.
const OK_UP_TO_DATE: &str = "HTTP/1.1 200 OK\r\nDate: ";

/// The position of Date's value in a [prelude].
pub(super) const PRELUDE_DATE_AT: usize = OK_UP_TO_DATE.len();

/// The sources of a response head other than the response itself.
#[derive(Clone, Copy)]
pub(super) struct HeadContext<'a> {
    /// The source of the fields that options add to every response.
    pub rules: &'a Rules,
    /// The source of Date.
    pub clock: &'a Clock,
    /// The value of Strict-Transport-Security, if the response has it.
    pub hsts: Option<&'a str>,
}

impl<'a> HeadContext<'a> {
    pub(super) fn of(cx: &'a Context<'_>) -> HeadContext<'a> {
        // RFC 6797 section 7.2: not in responses without TLS.
        let hsts = cx.http.https.hsts.as_deref().filter(|_| cx.is_encrypted);
        HeadContext { rules: &cx.http.site.rules, clock: &cx.core.clock, hsts }
    }
}

/// Writes header fields as lines.
struct FieldLines<'a>(&'a mut Vec<u8>);

impl FieldSink for FieldLines<'_> {
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value);
        self.0.extend_from_slice(b"\r\n");
    }
}

/// Renders the head of a 200 that carries a complete file and has no Connection field. Only its date needs to
/// change later. It is rendered once per version of a file, so the call is not inlined.
#[inline(never)]
pub(super) fn prelude(metadata: &Rc<Metadata>, length: u64, head: HeadContext<'_>) -> Vec<u8> {
    let response = Response {
        status: Status::Ok,
        metadata: Some((Rc::clone(metadata), FieldSet::All)),
        fields: Vec::new(),
        body: Body::File { content: Content::Memory(b""[..].into()), range: 0..length, length },
    };
    let mut prelude = Vec::new();
    write_head(&response, false, Disposition::KeepAlive, head, &mut prelude);
    debug_assert!(prelude.starts_with(OK_UP_TO_DATE.as_bytes()));
    prelude
}

/// Writes a response. `head_only` omits the body, for HEAD. A streamed body is left to the caller.
pub(super) fn write(
    response: Response,
    head_only: bool,
    disposition: Disposition,
    head: HeadContext<'_>,
    out: &mut Outbox,
) {
    out.write(|bytes| write_head(&response, false, disposition, head, bytes));
    if head_only {
        return;
    }
    match response.body {
        Body::Empty | Body::Stream(_) => {}
        Body::Text(text) => out.write(|bytes| bytes.extend_from_slice(text.as_bytes())),
        Body::File { content, range, .. } => write_content(&content, range, out),
        Body::ByteRanges(body) => {
            for (head, range) in body.parts {
                out.write(|bytes| bytes.extend_from_slice(head.as_bytes()));
                write_content(&body.content, range, out);
            }
            out.write(|bytes| bytes.extend_from_slice(body.end.as_bytes()));
        }
    }
}

/// Writes the head of a response with a streamed body, which is sent in chunks or ends with the connection.
pub(super) fn write_stream_head(
    response: &Response,
    is_chunked: bool,
    disposition: Disposition,
    head: HeadContext<'_>,
    out: &mut Outbox,
) {
    out.write(|bytes| write_head(response, is_chunked, disposition, head, bytes));
}

/// Writes a slice of a body as a chunk (RFC 9112 section 7.1), and after the last slice the end of the body.
pub(super) fn write_chunk(slice: &[u8], is_last: bool, out: &mut Outbox) {
    out.write(|bytes| {
        if !slice.is_empty() {
            bytes.extend_from_slice(format!("{:x}\r\n", slice.len()).as_bytes());
            bytes.extend_from_slice(slice);
            bytes.extend_from_slice(b"\r\n");
        }
        if is_last {
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
    });
}

fn write_head(
    response: &Response,
    is_chunked: bool,
    disposition: Disposition,
    head: HeadContext<'_>,
    bytes: &mut Vec<u8>,
) {
    bytes.extend_from_slice(b"HTTP/1.1 ");
    bytes.extend_from_slice(response.status.text().as_bytes());
    bytes.extend_from_slice(b"\r\nDate: ");
    bytes.extend_from_slice(head.clock.http_date());
    bytes.extend_from_slice(b"\r\n");
    let mut lines = FieldLines(bytes);
    match disposition {
        Disposition::KeepAlive => {}
        Disposition::AnnounceKeepAlive => lines.field("Connection", b"keep-alive"),
        Disposition::Close(_) => lines.field("Connection", b"close"),
    }
    for (name, value) in &head.rules.extra_fields {
        lines.field(name, value.as_bytes());
    }
    if let Some(value) = head.hsts {
        lines.field("Strict-Transport-Security", value.as_bytes());
    }
    response.write_fields(&mut lines);
    if is_chunked {
        lines.field("Transfer-Encoding", b"chunked");
    }
    bytes.extend_from_slice(b"\r\n");
}

/// Writes a part of a file. A small part is copied next to its head, because that is cheaper than the
/// additional system call for a separate segment.
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
        // Bytes that are not in memory are sent once they are. Those that could not be read are queued, too: sending
        // them fails, and the connection closes.
        Content::Disk(file) => out.send_file(file.clone(), range),
    }
}

/// Copies the bytes of `range` that can be read without waiting for the disk, and returns their number.
fn copy(content: &Content, range: &Range<u64>, bytes: &mut Vec<u8>) -> u64 {
    match content {
        Content::Memory(content) => {
            bytes.extend_from_slice(&content[in_memory(range)]);
            range.end - range.start
        }
        Content::Disk(_) => {
            let before = bytes.len();
            bytes.resize(before + in_memory(range).len(), 0);
            let count = content.read_cached(range.start, &mut bytes[before..]).map_or(0, <[u8]>::len);
            bytes.truncate(before + count);
            count as u64
        }
    }
}

/// Converts a range whose bytes fit into memory.
fn in_memory(range: &Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

#[cfg(all(test, target_os = "linux", not(evserve_portable)))]
mod tests {
    use super::*;
    use crate::store::Descriptors;
    use std::io::Write;

    use rustix::fs::{Advice, fadvise};

    /// Creates a file that is on the disk only, if the file system can drop it from memory.
    fn content_on_disk() -> Content {
        let program = std::env::current_exe().expect("the path of this program");
        let mut file = tempfile::tempfile_in(program.parent().expect("its folder")).expect("a file");
        file.write_all(&vec![b'x'; 1 << 20]).expect("space");
        file.sync_all().expect("a disk");
        fadvise(&file, 0, None, Advice::DontNeed).expect("advice");
        Content::Disk(Descriptors::default().count(file).expect("a descriptor"))
    }

    #[test]
    fn a_small_part_is_copied_only_if_it_is_in_memory() {
        let (probed, content) = (content_on_disk(), content_on_disk());
        let mut buffer = vec![0; 4096];
        let mut bytes = b"head".to_vec();
        if probed.read_cached(0, &mut buffer).is_err() {
            assert_eq!((copy(&content, &(0..4096), &mut bytes), &*bytes), (0, &b"head"[..]));
        }
        content.read(0, &mut buffer).expect("a read");
        assert_eq!((copy(&content, &(0..4096), &mut bytes), bytes.len()), (4096, 4 + 4096));
    }
}
