//! Bodies on their way in: by length, or in chunks (RFC 9112 sections 6 and 7.1).

use crate::limits::{CHUNK_LINE_MAX_BYTES, TRAILER_MAX_BYTES, TURN_READ_BYTES};

use super::grammar::{hex, is_text, is_token};
use super::status::Refusal;

/// How a message's body is delimited: the one decision that is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; a request without a body has 0.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Framing {
    /// Bytes of the body, if that is known.
    pub fn length(self) -> Option<u64> {
        match self {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        }
    }
}

/// A body that is being received.
#[derive(Debug)]
pub enum Body {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks are to come.
    Chunked(Chunked),
}

/// What a body took of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of input that belong to it.
    pub consumed: usize,
    /// Whether it ends there.
    pub done: bool,
}

impl Body {
    /// A body that begins.
    pub fn new(framing: Framing) -> Body {
        match framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunked::default()),
        }
    }

    /// How many bytes are sure to come, as far as one turn can take them.
    pub fn expected(&self) -> usize {
        let left = match self {
            Body::Length(left) => *left,
            Body::Chunked(chunked) if chunked.at == At::Content => chunked.left,
            Body::Chunked(_) => 0,
        };
        usize::try_from(left).unwrap_or(usize::MAX).min(TURN_READ_BYTES)
    }

    /// Takes from `input` what belongs to the body and gives its content, piece by piece, to
    /// `content`.
    pub fn take(&mut self, input: &[u8], content: impl FnMut(&[u8])) -> Result<Taken, Refusal> {
        match self {
            Body::Length(left) => Ok(take_length(left, input, content)),
            Body::Chunked(chunked) => chunked.take(input, content),
        }
    }
}

fn take_length(left: &mut u64, input: &[u8], mut content: impl FnMut(&[u8])) -> Taken {
    let consumed = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    content(&input[..consumed]);
    *left -= consumed as u64;
    Taken { consumed, done: *left == 0 }
}

/// The decoder of the chunked coding. Lines end with CRLF and nothing else: what one parser takes
/// for a line's end and another does not is how requests are smuggled.
#[derive(Debug, Default)]
pub struct Chunked {
    at: At,
    /// The chunk's size so far, then what is left of its content.
    left: u64,
    /// Bytes of the current chunk line, then of the trailer section.
    line: usize,
}

/// Where the decoder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
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
    /// At the beginning of a trailer line, or of the empty line that ends the body.
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
    fn take(&mut self, input: &[u8], mut content: impl FnMut(&[u8])) -> Result<Taken, Refusal> {
        let mut consumed = 0;
        while self.at != At::Done && consumed < input.len() {
            if self.at == At::Content {
                let taken = take_length(&mut self.left, &input[consumed..], &mut content);
                consumed += taken.consumed;
                if taken.done {
                    self.at = At::ContentEnd;
                }
            } else {
                self.at = self.step(input[consumed])?;
                consumed += 1;
            }
        }
        Ok(Taken { consumed, done: self.at == At::Done })
    }

    /// Takes one byte of a line.
    fn step(&mut self, byte: u8) -> Result<At, Refusal> {
        self.count()?;
        match (self.at, byte) {
            (At::Size | At::Digits, digit) if hex(digit).is_some() => {
                let value = u64::from(hex(digit).unwrap_or(0));
                self.left =
                    self.left.checked_mul(16).and_then(|size| size.checked_add(value)).ok_or(TOO_LONG)?;
                Ok(At::Digits)
            }
            (At::Digits | At::Extension, b'\r') => Ok(At::SizeEnd),
            (At::Digits | At::Space, b' ' | b'\t') => Ok(At::Space),
            (At::Digits | At::Space, b';') => Ok(At::Extension),
            (At::Extension, byte) if is_text(byte) => Ok(At::Extension),
            (At::SizeEnd, b'\n') => {
                self.line = 0;
                Ok(if self.left == 0 { At::Trailer } else { At::Content })
            }
            (At::ContentEnd, b'\r') => Ok(At::ContentEndLf),
            (At::ContentEndLf, b'\n') => Ok(At::Size),
            (At::Trailer, b'\r') => Ok(At::LastLf),
            (At::Trailer | At::TrailerName, byte) if is_token(byte) => Ok(At::TrailerName),
            (At::TrailerName, b':') => Ok(At::TrailerValue),
            (At::TrailerValue, b'\r') => Ok(At::TrailerEnd),
            (At::TrailerValue, byte) if is_text(byte) => Ok(At::TrailerValue),
            (At::TrailerEnd, b'\n') => Ok(At::Trailer),
            (At::LastLf, b'\n') => Ok(At::Done),
            _ => Err(Refusal::bad("The chunked body is malformed")),
        }
    }

    /// Bounds the size line, and the trailer section as a whole.
    fn count(&mut self) -> Result<(), Refusal> {
        if matches!(self.at, At::ContentEnd | At::ContentEndLf) {
            self.line = 0;
            return Ok(());
        }
        self.line += 1;
        let limit = match self.at {
            At::Trailer | At::TrailerName | At::TrailerValue | At::TrailerEnd | At::LastLf => {
                TRAILER_MAX_BYTES
            }
            _ => CHUNK_LINE_MAX_BYTES,
        };
        if self.line > limit { Err(TOO_LONG) } else { Ok(()) }
    }
}

const TOO_LONG: Refusal = Refusal::bad("A line of the chunked body is too long");

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in pieces of `step` bytes: the content and how many bytes were the body's,
    /// if it ended.
    fn decode(input: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
        let mut body = Body::new(Framing::Chunked);
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
