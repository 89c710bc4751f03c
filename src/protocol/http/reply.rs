//! Answers on their way out: whether the connection goes on behind them, written, counted, logged.

use crate::access_log::Visit;
use crate::close_reason::CloseReason;
use crate::outbox::Outbox;
use crate::services::Services;

use super::Step;
use super::answer::{self, Answer};
use super::errors;
use super::fields::Persistence;
use super::method::Method;
use super::request::Request;
use super::status::Refusal;
use super::wishes::Wishes;

/// What a peer gets for whom no descriptor is left.
pub const BUSY_REPLY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nServer: evserve\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";

/// Whether the connection goes on behind the answer.
pub fn persistence(request: &Request<'_>, cx: &Services) -> Persistence {
    match cx.draining_since {
        Some(_) => Persistence::Close,
        // What follows a CONNECT was meant for somebody else.
        None if request.method == Method::Connect => Persistence::Close,
        None => request.persistence,
    }
}

/// Why a connection ends behind an answer that says so.
pub fn closing(request: &Request<'_>) -> CloseReason {
    match request.persistence {
        Persistence::Close => CloseReason::Answered,
        _ => CloseReason::LastAnswer,
    }
}

/// Answers what cannot be carried out, of which `head` is what came. What follows it cannot be told
/// from requests.
pub fn refuse(
    refusal: Refusal,
    wishes: &Wishes<'_>,
    head: &[u8],
    out: &mut Outbox,
    cx: &mut Services,
) -> Step {
    let answer = errors::answer(refusal, wishes, cx);
    write(answer, head, Persistence::Close, out, cx);
    Step::Finish(0, CloseReason::Refused)
}

/// Whether a head, of which only the beginning need be there or sound, asks for no body.
pub fn method_is_head(head: &[u8]) -> bool {
    head.starts_with(b"HEAD ")
}

/// What stands for a head of which only that is known.
pub fn unseen(method_is_head: bool) -> &'static [u8] {
    if method_is_head { b"HEAD " } else { b"" }
}

/// Writes an answer to the request of `head`, counts and logs it.
pub fn write(answer: Answer, head: &[u8], persistence: Persistence, out: &mut Outbox, cx: &mut Services) {
    let head_only = method_is_head(head);
    let bytes = if head_only { 0 } else { answer.body_length() };
    note(answer.status as u16, bytes, head, cx);
    answer::write(answer, head_only, persistence, cx, out);
}

/// Counts and logs an answer to the request of `head`.
pub fn note(status: u16, bytes: u64, head: &[u8], cx: &mut Services) {
    cx.statistics.requests += 1;
    cx.logs.add(Visit { peer: cx.peer, head, status, bytes }, &cx.clock);
}
