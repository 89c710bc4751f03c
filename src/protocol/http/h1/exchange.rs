//! A request and its response: sent at once, retried in the next turn, or streamed while it is produced.

use super::access::{LoggedRequest, extend, log, record};
use super::encode::{self, HeadContext};
use super::head::{OwnedHead, ReceivedHead, method_of};
use super::version::{Disposition, Version};
use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::observe::QueuedBytes;
use crate::outbox::Outbox;
use crate::protocol::http::handlers::{self, error_response};
use crate::protocol::http::semantics::{
    Body, Headers, HttpError, Method, NextSlice, Outcome, Request, Response, Status,
};
use crate::services::{Context, Core};
use crate::store::StoreError;

/// A response that takes more than one turn.
#[derive(Debug)]
pub(super) enum PendingResponse {
    /// The request is handled again in the next turn.
    Retry {
        head: OwnedHead,
        /// Why the connection closes after the response, whatever the request says; `None` if it depends on
        /// the request.
        early_close: Option<CloseReason>,
    },
    /// The body is sent while it is produced.
    Stream(ResponseStream),
}

/// A response whose body is sent while it is produced.
#[derive(Debug)]
pub(super) struct ResponseStream {
    /// The request, for the access log and for an error.
    head: OwnedHead,
    response: Response,
    /// Whether the head of the response was sent.
    has_begun: bool,
    /// Whether the body is sent in chunks; otherwise it ends with the connection.
    is_chunked: bool,
    disposition: Disposition,
    pace: Pace,
}

/// When the next slice of a streamed body is produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// In every turn.
    Continuous,
    /// In the next turn: the body is a live one, and its next slice is due.
    Due,
    /// At this time.
    Waiting(Instant),
}

impl Pace {
    /// Returns the pace after a slice that says when the next one follows.
    fn then(self, next: NextSlice) -> Pace {
        match (self, next) {
            (_, NextSlice::At(time)) => Pace::Waiting(time),
            (Pace::Continuous, _) => Pace::Continuous,
            _ => Pace::Due,
        }
    }
}

/// The outcome of a request.
#[derive(Debug)]
pub(super) enum Exchange {
    /// The response is queued. The connection persists, or closes for this reason.
    Done(Option<CloseReason>),
    /// The response continues in the next turn.
    Pending(Box<PendingResponse>),
}

/// A request that is refused. It may be malformed or incomplete.
#[derive(Clone, Copy)]
pub(super) struct FailedRequest<'a> {
    /// What the access log shows of it.
    pub logged: LoggedRequest<'a>,
    /// The method, if it is known.
    pub method: Option<Method>,
    /// The fields that select the format of the error response.
    pub headers: Headers<'a>,
}

impl<'a> FailedRequest<'a> {
    /// Creates a request whose head is at the beginning of `input` and is malformed.
    pub(super) fn malformed(input: &'a [u8], headers: Headers<'a>, begun: Instant) -> FailedRequest<'a> {
        FailedRequest { logged: LoggedRequest { head: input, begun }, method: method_of(input), headers }
    }
}

impl<'a> From<&ReceivedHead<'a>> for FailedRequest<'a> {
    fn from(head: &ReceivedHead<'a>) -> FailedRequest<'a> {
        let Request { method, headers, .. } = head.request;
        FailedRequest { logged: head.into(), method: Some(method), headers }
    }
}

/// Handles a request, or refuses it with an error. If `early_close` is given, the connection closes after the
/// response, whatever the request says.
pub(super) fn respond(
    head: &ReceivedHead<'_>,
    error: Option<HttpError>,
    early_close: Option<CloseReason>,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> Exchange {
    match outcome(head, error, cx) {
        Outcome::Handled(response) => send(response, head, early_close, out, cx),
        Outcome::Pending => retry(head, early_close),
    }
}

/// Handles a request whose body is incomplete. Returns `None` if the response is queued and the rest of the
/// body is read after it. This requires a bounded body, a response that is complete at once and a connection
/// that persists. Otherwise the connection closes after the response.
pub(super) fn respond_early(
    head: &ReceivedHead<'_>,
    error: Option<HttpError>,
    is_bounded: bool,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> Option<Exchange> {
    let early_close = Some(CloseReason::BodyUnread);
    let response = match outcome(head, error, cx) {
        Outcome::Handled(response) => response,
        Outcome::Pending => return Some(retry(head, early_close)),
    };
    let disposition = head.disposition(None, cx.core.is_draining());
    if !is_bounded || response.is_stream() || matches!(disposition, Disposition::Close(_)) {
        return Some(send(response, head, early_close, out, cx));
    }
    write(response, head.into(), head.request.method, disposition, out, cx);
    None
}

fn outcome(head: &ReceivedHead<'_>, error: Option<HttpError>, cx: &mut Context<'_>) -> Outcome {
    match error {
        Some(error) => {
            let headers = &head.request.headers;
            Outcome::Handled(error_response(error, headers, &mut cx.http.site, &cx.core.clock))
        }
        None => handlers::respond(&head.request, cx),
    }
}

/// Schedules a request to be handled again in the next turn.
fn retry(head: &ReceivedHead<'_>, early_close: Option<CloseReason>) -> Exchange {
    Exchange::Pending(Box::new(PendingResponse::Retry { head: head.into(), early_close }))
}

/// Sends the response to a request, or begins to if it is streamed.
pub(super) fn send(
    response: Response,
    head: &ReceivedHead<'_>,
    early_close: Option<CloseReason>,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> Exchange {
    let is_chunked = head.version == Version::Http11;
    let disposition = match head.disposition(early_close, cx.core.is_draining()) {
        Disposition::Close(reason) => Disposition::Close(reason),
        // HTTP/1.0 has no chunks, so only the end of the connection can mark the end of the body.
        _ if response.is_stream() && !is_chunked => Disposition::Close(CloseReason::ServerClosed),
        persistent => persistent,
    };
    if response.is_stream() && head.request.method != Method::Head {
        let stream = ResponseStream {
            head: head.into(),
            response,
            has_begun: false,
            is_chunked,
            disposition,
            pace: Pace::Continuous,
        };
        return Exchange::Pending(Box::new(PendingResponse::Stream(stream)));
    }
    write(response, head.into(), head.request.method, disposition, out, cx);
    Exchange::Done(disposition.close_reason())
}

/// Queues, counts and logs a response.
fn write(
    response: Response,
    request: LoggedRequest<'_>,
    method: Method,
    disposition: Disposition,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) {
    let head_only = method == Method::Head;
    let (status, before) = (response.status, out.unsent());
    let body = if head_only { 0 } else { response.body.length().unwrap_or(0) };
    encode::write(response, head_only, disposition, HeadContext::of(cx), out);
    let queued = QueuedBytes::whole(body, out.unsent() - before);
    record(request, status, queued, cx);
}

/// Refuses a request. The start of the next request cannot be found, so the connection closes.
pub(super) fn refuse(
    error: HttpError,
    request: FailedRequest<'_>,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> CloseReason {
    let response = error_response(error, &request.headers, &mut cx.http.site, &cx.core.clock);
    let disposition = Disposition::Close(CloseReason::Rejected);
    write(response, request.logged, request.method.unwrap_or(Method::Get), disposition, out, cx);
    CloseReason::Rejected
}

/// Continues a response.
pub(super) fn resume(pending: PendingResponse, out: &mut Outbox, cx: &mut Context<'_>) -> Exchange {
    match pending {
        PendingResponse::Retry { head, early_close } => respond(&head.borrow(), None, early_close, out, cx),
        PendingResponse::Stream(stream) => stream.advance(out, cx),
    }
}

impl PendingResponse {
    /// Returns when the response continues, if that is not in the next turn.
    pub(super) fn resumes_at(&self) -> Option<Instant> {
        match self {
            PendingResponse::Stream(ResponseStream { pace: Pace::Waiting(until), .. }) => Some(*until),
            _ => None,
        }
    }

    /// Returns whether the response is sent as time passes.
    pub(super) fn is_live(&self) -> bool {
        matches!(self, PendingResponse::Stream(stream) if stream.pace != Pace::Continuous)
    }

    /// Continues a live response whose next part is due, unless the client has not received the last one: then the
    /// part is skipped.
    pub(super) fn on_deadline(&mut self, all_sent: bool, core: &Core) {
        let PendingResponse::Stream(stream) = self else { return };
        if let Body::Stream(body) = &mut stream.response.body {
            stream.pace = if all_sent { Pace::Due } else { stream.pace.then(body.skip(core)) };
        }
    }
}

impl ResponseStream {
    /// Sends the next slice.
    fn advance(mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Exchange {
        let mut slice = Vec::new();
        let Body::Stream(body) = &mut self.response.body else {
            return self.end(Some(CloseReason::Failed), cx);
        };
        let next = match body.advance(&mut slice, cx) {
            Ok(next) => next,
            Err(error) => return self.fail(error, out, cx),
        };
        let more = next != NextSlice::None;
        self.pace = self.pace.then(next);
        let (before, begins) = (out.unsent(), !self.has_begun && (!slice.is_empty() || !more));
        if begins {
            self.has_begun = true;
            let fields = body.fields();
            self.response.fields.extend(fields);
            let context = HeadContext::of(cx);
            encode::write_stream_head(&self.response, self.is_chunked, self.disposition, context, out);
        }
        match self.is_chunked {
            _ if !self.has_begun => {}
            // A chunk without bytes would end the body.
            true if slice.is_empty() && more => {}
            true => encode::write_chunk(&slice, !more, out),
            false => out.write(|bytes| bytes.extend_from_slice(&slice)),
        }
        let queued = QueuedBytes { body: slice.len() as u64, total: out.unsent() - before, is_partial: more };
        match begins {
            true => log((&self.head.borrow()).into(), self.response.status, queued, cx),
            false => extend(queued, cx),
        }
        if more {
            return Exchange::Pending(Box::new(PendingResponse::Stream(self)));
        }
        let close = self.disposition.close_reason();
        self.end(close, cx)
    }

    /// Ends a response whose body cannot be produced: with an error if nothing was sent yet, else by closing the
    /// connection. The missing last chunk shows an HTTP/1.1 client that the body is incomplete.
    fn fail(self, error: StoreError, out: &mut Outbox, cx: &mut Context<'_>) -> Exchange {
        log::error!("cannot read the rest of a folder: {error}");
        if self.has_begun {
            // No more of the body follows, so its line need not wait for the end of the connection.
            extend(QueuedBytes::default(), cx);
            return self.end(Some(CloseReason::Failed), cx);
        }
        let error = HttpError::new(Status::InternalServerError, "The folder cannot be read");
        let head = self.head.borrow();
        let Request { headers, method, .. } = &head.request;
        let response = error_response(error, headers, &mut cx.http.site, &cx.core.clock);
        write(response, (&head).into(), *method, self.disposition, out, cx);
        Exchange::Done(self.disposition.close_reason())
    }

    fn end(self, close: Option<CloseReason>, cx: &mut Context<'_>) -> Exchange {
        cx.statistics.requests += 1;
        Exchange::Done(close)
    }
}
