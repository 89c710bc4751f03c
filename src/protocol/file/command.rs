//! The command lines of the file protocol: extracted from the input, and parsed.

use crate::limits::COMMAND_MAX_BYTES;
use crate::store::Sha256Digest;

use super::vocabulary::command::{GET, HASH, HELP, LIST, PUT, QUIT, REST, RESUME, STAT};

/// The result of extracting a line from the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line is incomplete.
    Partial,
    /// The line exceeds the limit.
    TooLong,
    /// The line without its end and without Telnet commands, and the number of input bytes it took.
    Whole(Vec<u8>, usize),
}

/// Telnet commands (RFC 854), which are recognized only in command lines.
const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
const WILL: u8 = 251;
const DONT: u8 = 254;

/// Extracts a line, ended by LF or CRLF, from the beginning of `input`, whose first `seen` bytes were already
/// scanned. `at_end` says that no more input follows: then the last line needs no end.
pub(super) fn take_line(input: &[u8], seen: usize, at_end: bool) -> Line {
    let may_be_whole = memchr::memchr(b'\n', &input[seen.min(input.len())..]).is_some() || at_end;
    if !may_be_whole && input.len() < COMMAND_MAX_BYTES {
        return Line::Partial;
    }
    let mut line = Vec::new();
    let mut at = 0;
    while let Some(byte) = input.get(at) {
        if at >= COMMAND_MAX_BYTES {
            return Line::TooLong;
        }
        match (byte, input.get(at + 1)) {
            (b'\n', _) => {
                line.truncate(line.strip_suffix(b"\r").map_or(line.len(), <[u8]>::len));
                return Line::Whole(line, at + 1);
            }
            (&IAC, None) => break,
            (&IAC, Some(&SB)) => match end_of_subnegotiation(&input[at..]) {
                Some(length) => at += length,
                None => break,
            },
            (&IAC, Some(WILL..=DONT)) if input.len() < at + 3 => break,
            (&IAC, Some(WILL..=DONT)) => at += 3,
            (&IAC, Some(241..=249)) => at += 2,
            (&IAC, _) => at += 1,
            (byte, _) => {
                line.push(*byte);
                at += 1;
            }
        }
    }
    match at_end && !line.is_empty() {
        true => Line::Whole(line, input.len()),
        false if input.len() >= COMMAND_MAX_BYTES => Line::TooLong,
        false => Line::Partial,
    }
}

/// Returns the length of `IAC SB … IAC SE`.
fn end_of_subnegotiation(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == [IAC, SE]).map(|at| at + 2)
}

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    List,
    /// The name of the file to send.
    Get(&'a [u8]),
    /// The length of the payload that follows, and the name under which to store it. `None` is a malformed
    /// length.
    Put(Option<u64>, &'a [u8]),
    /// The length, hash and name of an upload to resume. The server replies with the number of bytes that it
    /// has, and the client sends the rest. `None` is a malformed length or hash.
    Resume(Option<(u64, Sha256Digest)>, &'a [u8]),
    /// The name under which to store the lines of text that follow.
    Type(&'a [u8]),
    /// The name of the file whose SHA-256 is requested.
    Hash(&'a [u8]),
    /// The name of the file whose length and modification time are requested.
    Stat(&'a [u8]),
    /// The offset at which the next [`Get`](Command::Get) starts.
    Restart(u64),
    Help,
    Quit,
    /// A line of an HTTP request, which a browser sent to this port.
    Http,
    Unknown,
}

impl<'a> Command<'a> {
    /// Returns whether the command begins an upload.
    pub(super) fn stores(&self) -> bool {
        matches!(self, Command::Put(..) | Command::Resume(..) | Command::Type(_))
    }

    /// Parses a line.
    pub(super) fn parse(line: &'a [u8]) -> Command<'a> {
        if is_http(line) {
            return Command::Http;
        }
        let (word, rest) = match memchr::memchr(b' ', line) {
            Some(space) => (&line[..space], Some(&line[space + 1..])),
            None => (line, None),
        };
        let word = String::from_utf8_lossy(word).to_ascii_uppercase();
        match (word.as_str(), rest) {
            ("L" | LIST, None) => Command::List,
            ("G" | GET, Some(name)) => Command::Get(name),
            ("P", Some(name)) => Command::Type(name),
            (PUT, Some(rest)) => {
                let space = memchr::memchr(b' ', rest).unwrap_or(rest.len());
                Command::Put(number(&rest[..space]), rest.get(space + 1..).unwrap_or_default())
            }
            (PUT, None) => Command::Put(None, b""),
            (RESUME, Some(rest)) => {
                let mut words = rest.splitn(3, |byte| *byte == b' ');
                let length = words.next().and_then(number);
                let sha256 = words.next().and_then(Sha256Digest::parse);
                Command::Resume(length.zip(sha256), words.next().unwrap_or_default())
            }
            (HASH, Some(name)) => Command::Hash(name),
            (STAT, Some(name)) => Command::Stat(name),
            (REST, Some(offset)) => number(offset).map_or(Command::Unknown, Command::Restart),
            ("H" | HELP | "?", None) => Command::Help,
            ("Q" | QUIT, None) => Command::Quit,
            _ => Command::Unknown,
        }
    }
}

/// Parses digits of at most 64 bits.
fn number(digits: &[u8]) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all_digits)?.parse().ok()
}

/// Returns whether a line belongs to an HTTP request. A web page can make a browser send a request to any
/// port, and no part of the request may be executed as a command.
fn is_http(line: &[u8]) -> bool {
    let first = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let version = line.len().checked_sub(b" HTTP/1.x".len()).map(|at| &line[at..]);
    first.eq_ignore_ascii_case(b"POST")
        || line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"Host:"))
        || version.is_some_and(|version| version[..8].eq_ignore_ascii_case(b" HTTP/1."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_extracted_without_telnet_commands() {
        let whole = |line: &str, length| Line::Whole(line.into(), length);
        let table: &[(&[u8], Line)] = &[
            (b"L\nG", whole("L", 2)),
            (b"L\r\n", whole("L", 3)),
            (b"\n", whole("", 1)),
            (b"a\rb\n", whole("a\rb", 4)),
            (b"L", Line::Partial),
            (b"", Line::Partial),
            (b"\xff\xfd\x01L\n", whole("L", 5)),
            (b"\xff\xf4\xff\xfbL", Line::Partial),
            (b"L\xff\xf1\n", whole("L", 4)),
            (b"\xff\xfa\x18\n\xff\xf0L\n", whole("L", 8)),
            (b"\xff\xfa\x18\n", Line::Partial),
            (b"\xffL\n", whole("L", 3)),
            (b"\xff\xff\xf1L\n", whole("L", 5)),
            (b"\xff", Line::Partial),
        ];
        for (input, line) in table {
            assert_eq!(take_line(input, 0, false), *line, "{input:?}");
            // The beginning of a line must not be taken for another line.
            for cut in 0..input.len() {
                let begun = take_line(&input[..cut], 0, false);
                assert!(begun == Line::Partial || begun == *line, "{input:?} cut at {cut}: {begun:?}");
            }
        }
        assert_eq!(take_line(b"L", 0, true), whole("L", 1));
        assert_eq!(take_line(&[b'x'; COMMAND_MAX_BYTES], 0, false), Line::TooLong);
        let longest = [vec![b'x'; COMMAND_MAX_BYTES - 1], b"\n".to_vec()].concat();
        assert!(matches!(take_line(&longest, 0, false), Line::Whole(..)));
    }

    #[test]
    fn command_lines_are_parsed() {
        for (line, command) in [
            ("L", Command::List),
            ("list", Command::List),
            ("L x", Command::Unknown),
            ("G a b ", Command::Get(b"a b ")),
            ("get  a", Command::Get(b" a")),
            ("G", Command::Unknown),
            ("PUT 5 a b", Command::Put(Some(5), b"a b")),
            ("PUT 5", Command::Put(Some(5), b"")),
            ("PUT x a", Command::Put(None, b"a")),
            ("PUT -5 a", Command::Put(None, b"a")),
            ("PUT 99999999999999999999 a", Command::Put(None, b"a")),
            ("PUT", Command::Put(None, b"")),
            ("p a", Command::Type(b"a")),
            ("STAT a", Command::Stat(b"a")),
            ("REST 7", Command::Restart(7)),
            ("REST x", Command::Unknown),
            ("?", Command::Help),
            ("quit", Command::Quit),
            ("", Command::Unknown),
            ("GET / HTTP/1.1", Command::Http),
            ("POST /", Command::Http),
            ("post", Command::Http),
            ("Host: x", Command::Http),
            ("host:x", Command::Http),
            ("G notes on HTTP/1.1", Command::Http),
            ("G HTTP", Command::Get(b"HTTP")),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), command, "{line:?}");
        }
    }
}
