//! Request bodies that are stored in the library.

use super::body::BodyDecoder;
use super::discard::DiscardedBody;
use super::encode::CONTINUE;
use super::exchange::{Exchange, FailedRequest, refuse, send};
use super::head::{OwnedHead, ReceivedHead};
use crate::close_reason::CloseReason;
use crate::outbox::Outbox;
use crate::protocol::http::handlers::{self, Acceptance, UploadSink};
use crate::protocol::http::semantics::{HttpError, Outcome};
use crate::services::Context;

/// A body that is being stored.
#[derive(Debug)]
pub(super) struct UploadInProgress {
    head: OwnedHead,
    body: BodyDecoder,
    sink: UploadSink,
}

/// The state of an upload after a piece of its body.
#[derive(Debug)]
pub(super) enum UploadProgress {
    /// More bytes of the body are expected.
    Pending(Box<UploadInProgress>),
    /// The upload has failed. The rest of its body is dropped before the request is answered.
    Failed(DiscardedBody),
    /// The upload has ended, and the request was answered.
    Complete(Exchange),
}

/// What becomes of the body of a request.
#[derive(Debug)]
pub(super) enum Begun {
    /// It is stored.
    Upload(Box<UploadInProgress>),
    /// There is none, because the upload repeats one whose file is stored.
    Repeated(Exchange),
    /// There is none, and whether the file is stored is not known yet: begin again in the next turn.
    Pending,
    /// It is not stored. If the request is an upload, it is refused with the error.
    Discarded(Option<HttpError>),
}

impl UploadInProgress {
    /// Begins to store the body of a request.
    #[inline(never)]
    pub(super) fn begin(head: &ReceivedHead<'_>, out: &mut Outbox, cx: &mut Context<'_>) -> Begun {
        let sink = match handlers::accept_upload(&head.request, cx) {
            Ok(Some(Acceptance::Sink(sink))) => sink,
            Ok(Some(Acceptance::Repeated(Outcome::Pending))) => return Begun::Pending,
            Ok(Some(Acceptance::Repeated(Outcome::Handled(response)))) => {
                return Begun::Repeated(send(response, head, None, out, cx));
            }
            Ok(None) => return Begun::Discarded(None),
            Err(error) => return Begun::Discarded(Some(error)),
        };
        if head.expects_continue {
            out.write(|bytes| bytes.extend_from_slice(CONTINUE));
        }
        let body = BodyDecoder::new(head.framing);
        Begun::Upload(Box::new(UploadInProgress { head: head.into(), body, sink }))
    }

    /// Returns whether the part that is already stored must be [hashed](UploadInProgress::verify) before the
    /// body is read.
    pub(super) fn is_verifying(&self) -> bool {
        self.sink.is_rehashing()
    }

    /// Hashes a slice of the part that is already stored.
    pub(super) fn verify(&mut self) -> Result<(), HttpError> {
        self.sink.rehash()
    }

    /// Returns whether no bytes of the body are left, so that the upload completes without further input.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.body, BodyDecoder::Length(0))
    }

    /// Returns the number of bytes that are sure to follow.
    pub(super) fn expected(&self) -> usize {
        self.body.expected()
    }

    /// Stores the bytes at the beginning of `input` that belong to the body, and responds to the request at
    /// the body's end. Returns the number of bytes consumed.
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
                return (0, UploadProgress::Complete(Exchange::Done(Some(close))));
            }
        };
        let UploadInProgress { head, body, sink } = *self;
        // A form reports its files, and the client of a resumable upload may continue elsewhere: those close.
        if let (false, UploadSink::File(_), Err(error)) = (taken.done, &sink, stored) {
            return (taken.consumed, UploadProgress::Failed(DiscardedBody::rest(body, head, error)));
        }
        let head = head.borrow();
        let response = sink.finish(stored, &head.request, cx);
        // After an error the rest of the body is not read.
        let early_close = (!taken.done).then_some(CloseReason::BodyUnread);
        (taken.consumed, UploadProgress::Complete(send(response, &head, early_close, out, cx)))
    }

    /// Responds with an error to an upload that is abandoned.
    pub(super) fn refuse(&self, error: HttpError, out: &mut Outbox, cx: &mut Context<'_>) -> CloseReason {
        refuse(error, FailedRequest::from(&self.head.borrow()), out, cx)
    }
}
