//! The decoder for the chunked transfer coding (RFC 9112 section 7.1).

use super::consumed::{Consumed, take_length};
use crate::limits::{CHUNK_LINE_MAX_BYTES, TRAILER_MAX_BYTES};
use crate::protocol::http::semantics::HttpError;
use crate::protocol::http::semantics::grammar::{hex, is_text, is_token};

/// The decoder of one chunked body. Lines must end with CRLF, because request smuggling exploits parsers that
/// disagree about the ends of lines.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// The size of the chunk while its size line is read, then the number of content bytes left.
    left: u64,
    /// The number of bytes read of the current size line, or of the trailer section.
    line: usize,
}

/// The position of the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// After a digit of a size.
    Digits,
    /// In white space after a size, which only an extension may follow.
    Space,
    /// In a chunk extension, which is ignored.
    Extension,
    /// After the CR of a size line.
    SizeEnd,
    /// In the content of a chunk.
    Content,
    /// After the content of a chunk, before the CR.
    ContentEnd,
    /// After the content of a chunk, between CR and LF.
    ContentEndLf,
    /// At the beginning of a trailer line, or of the empty line that ends the body.
    Trailer,
    /// In the name of a trailer field.
    TrailerName,
    /// In the value of a trailer field.
    TrailerValue,
    /// After the CR of a trailer line.
    TrailerEnd,
    /// After the CR of the empty line that ends the body.
    LastLf,
    /// After the body.
    Done,
}

impl Chunked {
    /// Returns the number of content bytes left in the current chunk.
    pub(super) fn left_in_chunk(&self) -> u64 {
        if self.state == State::Content { self.left } else { 0 }
    }

    /// Reads the bytes at the beginning of `input` that belong to the body, and passes its content to
    /// `content` piece by piece.
    pub(super) fn take(
        &mut self,
        input: &[u8],
        mut content: impl FnMut(&[u8]),
    ) -> Result<Consumed, HttpError> {
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
        Ok(Consumed { consumed, done: self.state == State::Done })
    }

    /// Processes one byte outside of a chunk's content, and returns the next state.
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

    /// Counts a byte against the limit of the size line, or of the trailer section as a whole.
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

    /// Feeds `input` in pieces of `step` bytes. Returns the content and the number of bytes that belong to
    /// the body, or `None` if the body is incomplete.
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
    fn content_does_not_depend_on_where_the_input_is_cut() {
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
    fn malformed_chunked_bodies_are_rejected() {
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
    fn size_lines_and_trailers_are_bounded() {
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
