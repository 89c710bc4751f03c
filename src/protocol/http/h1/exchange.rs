//! A request and its response: sent at once, asked for again in the next turn, or sent while it is made.

use super::access::record;
use super::encode::{self, HeadContext};
use super::head::{Head, OwnedHead};
use super::version::{Disposition, Version};
use crate::close_reason::CloseReason;
use crate::outbox::Outbox;
use crate::protocol::http::handlers::{self, error_response};
use crate::protocol::http::semantics::{Body, BodySource, Headers, HttpError, Method, Outcome, Response};
use crate::services::Context;

/// A response that takes more than a turn.
#[derive(Debug)]
pub(super) enum PendingResponse {
    /// The request is handled again in the next turn.
    Retry {
        /// The request.
        head: OwnedHead,
        /// Why the connection is closed after the response whatever the request says, if it is.
        early_close: Option<CloseReason>,
    },
    /// The body is sent while it is made.
    Stream(ResponseStream),
}

/// A body that is sent while it is made.
#[derive(Debug)]
pub(super) struct ResponseStream {
    /// The request, for the log.
    head: OwnedHead,
    status: u16,
    body: Box<dyn BodySource>,
    /// In chunks, or up to the connection's end.
    is_chunked: bool,
    sent: u64,
    /// Why the connection is closed after the response, if it is.
    close: Option<CloseReason>,
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Exchange {
    /// The response is queued; the connection persists, or is closed for this reason.
    Done(Option<CloseReason>),
    /// The response continues in the next turn.
    Pending(Box<PendingResponse>),
}

/// A request that is refused, of which nothing need be sound or whole.
#[derive(Clone, Copy)]
pub(super) struct FailedRequest<'a> {
    /// What came of its head.
    pub bytes: &'a [u8],
    /// Its method, if that is known.
    pub method: Option<Method>,
    /// The fields that say how its sender would like to hear it.
    pub headers: Headers<'a>,
}

impl<'a> FailedRequest<'a> {
    /// A request of which this is known and nothing else.
    pub(super) fn unparsed(bytes: &'a [u8], method: Option<Method>) -> FailedRequest<'a> {
        FailedRequest { bytes, method, headers: Headers::NONE }
    }
}

impl<'a> From<&Head<'a>> for FailedRequest<'a> {
    fn from(head: &Head<'a>) -> FailedRequest<'a> {
        let request = &head.request;
        FailedRequest::unparsed(request.headers.block, Some(request.method))
    }
}

/// Handles a request. `early_close` is why the connection is closed after the response whatever the request
/// says, if it is.
pub(super) fn respond(
    head: &Head<'_>,
    early_close: Option<CloseReason>,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> Exchange {
    match handlers::respond(&head.request, cx) {
        Outcome::Handled(response) => send(response, head, early_close, out, cx),
        Outcome::Pending => retry(head, early_close),
    }
}

/// Handles a request before its body has come. `is_bounded` says that the body is sure to end soon: then it
/// is read on behind the response, and there is no exchange that ends with it. Otherwise the connection is
/// closed.
pub(super) fn respond_early(
    head: &Head<'_>,
    is_bounded: bool,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> Option<Exchange> {
    let early_close = Some(CloseReason::BodyUnwanted);
    let response = match handlers::respond(&head.request, cx) {
        Outcome::Handled(response) => response,
        Outcome::Pending => return Some(retry(head, early_close)),
    };
    let disposition = head.disposition(None, cx.core.is_draining());
    if !is_bounded || response.is_stream() || matches!(disposition, Disposition::Close(_)) {
        return Some(send(response, head, early_close, out, cx));
    }
    write(response, head.request.headers.block, head.request.method, disposition, out, cx);
    None
}

/// Has a request handled again in the next turn.
fn retry(head: &Head<'_>, early_close: Option<CloseReason>) -> Exchange {
    Exchange::Pending(Box::new(PendingResponse::Retry { head: head.into(), early_close }))
}

/// Sends the response to a request, or begins to.
pub(super) fn send(
    response: Response,
    head: &Head<'_>,
    early_close: Option<CloseReason>,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> Exchange {
    let is_chunked = head.version == Version::Http11;
    let disposition = match head.disposition(early_close, cx.core.is_draining()) {
        Disposition::Close(reason) => Disposition::Close(reason),
        // Only the connection's end can tell that of the body.
        _ if response.is_stream() && !is_chunked => Disposition::Close(CloseReason::LastAnswer),
        persistent => persistent,
    };
    let close = if let Disposition::Close(reason) = disposition { Some(reason) } else { None };
    let is_head = head.request.method == Method::Head;
    if response.is_stream() && !is_head {
        let context = HeadContext { rules: &cx.http.site.rules, clock: &cx.core.clock };
        encode::write_stream_head(&response, is_chunked, disposition, context, out);
    }
    match response {
        Response { status, body: Body::Stream(body), .. } if !is_head => {
            let (head, status) = (head.into(), status as u16);
            let stream = ResponseStream { head, status, body, is_chunked, sent: 0, close };
            Exchange::Pending(Box::new(PendingResponse::Stream(stream)))
        }
        response => {
            let bytes = head.request.headers.block;
            write(response, bytes, head.request.method, disposition, out, cx);
            Exchange::Done(close)
        }
    }
}

/// Writes a response, counts and logs it.
fn write(
    response: Response,
    request: &[u8],
    method: Method,
    disposition: Disposition,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) {
    let head_only = method == Method::Head;
    let bytes = if head_only { 0 } else { response.body.length().unwrap_or(0) };
    record(request, response.status as u16, bytes, cx);
    let context = HeadContext { rules: &cx.http.site.rules, clock: &cx.core.clock };
    encode::write(response, head_only, disposition, context, out);
}

/// Refuses a request. What follows it cannot be told from requests, so the connection is closed.
pub(super) fn refuse(
    error: HttpError,
    request: FailedRequest<'_>,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> CloseReason {
    let response = error_response(error, &request.headers, &mut cx.http.site, &cx.core.clock);
    let disposition = Disposition::Close(CloseReason::Refused);
    write(response, request.bytes, request.method.unwrap_or(Method::Get), disposition, out, cx);
    CloseReason::Refused
}

/// Continues with a response.
pub(super) fn resume(pending: PendingResponse, out: &mut Outbox, cx: &mut Context<'_>) -> Exchange {
    match pending {
        PendingResponse::Retry { head, early_close } => respond(&head.borrow(), early_close, out, cx),
        PendingResponse::Stream(stream) => stream.advance(out, cx),
    }
}

impl ResponseStream {
    /// Sends the next slice.
    fn advance(mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Exchange {
        let mut slice = Vec::new();
        let more = match self.body.advance(&mut slice) {
            Ok(more) => more,
            Err(error) => {
                // Without the end of the last chunk the client sees that it is not whole.
                log::error!("cannot go on reading a folder: {error}");
                return self.end(Some(CloseReason::Failed), cx);
            }
        };
        self.sent += slice.len() as u64;
        match self.is_chunked {
            true => encode::write_chunk(&slice, !more, out),
            false => out.write(|bytes| bytes.extend_from_slice(&slice)),
        }
        if more {
            return Exchange::Pending(Box::new(PendingResponse::Stream(self)));
        }
        let close = self.close;
        self.end(close, cx)
    }

    fn end(self, close: Option<CloseReason>, cx: &mut Context<'_>) -> Exchange {
        record(self.head.borrow().request.headers.block, self.status, self.sent, cx);
        Exchange::Done(close)
    }
}
