//! The formats of the access log. A line is written in two steps: first what is known of a response when it is queued,
//! then what is known once it was sent.

use std::io::Write;
use std::time::Duration;

use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::peer::Peer;

/// The format of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The combined format of Apache and nginx.
    Combined,
    /// The combined format, and after it the request time, the connection and its close reason.
    Extended,
    /// One JSON object per line.
    Json,
}

/// What is known of a response when it is queued.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// The sender of the request.
    pub peer: Peer,
    /// The request line as received, which may be malformed.
    pub request_line: &'a [u8],
    /// The Referer field, empty if there is none.
    pub referer: &'a [u8],
    /// The User-Agent field, empty if there is none.
    pub user_agent: &'a [u8],
    pub status: u16,
    /// When the first byte of the request was received.
    pub begun: Instant,
}

/// What is known of a response once it was sent, or was cut off.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentResponse {
    /// The bytes of the body that were sent.
    pub bytes: u64,
    /// The time since the first byte of the request.
    pub duration: Duration,
    /// The number of the connection.
    pub connection: usize,
    /// Why the connection closed with this response, if it did.
    pub close: Option<CloseReason>,
}

impl Format {
    /// Returns the format of a line's time, for `strftime`.
    pub(super) fn time(self) -> &'static str {
        match self {
            Format::Combined | Format::Extended => "%d/%b/%Y:%H:%M:%S %z",
            Format::Json => "%Y-%m-%dT%H:%M:%S%:z",
        }
    }

    /// Appends a line to `text` that lacks its end and the number of bytes. Returns where in the line that number
    /// belongs.
    pub(super) fn begin(self, text: &mut Vec<u8>, record: &AccessRecord<'_>, time: &str) -> usize {
        let start = text.len();
        let bytes_at = match self {
            Format::Combined | Format::Extended => begin_combined(text, record, time),
            Format::Json => begin_json(text, record, time),
        };
        bytes_at - start
    }

    /// Appends a complete line to `text`. The line was begun, and the number of bytes belongs between its two
    /// parts.
    pub(super) fn complete(self, text: &mut Vec<u8>, begun: (&[u8], &[u8]), sent: &SentResponse) {
        text.extend_from_slice(begun.0);
        text.extend_from_slice(itoa::Buffer::new().format(sent.bytes).as_bytes());
        text.extend_from_slice(begun.1);
        let (millis, connection) = (sent.duration.as_millis(), sent.connection);
        let close = sent.close.map(CloseReason::name);
        // Writing to a vector cannot fail.
        let _ = match (self, close) {
            (Format::Combined, _) => Ok(()),
            (Format::Extended, _) => {
                let (seconds, millis, close) = (millis / 1000, millis % 1000, close.unwrap_or("-"));
                write!(text, " {seconds}.{millis:03} {connection} {close}")
            }
            (Format::Json, None) => {
                write!(text, ",\"duration_ms\":{millis},\"connection\":{connection},\"closed\":null}}")
            }
            (Format::Json, Some(close)) => {
                write!(text, ",\"duration_ms\":{millis},\"connection\":{connection},\"closed\":\"{close}\"}}")
            }
        };
        text.push(b'\n');
    }
}

/// Writes `peer - - [time] "request line" status bytes "Referer" "User-Agent"` without the bytes, and returns where they
/// belong. In the values that the client sent, control bytes, quotes, backslashes and non-ASCII bytes are escaped as
/// `\xHH`, as nginx does.
fn begin_combined(line: &mut Vec<u8>, record: &AccessRecord<'_>, time: &str) -> usize {
    let escaped = |line: &mut Vec<u8>, value: &[u8]| {
        line.push(b'"');
        for byte in if value.is_empty() { b"-" } else { value } {
            match byte {
                b'"' | b'\\' | ..=0x1f | 0x7f.. => drop(write!(line, "\\x{byte:02X}")),
                byte => line.push(*byte),
            }
        }
        line.push(b'"');
    };
    match record.peer.client() {
        Some(address) => drop(write!(line, "{address} - - [{time}] ")),
        None => drop(write!(line, "unix: - - [{time}] ")),
    }
    escaped(line, record.request_line);
    let _ = write!(line, " {} ", record.status);
    let bytes_at = line.len();
    line.push(b' ');
    escaped(line, record.referer);
    line.push(b' ');
    escaped(line, record.user_agent);
    bytes_at
}

/// Writes the beginning of an object, which is valid JSON (RFC 8259) whatever bytes the client sent, without the bytes.
/// Returns where they belong.
fn begin_json(line: &mut Vec<u8>, record: &AccessRecord<'_>, time: &str) -> usize {
    let member = |line: &mut Vec<u8>, name: &str, value: &[u8]| {
        let _ = write!(line, ",\"{name}\":\"");
        for chunk in value.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' | '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
                        drop(write!(line, "\\u{:04x}", u32::from(character)));
                    }
                    character => line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
            // A byte that is not UTF-8 is escaped as in the combined format.
            chunk.invalid().iter().for_each(|byte| drop(write!(line, "\\\\x{byte:02X}")));
        }
        line.push(b'"');
    };
    let _ = write!(line, "{{\"time\":\"{time}\",\"peer\":\"{}\"", record.peer);
    member(line, "request", record.request_line);
    let _ = write!(line, ",\"status\":{},\"bytes\":", record.status);
    let bytes_at = line.len();
    member(line, "referer", record.referer);
    member(line, "user_agent", record.user_agent);
    bytes_at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format, request_line: &[u8], referer: &[u8], user_agent: &[u8]) -> String {
        let peer = Peer::from("[::ffff:10.0.0.1]:5".parse::<std::net::SocketAddr>().expect("an address"));
        let begun = Instant::now();
        let record = AccessRecord { peer, request_line, referer, user_agent, status: 200, begun };
        let close = (format != Format::Combined).then_some(CloseReason::PeerLeft);
        let sent =
            SentResponse { bytes: 5, duration: Duration::from_micros(61_002_999), connection: 17, close };
        let (mut begun, mut line) = (b"earlier".to_vec(), Vec::new());
        let bytes_at = format.begin(&mut begun, &record, "TIME");
        format.complete(&mut line, begun[7..].split_at(bytes_at), &sent);
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn combined_lines_have_dashes_for_empty_fields() {
        let expected = "10.0.0.1 - - [TIME] \"GET /a HTTP/1.1\" 200 5 \"x y\" \"me/1\"\n";
        assert_eq!(line(Format::Combined, b"GET /a HTTP/1.1", b"x y", b"me/1"), expected);
        assert_eq!(line(Format::Combined, b"", b"", b""), "10.0.0.1 - - [TIME] \"-\" 200 5 \"-\" \"-\"\n");
    }

    #[test]
    fn client_bytes_cannot_forge_a_line() {
        let (request_line, user_agent) = (b"GET /\"\\\x1b[2J\xff\0 HTTP/1.1", b"a\"b\\c\x07");
        let expected = "10.0.0.1 - - [TIME] \"GET /\\x22\\x5C\\x1B[2J\\xFF\\x00 HTTP/1.1\" 200 5 \"-\" \"a\\x22b\\x5Cc\\x07\"";
        assert_eq!(line(Format::Combined, request_line, b"", user_agent), format!("{expected}\n"));
        let extended = line(Format::Extended, request_line, b"", user_agent);
        assert_eq!(extended, format!("{expected} 61.002 17 peer_left\n"));
        let json = line(Format::Json, request_line, b"", user_agent);
        assert!(json.contains(r#""request":"GET /\u0022\u005c\u001b[2J\\xFF\u0000 HTTP/1.1""#), "{json}");
        let end = r#""user_agent":"a\u0022b\u005cc\u0007","duration_ms":61002,"connection":17,"closed":"peer_left"}"#;
        assert!(json.ends_with(&format!("{end}\n")), "{json}");
    }
}
