//! What a request is answered with: method and target decide.

use std::borrow::Cow;

use crate::services::Services;

use super::answer::{ALLOW, Answer, Body, Fields};
use super::method::Method;
use super::request::Request;
use super::site;
use super::status::{Refusal, Status};
use super::target::{self, Target};
use super::types;

/// Answers a request.
pub fn answer(request: &Request<'_>, cx: &mut Services) -> Answer {
    let (path, query) = match request.target {
        Target::Path { path, query } => (target::decode(path), query),
        Target::Server | Target::Authority => (Ok(Cow::Borrowed(&b""[..])), None),
    };
    match (request.method, path) {
        (_, Err(refusal)) => Answer::refusal(refusal),
        (Method::Get | Method::Head, Ok(path)) => get(&path, query, cx),
        (Method::Options, _) => options(),
        _ => Answer::refusal(Refusal::new(Status::MethodNotAllowed, "This cannot be done here")),
    }
}

fn get(path: &[u8], query: Option<&[u8]>, cx: &mut Services) -> Answer {
    match site::get(path, query, cx) {
        Err(refusal) if refusal.status == Status::NotFound && path == b"/time" => time(cx),
        Err(refusal) if refusal.status == Status::NotFound => site::not_found(refusal, cx),
        Err(refusal) => Answer::refusal(refusal),
        Ok(answer) => answer,
    }
}

/// RFC 9110 section 9.3.7.
fn options() -> Answer {
    Answer { status: Status::NoContent, fields: Fields::Static(ALLOW.as_bytes()), body: Body::Nothing }
}

/// The documents' first data URL: the time of day, unless the site has a file of that name.
fn time(cx: &Services) -> Answer {
    Answer::text(Status::Ok, types::TEXT, "Cache-Control: no-store\r\n", cx.clock.ctime())
}
