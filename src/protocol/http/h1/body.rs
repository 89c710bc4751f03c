//! Bodies on their way in: by length, or in chunks (RFC 9112 sections 6 and 7.1).

use super::chunked::Chunked;
use super::framing::Framing;
use super::taken::{Taken, take_length};
use crate::limits::TURN_READ_BYTES;
use crate::protocol::http::semantics::HttpError;

/// A body that is being received.
#[derive(Debug)]
pub(super) enum BodyDecoder {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks are to come.
    Chunked(Chunked),
}

impl BodyDecoder {
    /// A body that begins.
    pub(super) fn new(framing: Framing) -> BodyDecoder {
        match framing {
            Framing::Length(length) => BodyDecoder::Length(length),
            Framing::Chunked => BodyDecoder::Chunked(Chunked::default()),
        }
    }

    /// How many bytes are sure to come, as far as one turn can take them.
    pub(super) fn expected(&self) -> usize {
        let left = match self {
            BodyDecoder::Length(left) => *left,
            BodyDecoder::Chunked(chunked) => chunked.left_in_chunk(),
        };
        usize::try_from(left).unwrap_or(usize::MAX).min(TURN_READ_BYTES)
    }

    /// Takes from `input` what belongs to the body and gives its content, piece by piece, to
    /// `content`.
    pub(super) fn take(&mut self, input: &[u8], content: impl FnMut(&[u8])) -> Result<Taken, HttpError> {
        match self {
            BodyDecoder::Length(left) => Ok(take_length(left, input, content)),
            BodyDecoder::Chunked(chunked) => chunked.take(input, content),
        }
    }
}
