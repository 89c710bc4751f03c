//! Counts and logs responses.

use crate::observe::AccessRecord;
use crate::services::Context;

/// Counts and logs a response with `bytes` of body. `head` is the head of the request as far as it was
/// received; it may be malformed.
pub(super) fn record(head: &[u8], status: u16, bytes: u64, cx: &mut Context<'_>) {
    cx.core.statistics.requests += 1;
    log(head, status, bytes, cx);
}

/// Logs a response if there is an access log.
pub(super) fn log(head: &[u8], status: u16, bytes: u64, cx: &mut Context<'_>) {
    let Some(log) = &mut cx.http.access_log else { return };
    let record = AccessRecord {
        peer: cx.peer,
        request_line: request_line(head),
        referer: first_value(head, b"referer"),
        user_agent: first_value(head, b"user-agent"),
        status,
        bytes,
    };
    log.record(&record, &cx.core.clock);
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Returns the first line of a request head.
pub(super) fn request_line(head: &[u8]) -> &[u8] {
    lines(head).next().unwrap_or_default()
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
