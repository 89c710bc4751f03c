//! The access log: one line per response. Lines are collected in a bounded buffer, which is written once per
//! turn, or when it is full.

use std::io::{self, Write};
use std::time::UNIX_EPOCH;

use super::log_file::{LogFile, Reopened};
use crate::clock::Clock;
use crate::limits::ACCESS_LOG_BUFFER_BYTES;
use crate::peer::Peer;

/// The format of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The combined format of Apache and nginx.
    Combined,
    /// One JSON object per line.
    Json,
}

#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    file: LogFile,
    buffer: Vec<u8>,
    /// The formatted time, cached for one second, and that second of Unix time.
    time: String,
    second: u64,
    /// The number of lines dropped since the last report, because the buffer was full or a write failed.
    dropped: u64,
    buffer_start: BufferStart,
}

/// What the buffer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BufferStart {
    /// A line, or the rest of the line in the middle of which the file ends.
    Next,
    /// A line, while the file ends in the middle of one whose rest was dropped.
    AfterTornLine,
}

/// The data of one line.
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
    /// The length of the response body in bytes.
    pub bytes: u64,
}

impl AccessLog {
    pub fn new(file: LogFile, format: Format) -> AccessLog {
        let buffer = Vec::with_capacity(ACCESS_LOG_BUFFER_BYTES);
        AccessLog {
            format,
            file,
            buffer,
            time: String::new(),
            second: u64::MAX,
            dropped: 0,
            buffer_start: BufferStart::Next,
        }
    }

    /// Adds a line. If the line does not fit into the buffer, the buffer is written first. If the line still
    /// does not fit, because the file accepts no more, the line is dropped.
    pub fn record(&mut self, record: &AccessRecord<'_>, clock: &Clock) {
        self.show_time(clock);
        if !self.append(record) {
            self.flush();
            self.dropped += u64::from(!self.append(record));
        }
    }

    /// Appends a line to the buffer. Returns false if it does not fit.
    fn append(&mut self, record: &AccessRecord<'_>) -> bool {
        let start = self.buffer.len();
        match self.format {
            Format::Combined => write_combined(&mut self.buffer, record, &self.time),
            Format::Json => write_json(&mut self.buffer, record, &self.time),
        }
        let fits = self.buffer.len() <= ACCESS_LOG_BUFFER_BYTES;
        if !fits {
            self.buffer.truncate(start);
        }
        fits
    }

    /// Writes as much of the buffer as the file accepts. If a pipe stalls, the rest stays in the buffer for
    /// the next turn. If the write fails, as on a full disk, the buffer is dropped.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.buffer_start == BufferStart::AfterTornLine {
            // The end of the torn line, which no line begins with.
            self.buffer.insert(0, b'\n');
            self.buffer_start = BufferStart::Next;
        }
        match self.file.write_some(&self.buffer) {
            Ok(0) => {}
            Ok(written) => {
                self.buffer.drain(..written);
                self.report();
            }
            Err(error) => {
                if self.dropped == 0 {
                    log::warn!(
                        "cannot write the access log: {error}; its lines are dropped until a write succeeds"
                    );
                }
                self.drop_lines(self.buffer.len());
                if self.file.ends_mid_line() {
                    self.buffer_start = BufferStart::AfterTornLine;
                }
            }
        }
    }

    /// Returns whether the buffer holds lines that were not written.
    pub fn is_waiting(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Reopens the log file, as after a rotation. Another file begins with a line: the rest of one that the old file
    /// did not accept is dropped, and the lines after it are kept.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.flush();
        let was_mid_line = self.file.ends_mid_line();
        if self.file.reopen()? == Reopened::Same {
            return Ok(());
        }
        if was_mid_line && self.buffer_start == BufferStart::Next {
            let rest = memchr::memchr(b'\n', &self.buffer).map_or(self.buffer.len(), |end| end + 1);
            self.drop_lines(rest);
        }
        self.buffer_start = BufferStart::Next;
        Ok(())
    }

    /// Drops the first `length` bytes of the buffer and counts their lines.
    fn drop_lines(&mut self, length: usize) {
        let ends = memchr::memchr_iter(b'\n', &self.buffer[..length]).count();
        // The end of a torn line, which is already counted.
        let counted = self.buffer.first() == Some(&b'\n');
        self.dropped += (ends - usize::from(counted)) as u64;
        self.buffer.drain(..length);
    }

    /// Logs the number of dropped lines, once lines can be written again.
    fn report(&mut self) {
        if self.dropped > 0 {
            log::warn!("{} lines of the access log were dropped", self.dropped);
            self.dropped = 0;
        }
    }

    fn show_time(&mut self, clock: &Clock) {
        let second = clock.now.wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            self.time = match self.format {
                Format::Combined => clock.local("%d/%b/%Y:%H:%M:%S %z"),
                Format::Json => clock.local("%Y-%m-%dT%H:%M:%S%:z"),
            };
        }
    }
}

/// Writes `peer - - [time] "request line" status bytes "Referer" "User-Agent"`. In the values that the client
/// sent, control bytes, quotes, backslashes and non-ASCII bytes are escaped as `\xHH`, as nginx does.
fn write_combined(line: &mut Vec<u8>, record: &AccessRecord<'_>, time: &str) {
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
    match record.peer {
        Peer::Inet(address) => drop(write!(line, "{} - - [{time}] ", address.ip().to_canonical())),
        Peer::Unix => drop(write!(line, "unix: - - [{time}] ")),
    }
    escaped(line, record.request_line);
    let _ = write!(line, " {} {} ", record.status, record.bytes);
    escaped(line, record.referer);
    line.push(b' ');
    escaped(line, record.user_agent);
    line.push(b'\n');
}

/// Writes an object with the same data, which is valid JSON (RFC 8259) whatever bytes the client sent.
fn write_json(line: &mut Vec<u8>, record: &AccessRecord<'_>, time: &str) {
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
    let _ = write!(line, ",\"status\":{},\"bytes\":{}", record.status, record.bytes);
    member(line, "referer", record.referer);
    member(line, "user_agent", record.user_agent);
    line.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format, request_line: &[u8], referer: &[u8], user_agent: &[u8]) -> String {
        let peer = Peer::Inet("[::ffff:10.0.0.1]:5".parse().expect("an address"));
        let record = AccessRecord { peer, request_line, referer, user_agent, status: 200, bytes: 5 };
        let mut line = Vec::new();
        match format {
            Format::Combined => write_combined(&mut line, &record, "TIME"),
            Format::Json => write_json(&mut line, &record, "TIME"),
        }
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
        let expected = "10.0.0.1 - - [TIME] \"GET /\\x22\\x5C\\x1B[2J\\xFF\\x00 HTTP/1.1\" 200 5 \"-\" \"a\\x22b\\x5Cc\\x07\"\n";
        assert_eq!(line(Format::Combined, request_line, b"", user_agent), expected);
        let json = line(Format::Json, request_line, b"", user_agent);
        assert!(json.contains(r#""request":"GET /\u0022\u005c\u001b[2J\\xFF\u0000 HTTP/1.1""#), "{json}");
        assert!(json.contains(r#""user_agent":"a\u0022b\u005cc\u0007"}"#), "{json}");
    }
}
