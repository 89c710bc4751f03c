//! A body that no handler wants, and the request that waits for its end.

use super::body::BodyDecoder;
use super::head::{Head, OwnedHead};
use crate::limits::DISCARDED_BODY_MAX_BYTES;
use crate::protocol::http::semantics::HttpError;

/// A body that is being read and thrown away.
#[derive(Debug)]
pub(super) struct DiscardedBody {
    body: BodyDecoder,
    read: u64,
    /// The request. It is handled at the body's end, so that a malformed body is refused, or when the body
    /// pauses. None: it was handled.
    head: Option<Box<OwnedHead>>,
}

/// How far a body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyProgress {
    /// More of it is to come.
    Pending,
    /// To its end.
    Complete,
    /// Further than it is worth reading.
    OverLimit,
}

impl DiscardedBody {
    /// The body of the request with this head.
    pub(super) fn new(head: &Head<'_>) -> DiscardedBody {
        DiscardedBody { body: BodyDecoder::new(head.framing), read: 0, head: Some(Box::new(head.into())) }
    }

    /// Takes from `input` what belongs to the body: so many bytes, and how far it has come.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<(usize, BodyProgress), HttpError> {
        let taken = self.body.take(input, |_| ())?;
        self.read += taken.consumed as u64;
        let progress = match taken.done {
            _ if self.read > DISCARDED_BODY_MAX_BYTES => BodyProgress::OverLimit,
            true => BodyProgress::Complete,
            false => BodyProgress::Pending,
        };
        Ok((taken.consumed, progress))
    }

    /// How many bytes of it are sure to come.
    pub(super) fn expected(&self) -> usize {
        self.body.expected()
    }

    /// Whether it is sure to end within the limit.
    pub(super) fn is_bounded(&self) -> bool {
        matches!(self.body, BodyDecoder::Length(_))
    }

    /// Whether the request was handled.
    pub(super) fn is_handled(&self) -> bool {
        self.head.is_none()
    }

    /// Takes the request, to handle it now.
    pub(super) fn take_head(&mut self) -> Option<Box<OwnedHead>> {
        self.head.take()
    }
}
