//! HTTP/1.1 and 1.0 (RFC 9112): the state of one connection. This module reads requests from the wire and
//! writes responses to it; the [handlers](super::handlers) decide what the responses are.

mod access;
mod body;
mod cached;
mod chunked;
mod consumed;
mod discard;
mod encode;
mod exchange;
mod framing;
mod head;
mod head_error;
mod state;
mod status;
mod upload;
mod version;

use super::semantics::error::NEEDS_TLS;
use super::semantics::{HttpError, Status};
use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::limits::{ANSWER_AFTER_PAUSE, BLANK_MAX_BYTES, DISCARDED_BODY_MAX_BYTES};
use crate::observe::ProtocolStatus;
use crate::outbox::Outbox;
use crate::protocol::contract::{Demand, Evictability, Protocol, Step};
use crate::services::{Context, Core};
use cached::respond_from_cache;
use discard::{BodyProgress, DiscardedBody};
pub(crate) use encode::{BUSY_REPLY, PLAIN_REPLY};
use exchange::{Exchange, FailedRequest, refuse, respond};
use framing::Framing;
use head::{Head, Parsed, ReceivedHead};
use head_error::is_client_hello;
use state::{IDLE, PartialHead, State, Waiting, blank_lines};
use upload::{Begun, UploadInProgress, UploadProgress};
use version::Version;

/// The protocol's name in logs.
pub(crate) const NAME: &str = "http";

/// The server's side of one HTTP/1 connection.
#[derive(Debug)]
pub struct Http1 {
    state: State,
    /// The version of the last request.
    version: Option<Version>,
    is_for_admin: bool,
}

impl Http1 {
    /// Creates the state of a connection that was accepted at `now`.
    pub fn new(now: Instant) -> Http1 {
        Http1 { state: State::Idle(Waiting::ForTheFirst(now)), version: None, is_for_admin: false }
    }

    /// Creates the state of a connection to the admin interface.
    pub fn for_admin(now: Instant) -> Http1 {
        Http1 { is_for_admin: true, ..Http1::new(now) }
    }

    /// Returns whether the connection is one to the admin interface.
    pub fn is_for_admin(&self) -> bool {
        self.is_for_admin
    }

    /// Skips empty lines before a request line (RFC 9112 section 2.2), up to a limit. They count as the start
    /// of the head, so they do not extend its deadline. Returns `None` if there are none.
    fn skip_blank_lines(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Option<Step> {
        let length = blank_lines(input);
        if length == 0 && input != b"\r" {
            return None;
        }
        let mut head = self.state.partial_head(cx.core);
        let blank = usize::from(head.blank) + length;
        if blank > BLANK_MAX_BYTES {
            let error = HttpError::bad_request("Too many empty lines precede the request");
            return Some(Step::Finish(0, refuse(error, head.failed_request(cx.core), out, cx)));
        }
        head.blank = blank as u8;
        self.state = State::Head(head);
        Some(if length == 0 { Step::NeedInput } else { Step::Consumed(length) })
    }

    fn on_head(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        let seen = if let State::Head(head) = &self.state { head.seen.into() } else { 0 };
        match head::parse(input, seen) {
            Parsed::Head(head, length) => {
                debug_assert!((1..=input.len()).contains(&length));
                self.version = Some(head.version);
                if cx.core.inspector.is_watched() {
                    let line = access::request_line(head.request.headers.block);
                    cx.core.inspector.note_request(cx.connection, line);
                }
                if head.needs_tls && !cx.is_encrypted {
                    return Step::Finish(0, self.refuse_unencrypted(head, out, cx));
                }
                if respond_from_cache(&head, &self.state, out, cx) {
                    self.state = IDLE;
                    return Step::Consumed(length);
                }
                Step::after(length, self.on_request(head, out, cx)).with_demand(self.demand())
            }
            Parsed::Partial => {
                let mut head = self.state.partial_head(cx.core);
                head.begin(cx.core.clock.now.monotonic);
                // A partial head is shorter than `HEAD_MAX_BYTES`.
                (head.seen, head.method) = (input.len() as u16, head::method_of(input));
                self.state = State::Head(head);
                Step::NeedInput
            }
            Parsed::Invalid(error, headers) => {
                if is_client_hello(input) {
                    cx.http.report_tls(cx.peer);
                }
                let request = FailedRequest::malformed(input, headers, self.state.request_begun(cx.core));
                Step::Finish(0, refuse(error, request, out, cx))
            }
        }
    }

    /// Refuses a request that needs TLS.
    #[cold]
    fn refuse_unencrypted(&self, head: Head<'_>, out: &mut Outbox, cx: &mut Context<'_>) -> CloseReason {
        let head = ReceivedHead::new(head, self.state.request_begun(cx.core));
        refuse(NEEDS_TLS, FailedRequest::from(&head), out, cx)
    }

    /// Handles a request whose head is complete. Returns why the connection closes, if it does.
    #[inline(never)]
    fn on_request(&mut self, head: Head<'_>, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        let head = ReceivedHead::new(head, self.state.request_begun(cx.core));
        self.on_received_head(&head, out, cx)
    }

    fn on_received_head(
        &mut self,
        head: &ReceivedHead<'_>,
        out: &mut Outbox,
        cx: &mut Context<'_>,
    ) -> Option<CloseReason> {
        let error = match UploadInProgress::begin(head, out, cx) {
            Begun::Upload(upload) => return self.receive(upload, out, cx),
            Begun::Repeated(exchange) => return self.proceed(exchange),
            Begun::Pending => {
                self.state = State::Comparing(Box::new(head.into()));
                return None;
            }
            Begun::Discarded(error) => error,
        };
        let early_close = match head.framing {
            Framing::Length(0) => None,
            // RFC 9110 section 10.1.1: after a final response the client may omit the body or send it, so
            // the next bytes could be the body or another request.
            _ if head.expects_continue => Some(CloseReason::BodyUnread),
            Framing::Length(body) if body > DISCARDED_BODY_MAX_BYTES => Some(CloseReason::BodyUnread),
            _ => {
                self.state = State::Discarding(Box::new(DiscardedBody::new(head, error)));
                return None;
            }
        };
        let exchange = respond(head, error, early_close, out, cx);
        self.proceed(exchange)
    }

    /// Enters the state that follows a response. Returns why the connection closes, if it does.
    fn proceed(&mut self, exchange: Exchange) -> Option<CloseReason> {
        match exchange {
            Exchange::Done(close) => {
                self.state = IDLE;
                close
            }
            Exchange::Pending(response) => {
                self.state = State::Responding(response);
                None
            }
        }
    }

    /// Waits for the body of an upload, once the part that is already stored is hashed.
    fn receive(
        &mut self,
        upload: Box<UploadInProgress>,
        out: &mut Outbox,
        cx: &mut Context<'_>,
    ) -> Option<CloseReason> {
        if upload.is_verifying() {
            self.state = State::Verifying(upload);
            return None;
        }
        if upload.is_empty() {
            let (_, received) = upload.receive(b"", out, cx);
            return self.on_received(received);
        }
        self.state = State::Receiving(upload);
        None
    }

    fn on_received(&mut self, received: UploadProgress) -> Option<CloseReason> {
        match received {
            UploadProgress::Pending(upload) => {
                self.state = State::Receiving(upload);
                None
            }
            UploadProgress::Failed(rest) => {
                self.state = State::Discarding(Box::new(rest));
                None
            }
            UploadProgress::Complete(exchange) => self.proceed(exchange),
        }
    }

    fn on_upload(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        let State::Receiving(upload) = std::mem::replace(&mut self.state, IDLE) else {
            return Step::NeedInput;
        };
        let (consumed, received) = upload.receive(input, out, cx);
        Step::after(consumed, self.on_received(received)).with_demand(self.demand())
    }

    /// Drops the bytes of a body that no handler uses. At the body's end, or when the body exceeds the limit,
    /// handles the request unless that was already done.
    fn on_discarded(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        let State::Discarding(body) = &mut self.state else { return Step::NeedInput };
        let (consumed, progress) = match body.take(input) {
            Ok((consumed, BodyProgress::Pending)) => return Step::Consumed(consumed),
            Ok(taken) => taken,
            Err(error) => {
                let close = match body.take_head() {
                    Some(head) => refuse(error, FailedRequest::from(&head.borrow()), out, cx),
                    None => CloseReason::Rejected,
                };
                return Step::Finish(0, close);
            }
        };
        let error = body.error();
        let Some(head) = body.take_head() else {
            self.state = IDLE;
            return Step::Consumed(consumed);
        };
        let early_close = (progress == BodyProgress::OverLimit).then_some(CloseReason::BodyUnread);
        let exchange = respond(&head.borrow(), error, early_close, out, cx);
        Step::after(consumed, self.proceed(exchange)).with_demand(self.demand())
    }

    /// Handles a pause in a body that is being discarded. At the first pause the request is handled, because
    /// the client may be waiting for the response; the rest of a bounded body is read after it. A second
    /// pause closes the connection.
    fn on_pause(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        let State::Discarding(body) = &mut self.state else { return None };
        let (is_bounded, error) = (body.is_bounded(), body.error());
        let Some(head) = body.take_head() else { return Some(CloseReason::BodyTimeout) };
        let exchange = exchange::respond_early(&head.borrow(), error, is_bounded, out, cx)?;
        self.proceed(exchange)
    }
}

impl Protocol for Http1 {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        debug_assert!(!input.is_empty() && self.demand() != Demand::Turn);
        match self.state {
            State::Discarding(_) => self.on_discarded(input, out, cx),
            State::Receiving(_) => self.on_upload(input, out, cx),
            State::Head(PartialHead { seen: 1.., .. }) => self.on_head(input, out, cx),
            _ => self.skip_blank_lines(input, out, cx).unwrap_or_else(|| self.on_head(input, out, cx)),
        }
    }

    fn on_eof(&mut self, _rest: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        let error = HttpError::bad_request("The request is incomplete");
        // A client that shut down only its output, as netcat does, still receives the error.
        match &mut self.state {
            State::Idle(_) | State::Head(PartialHead { seen: 0, .. }) => {
                return Some(CloseReason::PeerClosed);
            }
            State::Head(head) => {
                refuse(error, head.failed_request(cx.core), out, cx);
            }
            State::Receiving(upload) => {
                upload.refuse(error, out, cx);
            }
            State::Discarding(body) => {
                if let Some(head) = body.take_head() {
                    refuse(error, FailedRequest::from(&head.borrow()), out, cx);
                }
            }
            State::Responding(_) | State::Comparing(_) | State::Verifying(_) => return None,
        }
        Some(CloseReason::PeerLeft)
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        match &mut self.state {
            State::Idle(_) | State::Head(PartialHead { seen: 0, .. }) => Some(cx.core.idle_close_reason()),
            State::Head(head) => {
                let error =
                    HttpError::new(Status::RequestTimeout, "The request head was not received in time");
                refuse(error, head.failed_request(cx.core), out, cx);
                Some(CloseReason::HeadTimeout)
            }
            State::Discarding(_) => self.on_pause(out, cx),
            State::Receiving(upload) => {
                let error =
                    HttpError::new(Status::RequestTimeout, "The request body was not received in time");
                upload.refuse(error, out, cx);
                Some(CloseReason::BodyTimeout)
            }
            State::Responding(response) => {
                response.on_deadline(out.is_empty(), cx.core);
                None
            }
            State::Comparing(_) | State::Verifying(_) => None,
        }
    }

    fn demand(&self) -> Demand {
        match &self.state {
            State::Responding(response) if response.resumes_at().is_some() => Demand::Deadline,
            State::Responding(_) | State::Comparing(_) | State::Verifying(_) => Demand::Turn,
            State::Discarding(body) => Demand::Input(body.expected()),
            State::Receiving(upload) => Demand::Input(upload.expected()),
            State::Idle(_) | State::Head { .. } => Demand::Input(0),
        }
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, IDLE) {
            State::Responding(response) => {
                let exchange = exchange::resume(*response, out, cx);
                self.proceed(exchange)
            }
            State::Comparing(head) => self.on_received_head(&head.borrow(), out, cx),
            State::Verifying(mut upload) => match upload.verify() {
                Ok(()) => self.receive(upload, out, cx),
                Err(error) => Some(upload.refuse(error, out, cx)),
            },
            other => {
                self.state = other;
                None
            }
        }
    }

    fn deadline(&self, quiet_since: Option<Instant>, core: &Core) -> Option<Instant> {
        let timeouts = &core.limits.timeouts;
        let idle = match &self.state {
            State::Head(head) => return Some(head.since + timeouts.head),
            State::Receiving(_) => return Some(quiet_since? + timeouts.body),
            State::Discarding(body) if body.is_handled() => return Some(quiet_since? + timeouts.body),
            State::Discarding(_) => return Some(quiet_since? + timeouts.body.min(ANSWER_AFTER_PAUSE)),
            // These states do not wait for the peer, so their deadline never passes.
            State::Responding(response) => {
                return Some(response.resumes_at().unwrap_or(core.clock.now.monotonic + timeouts.idle));
            }
            State::Comparing(_) | State::Verifying(_) => {
                return Some(core.clock.now.monotonic + timeouts.idle);
            }
            State::Idle(Waiting::ForTheFirst(accepted)) => *accepted + timeouts.head,
            State::Idle(Waiting::ForTheNext) => quiet_since? + timeouts.idle,
        };
        Some(core.idle_deadline(idle))
    }

    fn evictability(&self) -> Evictability {
        match self.state {
            State::Idle(Waiting::ForTheNext) => Evictability::Idle,
            State::Idle(Waiting::ForTheFirst(_)) | State::Head(_) => Evictability::Incomplete,
            _ => Evictability::Never,
        }
    }

    fn status(&self) -> ProtocolStatus {
        self.describe()
    }
}
