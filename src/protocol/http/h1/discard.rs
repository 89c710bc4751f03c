//! Request bodies that no handler uses, and the requests that wait for their end.

use super::body::BodyDecoder;
use super::head::{OwnedHead, ReceivedHead};
use crate::limits::DISCARDED_BODY_MAX_BYTES;
use crate::protocol::http::semantics::HttpError;

/// A body that is read and dropped.
#[derive(Debug)]
pub(super) struct DiscardedBody {
    body: BodyDecoder,
    read: u64,
    /// The request, until it is handled. That happens at the body's end, so that a malformed body is refused,
    /// or when the body pauses.
    head: Option<Box<OwnedHead>>,
    /// The error with which the request is refused then, if it is an upload that could not begin, or failed.
    error: Option<HttpError>,
}

/// How much of a body was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyProgress {
    /// More bytes of the body are expected.
    Pending,
    /// The body was read to its end.
    Complete,
    /// The body exceeds [`DISCARDED_BODY_MAX_BYTES`].
    OverLimit,
}

impl DiscardedBody {
    pub(super) fn new(head: &ReceivedHead<'_>, error: Option<HttpError>) -> DiscardedBody {
        let body = BodyDecoder::new(head.framing);
        DiscardedBody { body, read: 0, head: Some(Box::new(head.into())), error }
    }

    /// Drops what is left of the body of an upload that failed.
    pub(super) fn rest(body: BodyDecoder, head: OwnedHead, error: HttpError) -> DiscardedBody {
        DiscardedBody { body, read: 0, head: Some(Box::new(head)), error: Some(error) }
    }

    /// Drops the bytes at the beginning of `input` that belong to the body. Returns their number and the
    /// body's progress.
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

    /// Returns the number of bytes that are sure to follow.
    pub(super) fn expected(&self) -> usize {
        self.body.expected()
    }

    /// Returns whether the body is sure to end within the limit.
    pub(super) fn is_bounded(&self) -> bool {
        matches!(self.body, BodyDecoder::Length(_))
    }

    /// Returns whether the request was already handled.
    pub(super) fn is_handled(&self) -> bool {
        self.head.is_none()
    }

    /// Returns the error with which the request is refused, if it is.
    pub(super) fn error(&self) -> Option<HttpError> {
        self.error
    }

    /// Returns the waiting request, once: later calls return `None`, and the body is still drained.
    pub(super) fn take_head(&mut self) -> Option<Box<OwnedHead>> {
        self.head.take()
    }
}
