//! Bodies that are stored: what comes for the library.

use super::body::BodyDecoder;
use super::encode::CONTINUE;
use super::exchange::{Exchange, FailedRequest, refuse, send};
use super::head::{Head, OwnedHead};
use crate::close_reason::CloseReason;
use crate::outbox::Outbox;
use crate::protocol::http::handlers::{self, UploadSink};
use crate::protocol::http::semantics::HttpError;
use crate::services::Context;

/// A body that is being stored.
#[derive(Debug)]
pub(super) struct UploadInProgress {
    head: OwnedHead,
    body: BodyDecoder,
    sink: UploadSink,
}

/// What came of a piece of a body.
#[derive(Debug)]
pub(super) enum UploadProgress {
    /// More is to come.
    Pending(Box<UploadInProgress>),
    /// The request was answered.
    Answered(Exchange),
}

impl UploadInProgress {
    /// Begins to store the body of a request, if it is one that may be stored.
    #[inline(never)]
    pub(super) fn begin(
        head: &Head<'_>,
        out: &mut Outbox,
        cx: &mut Context<'_>,
    ) -> Option<Box<UploadInProgress>> {
        let sink = handlers::accept_upload(&head.request, cx)?;
        if head.expects_continue {
            out.write(|bytes| bytes.extend_from_slice(CONTINUE));
        }
        Some(Box::new(UploadInProgress { head: head.into(), body: BodyDecoder::new(head.framing), sink }))
    }

    /// Whether what came before has to be [hashed](UploadInProgress::verify) before more is taken.
    pub(super) fn is_verifying(&self) -> bool {
        self.sink.is_rehashing()
    }

    /// Hashes a slice of what came before.
    pub(super) fn verify(&mut self) -> Result<(), HttpError> {
        self.sink.rehash()
    }

    /// Whether no byte of the body is to come: then no input will end it.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.body, BodyDecoder::Length(0))
    }

    /// How many bytes of it are sure to come.
    pub(super) fn expected(&self) -> usize {
        self.body.expected()
    }

    /// Stores what of `input` belongs to the body. At its end the request is answered. Returns how many
    /// bytes it took.
    #[inline(never)]
    pub(super) fn receive(
        mut self: Box<Self>,
        input: &[u8],
        out: &mut Outbox,
        cx: &mut Context<'_>,
    ) -> (usize, UploadProgress) {
        let UploadInProgress { body, sink, .. } = &mut *self;
        let mut stored = Ok(());
        let taken = body.take(input, |bytes| {
            if stored.is_ok() {
                stored = sink.take(bytes, cx);
            }
        });
        let taken = match taken {
            Ok(taken) if !taken.done && stored.is_ok() => {
                return (taken.consumed, UploadProgress::Pending(self));
            }
            Ok(taken) => taken,
            Err(error) => {
                let close = self.refuse(error, out, cx);
                return (0, UploadProgress::Answered(Exchange::Done(Some(close))));
            }
        };
        let UploadInProgress { head, sink, .. } = *self;
        let head = head.borrow();
        let response = sink.finish(stored, &head.request, cx);
        // A body that is refused in the middle is not read to its end.
        let early_close = (!taken.done).then_some(CloseReason::BodyUnwanted);
        (taken.consumed, UploadProgress::Answered(send(response, &head, early_close, out, cx)))
    }

    /// Gives the upload up and tells its sender why.
    pub(super) fn refuse(&self, error: HttpError, out: &mut Outbox, cx: &mut Context<'_>) -> CloseReason {
        refuse(error, FailedRequest::from(&self.head.borrow()), out, cx)
    }
}
