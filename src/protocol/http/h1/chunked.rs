//! The decoder of the chunked coding (RFC 9112 section 7.1).

use super::taken::{Taken, take_length};
use crate::limits::{CHUNK_LINE_MAX_BYTES, TRAILER_MAX_BYTES};
use crate::protocol::http::semantics::HttpError;
use crate::protocol::http::semantics::grammar::{hex, is_text, is_token};

/// The decoder of the chunked coding. Lines end with CRLF and nothing else: what one parser takes
/// for a line's end and another does not is how requests are smuggled.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// The chunk's size so far, then what is left of its content.
    left: u64,
    /// Bytes of the current chunk line, then of the trailer section.
    line: usize,
}

/// Where the decoder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// Behind a digit.
    Digits,
    /// In white space behind the size, which only an extension may follow.
    Space,
    /// In an extension, which means nothing to us.
    Extension,
    /// Behind the CR of a size line.
    SizeEnd,
    /// In a chunk's content.
    Content,
    /// Behind the content, where CR must come.
    ContentEnd,
    /// Behind that CR.
    ContentEndLf,
    /// State the beginning of a trailer line, or of the empty line that ends the body.
    Trailer,
    /// In a trailer field's name.
    TrailerName,
    /// In its value.
    TrailerValue,
    /// Behind the CR of a trailer line.
    TrailerEnd,
    /// Behind the CR of the last line.
    LastLf,
    /// Behind the body.
    Done,
}

impl Chunked {
    /// How many bytes of the current chunk are still to come.
    pub(super) fn left_in_chunk(&self) -> u64 {
        if self.state == State::Content { self.left } else { 0 }
    }

    /// Takes from `input` what belongs to the body and gives its content, piece by piece, to `content`.
    pub(super) fn take(&mut self, input: &[u8], mut content: impl FnMut(&[u8])) -> Result<Taken, HttpError> {
        let mut consumed = 0;
        while self.state != State::Done && consumed < input.len() {
            if self.state == State::Content {
                let taken = take_length(&mut self.left, &input[consumed..], &mut content);
                consumed += taken.consumed;
                if taken.done {
                    self.state = State::ContentEnd;
                }
            } else {
                self.state = self.step(input[consumed])?;
                consumed += 1;
            }
        }
        Ok(Taken { consumed, done: self.state == State::Done })
    }

    /// Takes one byte of a line.
    fn step(&mut self, byte: u8) -> Result<State, HttpError> {
        self.count()?;
        match (self.state, byte) {
            (State::Size | State::Digits, digit) if hex(digit).is_some() => {
                let value = u64::from(hex(digit).unwrap_or(0));
                self.left =
                    self.left.checked_mul(16).and_then(|size| size.checked_add(value)).ok_or(TOO_LONG)?;
                Ok(State::Digits)
            }
            (State::Digits | State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Digits | State::Space, b' ' | b'\t') => Ok(State::Space),
            (State::Digits | State::Space, b';') => Ok(State::Extension),
            (State::Extension, byte) if is_text(byte) => Ok(State::Extension),
            (State::SizeEnd, b'\n') => {
                self.line = 0;
                Ok(if self.left == 0 { State::Trailer } else { State::Content })
            }
            (State::ContentEnd, b'\r') => Ok(State::ContentEndLf),
            (State::ContentEndLf, b'\n') => Ok(State::Size),
            (State::Trailer, b'\r') => Ok(State::LastLf),
            (State::Trailer | State::TrailerName, byte) if is_token(byte) => Ok(State::TrailerName),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerValue, byte) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerEnd, b'\n') => Ok(State::Trailer),
            (State::LastLf, b'\n') => Ok(State::Done),
            _ => Err(HttpError::bad_request("The chunked body is malformed")),
        }
    }

    /// Bounds the size line, and the trailer section as a whole.
    fn count(&mut self) -> Result<(), HttpError> {
        if matches!(self.state, State::ContentEnd | State::ContentEndLf) {
            self.line = 0;
            return Ok(());
        }
        self.line += 1;
        let limit = match self.state {
            State::Trailer | State::TrailerName | State::TrailerValue | State::TrailerEnd | State::LastLf => {
                TRAILER_MAX_BYTES
            }
            _ => CHUNK_LINE_MAX_BYTES,
        };
        if self.line > limit { Err(TOO_LONG) } else { Ok(()) }
    }
}

const TOO_LONG: HttpError = HttpError::bad_request("A line of the chunked body is too long");

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in pieces of `step` bytes: the content and how many bytes were the body's,
    /// if it ended.
    fn decode(input: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
        let mut body = Chunked::default();
        let mut content = Vec::new();
        let mut consumed = 0;
        for piece in input.chunks(step) {
            let taken = body.take(piece, |bytes| content.extend_from_slice(bytes))?;
            consumed += taken.consumed;
            if taken.done {
                return Ok(Some((content, consumed)));
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_cut_anywhere_give_the_same_content() {
        let cases: &[(&str, &str)] = &[
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("5\r\nhello\r\n006\r\n world\r\n000\r\n\r\n", "hello world"),
            ("A;x=y;z=\"q;\"\r\n0123456789\r\n0 ;end\r\nTrailer: value\r\nB:\r\n\r\n", "0123456789"),
            ("00000000000000000000a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ];
        for (input, content) in cases {
            let whole = format!("{input}GET");
            for step in 1..=whole.len() {
                let expected = Some((content.as_bytes().to_vec(), input.len()));
                assert_eq!(decode(whole.as_bytes(), step), Ok(expected), "{input:?} by {step}");
            }
            for end in 0..input.len() {
                assert_eq!(decode(&input.as_bytes()[..end], 3), Ok(None), "{input:?} ends at {end}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let cases: &[&str] = &[
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+5\r\nhello\r\n",
            "0x5\r\n",
            " 5\r\n",
            "5 \r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhello\n",
            "5\r\nhello0\r\n",
            "5\r\nhello\r\r\n",
            "5\rhello",
            "5;a\nhello",
            "5;\0\r\n",
            "5;a\rb\r\n",
            "10000000000000000\r\n",
            "fffffffffffffffff\r\n",
            "0\r\n\n",
            "0\r\n x\r\n",
            "0\r\n: x\r\n",
            "0\r\na b: c\r\n",
            "0\r\na: b\n\r\n",
            "0\r\na: \0\r\n",
            "0\r\na: b\r\r\n",
            "0\r\nab\r\n",
            "0\r\n\rx",
        ];
        for input in cases {
            for step in 1..=input.len() {
                assert!(decode(input.as_bytes(), step).is_err(), "{input:?} by {step}");
            }
        }
    }

    #[test]
    fn lines_are_bounded() {
        for input in [
            format!("{}5\r\n", "0".repeat(2000)),
            format!("5;{}\r\n", "x".repeat(2000)),
            format!("0\r\n{}\r\n", "a: b\r\n".repeat(2000)),
            format!("0\r\na: {}\r\n\r\n", "b".repeat(9000)),
        ] {
            assert_eq!(decode(input.as_bytes(), 7), Err(TOO_LONG));
        }
        let many = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(5000));
        assert_eq!(decode(many.as_bytes(), 11), Ok(Some((vec![b'x'; 5000], many.len()))));
    }
}
