//! HTTP/1.1 and 1.0 (RFC 9110, RFC 9112): one connection's state, from head to head.

mod answer;
mod body;
mod conditions;
mod errors;
mod escape;
mod exchange;
mod fields;
mod files;
mod grammar;
mod host;
mod library;
mod listing;
mod method;
mod preferences;
mod ranges;
mod reply;
mod request;
mod routes;
mod session;
mod status;
mod storing;
mod target;
mod unwanted;
mod wishes;

use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::limits::{ANSWER_AFTER_PAUSE, BLANK_MAX_BYTES, UNWANTED_BODY_MAX_BYTES};
use crate::outbox::Outbox;
use crate::services::Services;

use super::{Protocol, Step};
use body::Framing;
use exchange::Production;
use fields::Persistence;
use method::Method;
pub use reply::BUSY_REPLY;
use reply::{method_is_head, persistence, refuse, unseen, write};
use request::Parsed;
use routes::Outcome;
use status::{Refusal, Status};
use storing::Storing;
use unwanted::{Come, Unwanted};
use wishes::Wishes;

/// What it is called in logs.
pub const NAME: &str = "http";

/// The server's side of one HTTP connection.
#[derive(Debug)]
pub struct Http {
    state: State,
}

/// What the connection is waiting for.
#[derive(Debug)]
enum State {
    /// A first request, or the next one.
    Idle(Waiting),
    /// The rest of a head, of which `seen` bytes have been looked at. `blank` bytes of empty lines
    /// came before it.
    Head { since: Instant, blank: usize, seen: usize, method_is_head: bool },
    /// The rest of a body.
    Body(Unwanted),
    /// The rest of a body that is being stored.
    Storing(Box<Storing>),
    /// Its own next turn, to go on with an answer.
    Producing(Box<Production>),
    /// Its own next turn, to hash what came before a body that is to be stored behind it.
    Rehashing(Box<Storing>),
}

/// How long an idle connection has to begin a request.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// As long as a head may take, since it was accepted.
    ForTheFirst(Instant),
    /// As long as a connection may be idle, since its last answer left.
    ForTheNext,
}

const IDLE: State = State::Idle(Waiting::ForTheNext);

impl Http {
    /// A connection that was accepted at `now`.
    pub fn new(now: Instant) -> Http {
        Http { state: State::Idle(Waiting::ForTheFirst(now)) }
    }

    /// When the head began that is being received, or begins now, and how many bytes of empty
    /// lines came before it.
    fn head_began(&self, cx: &Services) -> (Instant, usize) {
        match self.state {
            State::Head { since, blank, .. } => (since, blank),
            State::Idle(Waiting::ForTheFirst(since)) => (since, 0),
            _ => (cx.clock.now(), 0),
        }
    }

    /// Drops empty lines before a request line (RFC 9112 section 2.2), within a bound. They begin
    /// the head, so that they put off nothing. `None` when there are none.
    fn skip_blank_lines(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Option<Step> {
        let mut length = 0;
        while let [b'\n', ..] | [b'\r', b'\n', ..] = &input[length..] {
            length += if input[length] == b'\r' { 2 } else { 1 };
        }
        if length == 0 && input != b"\r" {
            return None;
        }
        let (since, blank) = self.head_began(cx);
        let blank = blank + length;
        if blank > BLANK_MAX_BYTES {
            let refusal = Refusal::bad("Too many empty lines stand before the request");
            return Some(refuse(refusal, &Wishes::NONE, b"", out, cx));
        }
        self.state = State::Head { since, blank, seen: 0, method_is_head: false };
        Some(if length == 0 { Step::NeedInput } else { Step::Consumed(length) })
    }

    fn on_head(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        let (since, blank) = self.head_began(cx);
        let seen = if let State::Head { seen, .. } = self.state { seen } else { 0 };
        match request::parse(input, seen) {
            Parsed::Partial => {
                let method_is_head = method_is_head(input);
                self.state = State::Head { since, blank, seen: input.len(), method_is_head };
                Step::NeedInput
            }
            Parsed::Refused(refusal, wishes) => refuse(refusal, &wishes, input, out, cx),
            Parsed::Request(request, length) => {
                let head = &input[..length];
                if matches!(request.method, Method::Put | Method::Post | Method::Patch)
                    && let Some(step) = self.begin_storing(&request, head, out, cx)
                {
                    return step;
                }
                let ending = match request.framing {
                    Framing::Length(0) => None,
                    // RFC 9110 section 10.1.1: who is answered at once may keep the body back or
                    // send it, and what comes next could be either.
                    _ if request.expects_continue => Some(CloseReason::BodyUnwanted),
                    Framing::Length(body) if body > UNWANTED_BODY_MAX_BYTES => {
                        Some(CloseReason::BodyUnwanted)
                    }
                    framing => {
                        self.state = State::Body(Unwanted::new(framing, head));
                        return Step::Consumed(length);
                    }
                };
                Step::after(length, self.reply(&request, head, ending, out, cx))
            }
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
            Err(refusal) => {
                let head = body.take_head().unwrap_or_default();
                return refuse(refusal, &Wishes::NONE, &head, out, cx);
            }
        };
        let Some(head) = body.take_head() else {
            self.state = IDLE;
            return Step::Consumed(consumed);
        };
        let ending = (come == Come::TooLong).then_some(CloseReason::BodyUnwanted);
        match request::parse(&head, 0) {
            Parsed::Request(request, _) => {
                Step::after(consumed, self.reply(&request, &head, ending, out, cx))
            }
            _ => Step::Finish(consumed, CloseReason::Refused),
        }
    }

    /// The body has paused, and its sender may be waiting to hear. A body that is sure to end soon
    /// is read on behind the answer.
    fn on_pause(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        let State::Body(body) = &mut self.state else { return None };
        let is_bounded = body.is_bounded();
        let Some(head) = body.take_head() else { return Some(CloseReason::BodyTimeout) };
        let Parsed::Request(request, _) = request::parse(&head, 0) else { return Some(CloseReason::Refused) };
        let persistence = persistence(&request, cx);
        match routes::answer(&request, false, cx) {
            Outcome::Answer(answer)
                if is_bounded && persistence != Persistence::Close && !answer.is_stream() =>
            {
                write(answer, &head, persistence, out, cx);
                None
            }
            outcome => {
                let ending = Some(CloseReason::BodyUnwanted);
                self.settle(outcome, &request, &head, ending, out, cx)
            }
        }
    }
}

impl Protocol for Http {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        match self.state {
            State::Body(_) => self.on_body(input, out, cx),
            State::Storing(_) => self.store(input, out, cx),
            State::Head { seen: 1.., .. } => self.on_head(input, out, cx),
            _ => self.skip_blank_lines(input, out, cx).unwrap_or_else(|| self.on_head(input, out, cx)),
        }
    }

    fn on_eof(&mut self, _rest: &[u8], out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        let refusal = Refusal::bad("The request ended in the middle");
        // Who ended its output only, as netcat does, still hears what was wrong.
        match &mut self.state {
            State::Idle(_) | State::Head { seen: 0, .. } => return Some(CloseReason::PeerClosed),
            State::Head { method_is_head, .. } => {
                refuse(refusal, &Wishes::NONE, unseen(*method_is_head), out, cx)
            }
            State::Storing(storing) => {
                let head = std::mem::take(&mut storing.head);
                refuse(refusal, &Wishes::NONE, &head, out, cx)
            }
            State::Body(body) => match body.take_head() {
                Some(head) => refuse(refusal, &Wishes::NONE, &head, out, cx),
                None => return Some(CloseReason::PeerLeft),
            },
            State::Producing(_) | State::Rehashing(_) => return None,
        };
        Some(CloseReason::PeerLeft)
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match &mut self.state {
            State::Idle(_) | State::Head { seen: 0, .. } => Some(cx.idle_ending()),
            State::Head { method_is_head, .. } => {
                let refusal = Refusal::new(Status::RequestTimeout, "The request head took too long");
                refuse(refusal, &Wishes::NONE, unseen(*method_is_head), out, cx);
                Some(CloseReason::HeadTimeout)
            }
            State::Body(_) => self.on_pause(out, cx),
            State::Storing(storing) => {
                let refusal = Refusal::new(Status::RequestTimeout, "The body took too long");
                let head = std::mem::take(&mut storing.head);
                refuse(refusal, &Wishes::NONE, &head, out, cx);
                Some(CloseReason::BodyTimeout)
            }
            State::Producing(_) | State::Rehashing(_) => None,
        }
    }

    fn is_producing(&self) -> bool {
        matches!(self.state, State::Producing(_) | State::Rehashing(_))
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, IDLE) {
            State::Producing(production) => self.produce(*production, out, cx),
            State::Rehashing(storing) => self.rehash(storing, out, cx),
            other => {
                self.state = other;
                None
            }
        }
    }

    fn deadline(&self, quiet_since: Option<Instant>, cx: &Services) -> Option<Instant> {
        let timeouts = &cx.limits.timeouts;
        let idle = match &self.state {
            State::Head { since, .. } => return Some(*since + timeouts.head),
            State::Storing(_) => return Some(quiet_since? + timeouts.body),
            State::Body(body) if body.is_answered() => return Some(quiet_since? + timeouts.body),
            State::Body(_) => return Some(quiet_since? + timeouts.body.min(ANSWER_AFTER_PAUSE)),
            // The peer is not waited for.
            State::Producing(_) | State::Rehashing(_) => return Some(cx.clock.now() + timeouts.idle),
            State::Idle(Waiting::ForTheFirst(accepted)) => *accepted + timeouts.head,
            State::Idle(Waiting::ForTheNext) => quiet_since? + timeouts.idle,
        };
        Some(cx.idle_until(idle))
    }

    fn appetite(&self) -> usize {
        match &self.state {
            State::Body(body) => body.expected(),
            State::Storing(storing) => storing.body.expected(),
            _ => 0,
        }
    }

    fn may_make_room(&self) -> bool {
        matches!(self.state, State::Idle(Waiting::ForTheNext))
    }
}
