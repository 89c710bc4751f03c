//! Bodies that are stored: what comes for the library.

use std::fmt;

use crate::close_reason::CloseReason;
use crate::outbox::Outbox;
use crate::services::Services;

use super::body::Body;
use super::library::{self, Sink};
use super::reply::refuse;
use super::request::{self, Parsed, Request};
use super::routes::Outcome;
use super::wishes::Wishes;
use super::{Http, IDLE, State, Step, errors};

/// A body that is being stored.
pub struct Storing {
    /// The request's head, to be read again when it is answered.
    pub head: Box<[u8]>,
    /// How its end is told.
    pub body: Body,
    sink: Sink,
}

impl Http {
    /// Begins to store a body, if it is one that may be stored. What may not is answered as any other
    /// request.
    #[inline(never)]
    pub fn begin_storing(
        &mut self,
        request: &Request<'_>,
        head: &[u8],
        out: &mut Outbox,
        cx: &mut Services,
    ) -> Option<Step> {
        let path = library::within(request, cx)?;
        let sink = library::begin(&path, request, cx).ok()?;
        if request.expects_continue {
            // RFC 9110 section 10.1.1.
            out.write(|bytes| bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
        }
        let storing = Storing { head: head.into(), body: Body::new(request.framing), sink };
        Some(Step::after(head.len(), self.wait_for_body(Box::new(storing), out, cx)))
    }

    /// Waits for a body, once what came before it is hashed. One that has no byte ends here: no input
    /// will come that could end it.
    fn wait_for_body(
        &mut self,
        storing: Box<Storing>,
        out: &mut Outbox,
        cx: &mut Services,
    ) -> Option<CloseReason> {
        if storing.sink.is_rehashing() {
            self.state = State::Rehashing(storing);
            return None;
        }
        let is_empty = matches!(storing.body, Body::Length(0));
        self.state = State::Storing(storing);
        is_empty.then(|| self.store(b"", out, cx).ending())?
    }

    /// Hashes a slice of what came before a body.
    pub fn rehash(
        &mut self,
        mut storing: Box<Storing>,
        out: &mut Outbox,
        cx: &mut Services,
    ) -> Option<CloseReason> {
        match storing.sink.rehash() {
            Ok(()) => self.wait_for_body(storing, out, cx),
            Err(refusal) => refuse(refusal, &Wishes::NONE, &storing.head, out, cx).ending(),
        }
    }

    /// Stores what belongs to the body. At its end the request is answered.
    #[inline(never)]
    pub fn store(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        let State::Storing(mut storing) = std::mem::replace(&mut self.state, IDLE) else {
            return Step::NeedInput;
        };
        let Storing { body, sink, .. } = &mut *storing;
        let mut took = Ok(());
        let taken = body.take(input, |bytes| {
            if took.is_ok() {
                took = sink.take(bytes, cx);
            }
        });
        let taken = match taken {
            Ok(taken) if !taken.done && took.is_ok() => {
                self.state = State::Storing(storing);
                return Step::Consumed(taken.consumed);
            }
            Ok(taken) => taken,
            Err(refusal) => return refuse(refusal, &Wishes::NONE, &storing.head, out, cx),
        };
        let Storing { head, sink, .. } = *storing;
        let Parsed::Request(request, _) = request::parse(&head, 0) else {
            return Step::Finish(taken.consumed, CloseReason::Refused);
        };
        let stored = sink.end(took, &request, cx);
        // What was refused in the middle is not read to its end.
        let ending = (!taken.done).then_some(CloseReason::BodyUnwanted);
        let answer = stored.unwrap_or_else(|refusal| errors::answer(refusal, &request.wishes, cx));
        let ending = self.settle(Outcome::Answer(answer), &request, &head, ending, out, cx);
        Step::after(taken.consumed, ending)
    }
}

impl fmt::Debug for Storing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Storing")
    }
}
