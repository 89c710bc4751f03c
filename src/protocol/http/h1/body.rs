//! Request bodies, delimited by a length or by chunks (RFC 9112 sections 6 and 7.1).

use super::chunked::Chunked;
use super::consumed::{Consumed, take_length};
use super::framing::Framing;
use crate::limits::TURN_READ_BYTES;
use crate::protocol::http::semantics::HttpError;

/// A body that is being received.
#[derive(Debug)]
pub(super) enum BodyDecoder {
    /// The number of bytes still to be received.
    Length(u64),
    Chunked(Chunked),
}

impl BodyDecoder {
    pub(super) fn new(framing: Framing) -> BodyDecoder {
        match framing {
            Framing::Length(length) => BodyDecoder::Length(length),
            Framing::Chunked => BodyDecoder::Chunked(Chunked::default()),
        }
    }

    /// Returns the number of bytes that are sure to follow, at most as many as one turn reads.
    pub(super) fn expected(&self) -> usize {
        let left = match self {
            BodyDecoder::Length(left) => *left,
            BodyDecoder::Chunked(chunked) => chunked.left_in_chunk(),
        };
        usize::try_from(left).unwrap_or(usize::MAX).min(TURN_READ_BYTES)
    }

    /// Reads the bytes at the beginning of `input` that belong to the body, and passes its content to
    /// `content` piece by piece.
    pub(super) fn take(&mut self, input: &[u8], content: impl FnMut(&[u8])) -> Result<Consumed, HttpError> {
        match self {
            BodyDecoder::Length(left) => Ok(take_length(left, input, content)),
            BodyDecoder::Chunked(chunked) => chunked.take(input, content),
        }
    }
}
