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
mod unwanted;

use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::limits::{ANSWER_AFTER_PAUSE, BLANK_MAX_BYTES, UNWANTED_BODY_MAX_BYTES};
use crate::outbox::Outbox;
use crate::services::Services;

use super::{Protocol, Step};
use answer::Answer;
use body::Framing;
use fields::Persistence;
use method::Method;
use request::{Parsed, Request};
use status::{Refusal, Status};
use unwanted::{Come, Unwanted};

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
    Head { since: Instant, seen: usize, method_is_head: bool },
    /// The rest of a body.
    Body(Unwanted),
}

/// How long an idle connection has to begin a request.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// As long as a head may take, since it was accepted.
    ForTheFirst(Instant),
    /// As long as a connection may be idle, since its last answer left.
    ForTheNext,
}

/// What a peer gets for whom no descriptor is left.
pub const BUSY_REPLY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nServer: evserve\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";

const IDLE: State = State::Idle { waiting: Waiting::ForTheNext, blank: 0 };

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
            let refusal = Refusal::bad("Too many empty lines stand before the request");
            return Some(refuse(refusal, false, out, cx));
        }
        Some(Step::Consumed(length))
    }

    fn on_head(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        let (since, seen) = match self.state {
            State::Head { since, seen, .. } => (since, seen),
            State::Idle { waiting: Waiting::ForTheFirst(since), .. } => (since, 0),
            _ => (cx.clock.now(), 0),
        };
        match request::parse(input, seen) {
            Parsed::Partial => {
                self.state = State::Head { since, seen: input.len(), method_is_head: method_is_head(input) };
                Step::NeedInput
            }
            Parsed::Refused(refusal) => refuse(refusal, method_is_head(input), out, cx),
            Parsed::Request(request, length) => match request.framing {
                Framing::Length(0) => self.reply(&request, length, out, cx),
                // RFC 9110 section 10.1.1: who is answered at once may keep the body back or send
                // it, and what comes next could be either.
                _ if request.expects_continue => reply_and_close(&request, length, out, cx),
                Framing::Length(body) if body > UNWANTED_BODY_MAX_BYTES => {
                    reply_and_close(&request, length, out, cx)
                }
                framing => {
                    self.state = State::Body(Unwanted::new(framing, &input[..length]));
                    Step::Consumed(length)
                }
            },
        }
    }

    /// Takes what belongs to the body. At its end, or when it gets too long, the request is
    /// answered if it was not before.
    fn on_body(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        let State::Body(body) = &mut self.state else { return Step::NeedInput };
        let (consumed, come) = match body.take(input) {
            Ok((consumed, Come::Partly)) => return Step::Consumed(consumed),
            Ok(taken) => taken,
            Err(_) if body.is_answered() => return Step::Finish(0, CloseReason::Refused),
            Err(refusal) => return refuse(refusal, body.method_is_head(), out, cx),
        };
        let Some(head) = body.take_head() else {
            self.state = IDLE;
            return Step::Consumed(consumed);
        };
        match request::parse(&head, 0) {
            Parsed::Request(request, _) if come == Come::Whole => self.reply(&request, consumed, out, cx),
            Parsed::Request(request, _) => reply_and_close(&request, consumed, out, cx),
            _ => Step::Finish(consumed, CloseReason::Refused),
        }
    }

    /// The body has paused, and its sender may be waiting to hear. A body that is sure to end soon
    /// is read on behind the answer.
    fn on_pause(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        let State::Body(body) = &mut self.state else { return None };
        let Some(head) = body.take_head() else { return Some(CloseReason::BodyTimeout) };
        let Parsed::Request(request, _) = request::parse(&head, 0) else { return Some(CloseReason::Refused) };
        let persistence = persistence(&request, cx);
        if persistence == Persistence::Close || !body.is_bounded() {
            reply_and_close(&request, 0, out, cx);
            return Some(CloseReason::BodyUnwanted);
        }
        let answer = routes::answer(&request, cx);
        write(answer, request.method == Method::Head, persistence, out, cx);
        None
    }

    /// Answers a request that is read to its end, of which `consumed` bytes are still input.
    fn reply(&mut self, request: &Request<'_>, consumed: usize, out: &mut Outbox, cx: &mut Services) -> Step {
        let persistence = persistence(request, cx);
        let answer = routes::answer(request, cx);
        write(answer, request.method == Method::Head, persistence, out, cx);
        if persistence == Persistence::Close {
            let asked = request.persistence == Persistence::Close;
            return Step::Finish(
                consumed,
                if asked { CloseReason::Answered } else { CloseReason::LastAnswer },
            );
        }
        self.state = IDLE;
        Step::Consumed(consumed)
    }
}

/// Whether the connection goes on behind the answer.
fn persistence(request: &Request<'_>, cx: &Services) -> Persistence {
    match cx.draining_since {
        Some(_) => Persistence::Close,
        // What follows a CONNECT was meant for somebody else.
        None if request.method == Method::Connect => Persistence::Close,
        None => request.persistence,
    }
}

/// Answers a request whose body stays unread, which must be the connection's last.
fn reply_and_close(request: &Request<'_>, consumed: usize, out: &mut Outbox, cx: &mut Services) -> Step {
    let answer = routes::answer(request, cx);
    write(answer, request.method == Method::Head, Persistence::Close, out, cx);
    Step::Finish(consumed, CloseReason::BodyUnwanted)
}

/// Answers what cannot be carried out. What follows it cannot be told from requests.
fn refuse(refusal: Refusal, head_only: bool, out: &mut Outbox, cx: &mut Services) -> Step {
    write(Answer::refusal(refusal), head_only, Persistence::Close, out, cx);
    Step::Finish(0, CloseReason::Refused)
}

/// Whether a head, of which only the beginning need be there or sound, asks for no body.
fn method_is_head(head: &[u8]) -> bool {
    head.starts_with(b"HEAD ")
}

fn write(answer: Answer, head_only: bool, persistence: Persistence, out: &mut Outbox, cx: &mut Services) {
    cx.statistics.requests += 1;
    answer::write(answer, head_only, persistence, &cx.clock, out);
}

impl Protocol for Http {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        if let State::Body(_) = self.state {
            return self.on_body(input, out, cx);
        }
        match self.skip_blank_lines(input, out, cx) {
            Some(step) => step,
            None => self.on_head(input, out, cx),
        }
    }

    fn on_eof(&mut self, out: &mut Outbox, cx: &mut Services) -> CloseReason {
        let head_only = match &self.state {
            State::Idle { .. } => return CloseReason::PeerClosed,
            State::Body(body) if body.is_answered() => return CloseReason::PeerLeft,
            State::Body(body) => body.method_is_head(),
            State::Head { method_is_head, .. } => *method_is_head,
        };
        // Who ended its output only, as netcat does, still hears what was wrong.
        refuse(Refusal::bad("The request ended in the middle"), head_only, out, cx);
        CloseReason::PeerLeft
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match self.state {
            State::Idle { .. } if cx.draining_since.is_some() => Some(CloseReason::Drained),
            State::Idle { .. } => Some(CloseReason::IdleTimeout),
            State::Head { method_is_head, .. } => {
                let refusal = Refusal::new(Status::RequestTimeout, "The request head took too long");
                refuse(refusal, method_is_head, out, cx);
                Some(CloseReason::HeadTimeout)
            }
            State::Body(_) => self.on_pause(out, cx),
        }
    }

    fn deadline(&self, quiet_since: Option<Instant>, cx: &Services) -> Option<Instant> {
        let timeouts = &cx.limits.timeouts;
        let idle = match &self.state {
            State::Head { since, .. } => return Some(*since + timeouts.head),
            State::Body(body) if body.is_answered() => return Some(quiet_since? + timeouts.body),
            State::Body(_) => return Some(quiet_since? + timeouts.body.min(ANSWER_AFTER_PAUSE)),
            State::Idle { waiting: Waiting::ForTheFirst(accepted), .. } => *accepted + timeouts.head,
            State::Idle { waiting: Waiting::ForTheNext, .. } => quiet_since? + timeouts.idle,
        };
        Some(cx.grace_ends().map_or(idle, |end| end.min(idle)))
    }

    fn appetite(&self) -> usize {
        match &self.state {
            State::Body(body) => body.expected(),
            _ => 0,
        }
    }

    fn may_make_room(&self) -> bool {
        matches!(self.state, State::Idle { waiting: Waiting::ForTheNext, .. })
    }
}
