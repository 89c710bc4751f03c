//! The access log: a line for every answer, put into a bounded buffer and written once a turn, or
//! when the buffer is full.

use std::io::{self, Write};
use std::time::UNIX_EPOCH;

use super::log_file::LogFile;
use crate::clock::Clock;
use crate::limits::ACCESS_LOG_BUFFER_BYTES;
use crate::peer::Peer;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The combined format of Apache and nginx.
    Combined,
    /// A JSON object.
    Json,
}

/// The log.
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    file: LogFile,
    buffer: Vec<u8>,
    /// The time as lines have it, and the second that it shows.
    time: String,
    second: u64,
    /// Lines that found no room, or that the disk did not take.
    dropped: u64,
    end: FileEnd,
}

/// Where the file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileEnd {
    /// At the end of a line.
    Line,
    /// In the middle of a line, whose rest is in the buffer.
    MidLine,
    /// In the middle of a line, whose rest was dropped.
    TornLine,
}

/// What a line tells.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// Whose request it was.
    pub peer: Peer,
    /// The request line as it came; nothing of it need be sound.
    pub request_line: &'a [u8],
    /// The Referer field, empty if there is none.
    pub referer: &'a [u8],
    /// The User-Agent field, empty if there is none.
    pub user_agent: &'a [u8],
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
}

impl AccessLog {
    /// A log that goes to `file`.
    pub fn new(file: LogFile, format: Format) -> AccessLog {
        let buffer = Vec::with_capacity(ACCESS_LOG_BUFFER_BYTES);
        AccessLog {
            format,
            file,
            buffer,
            time: String::new(),
            second: u64::MAX,
            dropped: 0,
            end: FileEnd::Line,
        }
    }

    /// Adds a line. A turn that fills the buffer writes before its end, so that a file that takes
    /// everything gets everything; a line that finds no room even then is dropped.
    pub fn record(&mut self, record: &AccessRecord<'_>, clock: &Clock) {
        self.show_time(clock);
        if !self.append(record) {
            self.flush();
            self.dropped += u64::from(!self.append(record));
        }
    }

    /// Puts a line into the buffer, if there is room for it.
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

    /// Writes what the file takes. What a stalled pipe does not take stays for the next turn; what
    /// a full disk does not take is dropped.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.end == FileEnd::TornLine {
            self.buffer.insert(0, b'\n');
            self.end = FileEnd::MidLine;
        }
        match self.file.write_some(&self.buffer) {
            Ok(0) => {}
            Ok(written) => {
                self.end = if self.buffer[written - 1] == b'\n' { FileEnd::Line } else { FileEnd::MidLine };
                self.buffer.drain(..written);
                self.report();
            }
            Err(error) => {
                if self.dropped == 0 {
                    log::warn!("cannot write the access log, whose lines are dropped: {error}");
                }
                self.dropped += memchr::memchr_iter(b'\n', &self.buffer).count() as u64;
                if self.end == FileEnd::MidLine {
                    self.end = FileEnd::TornLine;
                }
                self.buffer.clear();
            }
        }
    }

    /// Whether lines wait for the file to take them.
    pub fn is_waiting(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Opens its file anew, as after a rotation.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.flush();
        self.file.reopen()
    }

    /// Says how many lines are missing, once lines can be written again.
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

/// `peer - - [time] "request line" status bytes "Referer" "User-Agent"`. What a client sent has its
/// control bytes, quotes, backslashes and everything beyond ASCII as `\xHH`, as nginx has it.
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

/// An object with the same members, and nothing in it that is not JSON (RFC 8259).
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
            // A byte that is no text is shown as in the combined format.
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
    fn combined() {
        let expected = "10.0.0.1 - - [TIME] \"GET /a HTTP/1.1\" 200 5 \"x y\" \"me/1\"\n";
        assert_eq!(line(Format::Combined, b"GET /a HTTP/1.1", b"x y", b"me/1"), expected);
        assert_eq!(line(Format::Combined, b"", b"", b""), "10.0.0.1 - - [TIME] \"-\" 200 5 \"-\" \"-\"\n");
    }

    #[test]
    fn what_a_client_sends_cannot_forge_a_line() {
        let (request_line, user_agent) = (b"GET /\"\\\x1b[2J\xff\0 HTTP/1.1", b"a\"b\\c\x07");
        let expected = "10.0.0.1 - - [TIME] \"GET /\\x22\\x5C\\x1B[2J\\xFF\\x00 HTTP/1.1\" 200 5 \"-\" \"a\\x22b\\x5Cc\\x07\"\n";
        assert_eq!(line(Format::Combined, request_line, b"", user_agent), expected);
        let json = line(Format::Json, request_line, b"", user_agent);
        assert!(json.contains(r#""request":"GET /\u0022\u005c\u001b[2J\\xFF\u0000 HTTP/1.1""#), "{json}");
        assert!(json.contains(r#""user_agent":"a\u0022b\u005cc\u0007"}"#), "{json}");
    }
}
