//! A request and its answer: sent at once, asked for again in the next turn, or sent while it is
//! made.

use std::fmt::Write;

use crate::close_reason::CloseReason;
use crate::outbox::Outbox;
use crate::services::Services;
use crate::store::StoreError;

use super::answer::{self, Answer, Body};
use super::fields::Persistence;
use super::listing::Listing;
use super::reply::{closing, method_is_head, note, persistence, write};
use super::request::{self, Parsed, Request};
use super::routes::{self, Outcome};
use super::status::Status;
use super::{Http, IDLE, State};

/// An answer that takes more than a turn.
#[derive(Debug)]
pub struct Production {
    head: Box<[u8]>,
    ending: Option<CloseReason>,
    work: Work,
}

/// What is made.
#[derive(Debug)]
enum Work {
    /// The answer: the request is asked again.
    Answer,
    /// The body, of which so many bytes were sent. It goes in chunks (RFC 9112 section 7.1), or the
    /// connection's end is its own.
    Body { listing: Box<Listing>, chunked: bool, sent: u64 },
}

impl Http {
    /// Answers a request of which `head` are the bytes. `ending` is why the connection ends behind
    /// the answer whatever the request says, if it does. Returns why it ends, if it does.
    pub fn reply(
        &mut self,
        request: &Request<'_>,
        head: &[u8],
        ending: Option<CloseReason>,
        out: &mut Outbox,
        cx: &mut Services,
    ) -> Option<CloseReason> {
        let goes_on = ending.is_none() && persistence(request, cx) == Persistence::Implied;
        let outcome = routes::answer(request, goes_on, cx);
        self.settle(outcome, request, head, ending, out, cx)
    }

    /// Sends what has come of a request, or begins to produce it. Returns why the connection ends
    /// behind it, if it does.
    pub fn settle(
        &mut self,
        outcome: Outcome,
        request: &Request<'_>,
        head: &[u8],
        ending: Option<CloseReason>,
        out: &mut Outbox,
        cx: &mut Services,
    ) -> Option<CloseReason> {
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Message(message, length) => {
                debug_assert!(ending.is_none());
                note(Status::Ok as u16, length, head, cx);
                out.append(message);
                self.state = IDLE;
                return None;
            }
            Outcome::Later => return self.begin(head, ending, Work::Answer),
        };
        let persistence = match ending {
            None if !(answer.is_stream() && request.is_1_0) => persistence(request, cx),
            _ => Persistence::Close,
        };
        let ending = match persistence {
            Persistence::Close => Some(ending.unwrap_or(closing(request))),
            _ => None,
        };
        match answer {
            Answer { status, fields, body: Body::Listing(listing) } if !method_is_head(head) => {
                let chunked = !request.is_1_0;
                answer::write_stream_head(status, fields, chunked, persistence, cx, out);
                self.begin(head, ending, Work::Body { listing, chunked, sent: 0 })
            }
            answer => {
                write(answer, head, persistence, out, cx);
                self.state = IDLE;
                ending
            }
        }
    }

    fn begin(&mut self, head: &[u8], ending: Option<CloseReason>, work: Work) -> Option<CloseReason> {
        self.state = State::Producing(Box::new(Production { head: head.into(), ending, work }));
        None
    }

    /// Goes on with an answer.
    pub fn produce(
        &mut self,
        mut production: Production,
        out: &mut Outbox,
        cx: &mut Services,
    ) -> Option<CloseReason> {
        let Production { head, ending, work } = &mut production;
        let Work::Body { listing, chunked, sent } = work else {
            return match request::parse(head, 0) {
                Parsed::Request(request, _) => self.reply(&request, head, *ending, out, cx),
                _ => Some(CloseReason::Refused),
            };
        };
        match send_slice(listing, *chunked, out) {
            Ok((bytes, true)) => {
                *sent += bytes;
                self.state = State::Producing(Box::new(production));
                None
            }
            Ok((bytes, false)) => {
                note(200, *sent + bytes, head, cx);
                *ending
            }
            Err(error) => {
                // Without the end of the last chunk the client sees that it is not whole.
                log::error!("cannot go on reading a folder: {error}");
                note(200, *sent, head, cx);
                Some(CloseReason::Failed)
            }
        }
    }
}

/// Sends the next slice. Returns its bytes, and whether there is more.
fn send_slice(listing: &mut Listing, chunked: bool, out: &mut Outbox) -> Result<(u64, bool), StoreError> {
    let mut slice = String::new();
    let more = listing.advance(&mut slice)?;
    let length = slice.len() as u64;
    let mut frame = String::new();
    if chunked && length > 0 {
        let _ = write!(frame, "{length:x}\r\n");
        slice.push_str("\r\n");
    }
    out.write(|bytes| {
        bytes.extend_from_slice(frame.as_bytes());
        bytes.extend_from_slice(slice.as_bytes());
        if chunked && !more {
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
    });
    Ok((length, more))
}
