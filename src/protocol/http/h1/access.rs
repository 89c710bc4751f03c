//! Counts and logs responses.

use super::head::ReceivedHead;
use crate::clock::Instant;
use crate::observe::{AccessRecord, QueuedBytes};
use crate::protocol::http::semantics::Status;
use crate::services::Context;

/// What the access log shows of a request.
#[derive(Clone, Copy)]
pub(super) struct LoggedRequest<'a> {
    /// The head as far as it was received. It may be malformed.
    pub head: &'a [u8],
    /// When its first byte was received.
    pub begun: Instant,
}

impl<'a> From<&ReceivedHead<'a>> for LoggedRequest<'a> {
    fn from(head: &ReceivedHead<'a>) -> LoggedRequest<'a> {
        LoggedRequest { head: head.request.headers.block, begun: head.begun }
    }
}

/// Counts and logs a response that was queued.
pub(super) fn record(request: LoggedRequest<'_>, status: Status, queued: QueuedBytes, cx: &mut Context<'_>) {
    cx.statistics.requests += 1;
    log(request, status, queued, cx);
}

/// Logs a response from the cache. The first byte of the request's `head` was received at `begun`.
// Not inlined, so that servers without a log do not pay for it.
#[inline(never)]
pub(super) fn log_cached(head: &[u8], begun: Instant, queued: QueuedBytes, cx: &mut Context<'_>) {
    log(LoggedRequest { head, begun }, Status::Ok, queued, cx);
}

/// Logs a response that was queued, or its beginning, if there is an access log.
pub(super) fn log(request: LoggedRequest<'_>, status: Status, queued: QueuedBytes, cx: &mut Context<'_>) {
    let Some(log) = &mut cx.http.access_log else { return };
    let record = AccessRecord {
        peer: cx.peer,
        request_line: request_line(request.head),
        referer: first_value(request.head, b"referer"),
        user_agent: first_value(request.head, b"user-agent"),
        status: status as u16,
        begun: request.begun,
    };
    log.begin(&record, queued, &cx.core.clock);
}

/// Logs that more of a response was queued.
pub(super) fn extend(more: QueuedBytes, cx: &mut Context<'_>) {
    if let Some(log) = &mut cx.http.access_log {
        log.extend(cx.connection, more);
    }
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Returns the first line of a request head.
pub(super) fn request_line(head: &[u8]) -> &[u8] {
    let line = &head[..memchr::memchr(b'\n', head).unwrap_or(head.len())];
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns the value of the first field named `name`, which is empty if there is none.
fn first_value<'a>(head: &'a [u8], name: &[u8]) -> &'a [u8] {
    let value = lines(head).skip(1).find_map(|line| {
        let (start, rest) = line.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then(|| rest.strip_prefix(b":"))?
    });
    value.unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_fields_are_found_even_in_malformed_heads() {
        let head = b"GET /a HTTP/1.1\r\nHost: h\r\nUSER-AGENT: me/1\r\nReferer:x y \r\n\r\n";
        assert_eq!(request_line(head), b"GET /a HTTP/1.1");
        assert_eq!(first_value(head, b"referer"), b"x y");
        assert_eq!(first_value(head, b"user-agent"), b"me/1");
        assert_eq!((request_line(b""), first_value(b"", b"referer")), (&b""[..], &b""[..]));
        let forged = b"GET /\"\\\x1b[2J\xff\0 HTTP/1.1\r\nUser-Agent: a\"b\\c\x07\r\n\r\n";
        assert_eq!(request_line(forged), b"GET /\"\\\x1b[2J\xff\0 HTTP/1.1");
        assert_eq!(first_value(forged, b"user-agent"), b"a\"b\\c\x07");
    }
}
