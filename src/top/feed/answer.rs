//! An HTTP response that arrives in pieces: its head, and the decoded bytes of its body.

use httparse::{EMPTY_HEADER, Response, Status};

/// An answer with a longer head is not one of evserve.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The most header fields of a head.
const FIELDS_MAX: usize = 64;

/// The longest line of a chunk's size, or of a trailer.
const LINE_BYTES_MAX: usize = 4 << 10;

/// Why an answer cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadAnswer(pub(super) &'static str);

/// A response, as far as it has arrived.
#[derive(Debug)]
pub(super) struct Answer {
    /// Received bytes that are not decoded yet.
    unread: Vec<u8>,
    part: AnswerPart,
    /// 0 until the head is complete.
    status: u16,
    /// Whether the connection may be used for another request.
    is_kept: bool,
    is_event_stream: bool,
}

/// The part of an answer that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerPart {
    Head,
    /// The rest of a body with this many bytes.
    Sized(u64),
    /// A body that the end of the connection ends.
    UntilEnd,
    ChunkSize,
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// A line of the trailer; an empty one ends the body.
    Trailer,
    Complete,
}

impl Answer {
    pub(super) fn new() -> Answer {
        Answer {
            unread: Vec::new(),
            part: AnswerPart::Head,
            status: 0,
            is_kept: false,
            is_event_stream: false,
        }
    }

    /// Returns the status, once the head is complete.
    pub(super) fn status(&self) -> Option<u16> {
        (self.status > 0).then_some(self.status)
    }

    pub(super) fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }

    pub(super) fn is_complete(&self) -> bool {
        self.part == AnswerPart::Complete
    }

    /// Returns whether another request may be sent on the connection.
    pub(super) fn is_reusable(&self) -> bool {
        self.is_complete() && self.is_kept && self.unread.is_empty()
    }

    /// Returns whether no byte has arrived.
    pub(super) fn is_blank(&self) -> bool {
        self.status == 0 && self.unread.is_empty()
    }

    /// Takes received bytes, and adds the bytes of the body to `body`.
    pub(super) fn take(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<(), BadAnswer> {
        self.unread.extend_from_slice(bytes);
        while self.step(body)? {}
        Ok(())
    }

    /// Takes the end of the connection. Returns whether the answer is complete.
    pub(super) fn end(&mut self) -> bool {
        if self.part == AnswerPart::UntilEnd {
            self.part = AnswerPart::Complete;
        }
        self.is_complete()
    }

    /// Decodes the next part. Returns whether another call can decode more.
    fn step(&mut self, body: &mut Vec<u8>) -> Result<bool, BadAnswer> {
        match self.part {
            AnswerPart::Head => return self.read_head(),
            AnswerPart::Sized(left) => {
                self.part = match self.move_to(body, left) {
                    0 => AnswerPart::Complete,
                    left => AnswerPart::Sized(left),
                };
                return Ok(false);
            }
            AnswerPart::UntilEnd => body.append(&mut self.unread),
            AnswerPart::ChunkSize => match httparse::parse_chunk_size(&self.unread) {
                Ok(Status::Complete((end, size))) => {
                    self.unread.drain(..end);
                    self.part = if size == 0 { AnswerPart::Trailer } else { AnswerPart::Chunk(size) };
                    return Ok(true);
                }
                Ok(Status::Partial) if self.unread.len() < LINE_BYTES_MAX => {}
                _ => return Err(BadAnswer("a chunk of its answer is malformed")),
            },
            AnswerPart::Chunk(left) => {
                let left = self.move_to(body, left);
                self.part = if left == 0 { AnswerPart::ChunkEnd } else { AnswerPart::Chunk(left) };
                return Ok(left == 0);
            }
            AnswerPart::ChunkEnd => match self.line()? {
                Some(0) => {
                    self.part = AnswerPart::ChunkSize;
                    return Ok(true);
                }
                Some(_) => return Err(BadAnswer("a chunk of its answer is malformed")),
                None => {}
            },
            AnswerPart::Trailer => {
                if let Some(length) = self.line()? {
                    self.part = if length == 0 { AnswerPart::Complete } else { AnswerPart::Trailer };
                    return Ok(length > 0);
                }
            }
            AnswerPart::Complete => {}
        }
        Ok(false)
    }

    /// Moves at most `left` bytes to the body. Returns how many are left.
    fn move_to(&mut self, body: &mut Vec<u8>, left: u64) -> u64 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.unread.len());
        body.extend(self.unread.drain(..count));
        left - count as u64
    }

    /// Removes a line, and returns its length without the line end.
    fn line(&mut self) -> Result<Option<usize>, BadAnswer> {
        let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') else {
            let is_long = self.unread.len() > LINE_BYTES_MAX;
            return if is_long { Err(BadAnswer("a line of its answer is too long")) } else { Ok(None) };
        };
        let line: Vec<u8> = self.unread.drain(..=end).collect();
        Ok(Some(line.trim_ascii_end().len()))
    }

    fn read_head(&mut self) -> Result<bool, BadAnswer> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = Response::new(&mut fields);
        let end = match response.parse(&self.unread) {
            Ok(Status::Complete(end)) => end,
            Ok(Status::Partial) if self.unread.len() < HEAD_BYTES_MAX => return Ok(false),
            _ => return Err(BadAnswer("it does not answer in HTTP")),
        };
        let status = response.code.unwrap_or_default();
        let is_kept_by_default = response.version == Some(1);
        // An interim response, which the real one follows.
        if (102..200).contains(&status) || status == 100 {
            self.unread.drain(..end);
            return Ok(true);
        }
        let (mut part, mut is_kept, mut is_event_stream) = (AnswerPart::UntilEnd, is_kept_by_default, false);
        for field in response.headers.iter() {
            let value = field.value.trim_ascii();
            if field.name.eq_ignore_ascii_case("transfer-encoding") {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadAnswer("its answer has an unknown coding"));
                }
                part = AnswerPart::ChunkSize;
            } else if field.name.eq_ignore_ascii_case("content-length") && part != AnswerPart::ChunkSize {
                let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                part = AnswerPart::Sized(length.ok_or(BadAnswer("the length of its answer is malformed"))?);
            } else if field.name.eq_ignore_ascii_case("connection") {
                is_kept &= !value.to_ascii_lowercase().windows(5).any(|word| word == b"close");
            } else if field.name.eq_ignore_ascii_case("content-type") {
                is_event_stream = value.to_ascii_lowercase().starts_with(b"text/event-stream");
            }
        }
        if matches!(status, 204 | 304) {
            part = AnswerPart::Sized(0);
        }
        self.is_kept = is_kept && part != AnswerPart::UntilEnd;
        (self.part, self.status, self.is_event_stream) = (part, status, is_event_stream);
        self.unread.drain(..end);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns status, body and whether the answer is complete, after `bytes` in pieces of `size`, then maybe EOF.
    fn read(bytes: &[u8], size: usize, ends: bool) -> Result<(Option<u16>, Vec<u8>, bool), BadAnswer> {
        let (mut answer, mut body) = (Answer::new(), Vec::new());
        for piece in bytes.chunks(size) {
            answer.take(piece, &mut body)?;
        }
        let is_complete = if ends { answer.end() } else { answer.is_complete() };
        Ok((answer.status(), body, is_complete))
    }

    #[test]
    fn answers_are_the_same_however_they_are_cut() {
        for (text, ends) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n",
                false,
            ),
            ("HTTP/1.0 200 OK\r\n\r\nhello", true),
            (
                "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                false,
            ),
        ] {
            for size in 1..=text.len() {
                let expected = Ok((Some(200), b"hello".to_vec(), true));
                assert_eq!(read(text.as_bytes(), size, ends), expected, "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_cut_answer_is_not_complete() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\n",
            "",
        ] {
            assert!(matches!(read(text.as_bytes(), 7, true), Ok((_, _, false))), "{text:?}");
        }
    }

    #[test]
    fn garbage_is_an_error_and_bounded() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".into(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n".into(),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}", "a".repeat(5_000)),
            format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(20_000)),
        ] {
            for size in [1, 1000] {
                assert!(read(text.as_bytes(), size, false).is_err(), "{:?}", &text[..20]);
            }
        }
    }

    #[test]
    fn a_connection_is_reused_only_after_a_whole_answer_without_close() {
        for (head, body, is_reusable) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "o", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "okk", false),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n", "ok", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", "ok", false),
        ] {
            let mut answer = Answer::new();
            answer.take(format!("{head}{body}").as_bytes(), &mut Vec::new()).expect("an answer");
            assert_eq!(answer.is_reusable(), is_reusable, "{head}{body}");
        }
    }
}
