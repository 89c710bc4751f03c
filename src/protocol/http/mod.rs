//! HTTP/1.1 and 1.0 (RFC 9110, RFC 9112): one connection's state, from head to head.

mod answer;
mod body;
mod fields;
mod grammar;
mod host;
mod method;
mod request;
mod routes;
mod site;
mod status;
mod target;
mod types;

use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::limits::{BLANK_MAX_BYTES, UNWANTED_BODY_MAX_BYTES};
use crate::outbox::Outbox;
use crate::services::Services;

use super::{Protocol, Step};
use answer::Answer;
use body::{Body, Framing};
use fields::Persistence;
use method::Method;
use request::{Parsed, Request};
use status::{Refusal, Status};

/// The server's side of one HTTP connection.
#[derive(Debug)]
pub struct Http {
    state: State,
}

/// What the connection is waiting for.
#[derive(Debug)]
enum State {
    /// A first request, or the next one. So many bytes of empty lines came instead.
    Idle { waiting: Waiting, blank: usize },
    /// The rest of a head, of which `seen` bytes have been looked at.
    Head { since: Instant, seen: usize },
    /// The rest of a body that nobody wants. The request is answered when it has been read, so
    /// that a malformed one is refused; its head waits here, and is read again then.
    Body { body: Body, read: u64, head: Box<[u8]> },
}

/// How long an idle connection has to begin a request.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// As long as a head may take, since it was accepted.
    ForTheFirst(Instant),
    /// As long as a connection may be idle, since its last answer left.
    ForTheNext,
}

/// What a peer gets whom no descriptor is left for.
pub const BUSY_REPLY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nServer: evserve\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";

impl Http {
    /// A connection that was accepted at `now`.
    pub fn new(now: Instant) -> Http {
        Http { state: State::Idle { waiting: Waiting::ForTheFirst(now), blank: 0 } }
    }

    /// Drops empty lines before a request line (RFC 9112 section 2.2), within a bound. `None` when
    /// there are none.
    fn skip_blank_lines(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Option<Step> {
        let State::Idle { blank, .. } = &mut self.state else { return None };
        let mut length = 0;
        while let [b'\n', ..] | [b'\r', b'\n', ..] = &input[length..] {
            length += if input[length] == b'\r' { 2 } else { 1 };
        }
        if length == 0 {
            return (input == b"\r").then_some(Step::NeedInput);
        }
        *blank += length;
        if *blank > BLANK_MAX_BYTES {
            return Some(refuse(Refusal::bad("Too many empty lines stand before the request"), out, cx));
        }
        Some(Step::Consumed(length))
    }

    fn on_head(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        let (since, seen) = match self.state {
            State::Head { since, seen } => (since, seen),
            State::Idle { waiting: Waiting::ForTheFirst(since), .. } => (since, 0),
            _ => (cx.clock.now(), 0),
        };
        match request::parse(input, seen) {
            Parsed::Partial => {
                self.state = State::Head { since, seen: input.len() };
                Step::NeedInput
            }
            Parsed::Refused(refusal) => refuse(refusal, out, cx),
            Parsed::Request(request, length) => self.on_request(&request, &input[..length], out, cx),
        }
    }

    fn on_request(
        &mut self,
        request: &Request<'_>,
        head: &[u8],
        out: &mut Outbox,
        cx: &mut Services,
    ) -> Step {
        match request.framing {
            Framing::Length(0) => self.reply(request, head.len(), out, cx),
            // RFC 9110 section 10.1.1: who is answered at once may keep the body back or send it,
            // and what comes next could be either.
            _ if request.expects_continue => reply_and_close(request, head.len(), out, cx),
            Framing::Length(length) if length > UNWANTED_BODY_MAX_BYTES => {
                reply_and_close(request, head.len(), out, cx)
            }
            framing => {
                self.state = State::Body { body: Body::new(framing), read: 0, head: head.into() };
                Step::Consumed(head.len())
            }
        }
    }

    /// Takes what belongs to the body; at its end, or when it gets too long, the request is
    /// answered.
    fn on_body(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        let State::Body { body, read, head } = &mut self.state else { return Step::NeedInput };
        let taken = match body.take(input, |_| ()) {
            Ok(taken) => taken,
            Err(refusal) => return refuse(refusal, out, cx),
        };
        *read += taken.consumed as u64;
        let too_long = *read > UNWANTED_BODY_MAX_BYTES;
        if !taken.done && !too_long {
            return Step::Consumed(taken.consumed);
        }
        let head = std::mem::take(head);
        let Parsed::Request(request, _) = request::parse(&head, 0) else {
            return refuse(Refusal::bad("The request is malformed"), out, cx);
        };
        match taken.done {
            true => self.reply(&request, taken.consumed, out, cx),
            false => reply_and_close(&request, taken.consumed, out, cx),
        }
    }

    /// Answers a request that is read to its end, of which `consumed` bytes are still input.
    fn reply(&mut self, request: &Request<'_>, consumed: usize, out: &mut Outbox, cx: &mut Services) -> Step {
        let persistence = match cx.draining_since {
            Some(_) => Persistence::Close,
            // What follows a CONNECT was meant for somebody else.
            None if request.method == Method::Connect => Persistence::Close,
            None => request.persistence,
        };
        let answer = routes::answer(request, cx);
        write(answer, request.method, persistence, out, cx);
        if persistence == Persistence::Close {
            return Step::Finish(consumed, CloseReason::Answered);
        }
        self.state = State::Idle { waiting: Waiting::ForTheNext, blank: 0 };
        Step::Consumed(consumed)
    }
}

/// Answers a request whose body stays unread, which must be the connection's last.
fn reply_and_close(request: &Request<'_>, consumed: usize, out: &mut Outbox, cx: &mut Services) -> Step {
    let answer = routes::answer(request, cx);
    write(answer, request.method, Persistence::Close, out, cx);
    Step::Finish(consumed, CloseReason::BodyUnwanted)
}

/// Answers what cannot be carried out. What follows it cannot be told from requests.
fn refuse(refusal: Refusal, out: &mut Outbox, cx: &mut Services) -> Step {
    write(Answer::refusal(refusal), Method::Get, Persistence::Close, out, cx);
    Step::Finish(0, CloseReason::Refused)
}

fn write(answer: Answer, method: Method, persistence: Persistence, out: &mut Outbox, cx: &mut Services) {
    cx.statistics.requests += 1;
    answer::write(answer, method == Method::Head, persistence, &cx.clock, out);
}

impl Protocol for Http {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        if let State::Body { .. } = self.state {
            return self.on_body(input, out, cx);
        }
        match self.skip_blank_lines(input, out, cx) {
            Some(step) => step,
            None => self.on_head(input, out, cx),
        }
    }

    fn on_eof(&mut self, out: &mut Outbox, cx: &mut Services) -> CloseReason {
        match self.state {
            State::Idle { .. } => CloseReason::PeerClosed,
            // Who ended its output only, as netcat does, still hears what was wrong.
            State::Head { .. } | State::Body { .. } => {
                refuse(Refusal::bad("The request ended in the middle"), out, cx);
                CloseReason::PeerLeft
            }
        }
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Services) -> CloseReason {
        let (why, reason) = match self.state {
            State::Idle { .. } if cx.draining_since.is_some() => return CloseReason::Drained,
            State::Idle { .. } => return CloseReason::IdleTimeout,
            State::Head { .. } => ("The request head took too long", CloseReason::HeadTimeout),
            State::Body { .. } => ("The request body took too long", CloseReason::BodyTimeout),
        };
        refuse(Refusal::new(Status::RequestTimeout, why), out, cx);
        reason
    }

    fn deadline(&self, moved: Instant, cx: &Services) -> Instant {
        let timeouts = &cx.limits.timeouts;
        let idle = match &self.state {
            State::Idle { waiting: Waiting::ForTheFirst(accepted), .. } => *accepted + timeouts.head,
            State::Idle { waiting: Waiting::ForTheNext, .. } => moved + timeouts.idle,
            State::Head { since, .. } => return *since + timeouts.head,
            State::Body { .. } => return moved + timeouts.body,
        };
        cx.grace_ends().map_or(idle, |end| end.min(idle))
    }

    fn appetite(&self) -> usize {
        match &self.state {
            State::Body { body, .. } => body.expected(),
            _ => 0,
        }
    }

    fn may_make_room(&self) -> bool {
        matches!(self.state, State::Idle { waiting: Waiting::ForTheNext, .. })
    }
}
