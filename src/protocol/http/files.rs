//! Files as answers: which representation, whether it is sent, and how much of it.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use crate::clock::Clock;
use crate::limits::COMPRESSED_FILE_MIN_BYTES;
use crate::site::{Coded, Representation, Site};

use super::answer::{Answer, Body, Fields, Parts};
use super::conditions::{Conditions, Validators, Verdict};
use super::errors;
use super::method::Method;
use super::preferences::Codings;
use super::ranges::{self, Selection};
use super::request::Request;
use super::routes::Outcome;
use super::status::{Refusal, Status};
use super::wishes::Wish;

/// Answers with the file of `site` at `path`, which is `plain` as it stands, in the coding that the
/// client likes best.
pub fn answer(
    path: &[u8],
    plain: Representation,
    request: &Request<'_>,
    (site, clock): (&mut Site, &Clock),
) -> Result<Outcome, Refusal> {
    let Some(accept_encoding) = request.wishes.get(Wish::AcceptEncoding) else {
        return send(&plain, request, clock).map(Outcome::Answer);
    };
    let codings = Codings::parse(&accept_encoding);
    // Too small is only what could be sent as it is.
    let least = if codings.take_identity() { COMPRESSED_FILE_MIN_BYTES + 1 } else { 0 };
    let mut busy = false;
    for coding in codings.preferred() {
        match site.coded(path, &plain, coding, least, clock) {
            Coded::Ready(file) => return send(&file, request, clock).map(Outcome::Answer),
            Coded::Later => return Ok(Outcome::Later),
            Coded::Never => {}
            Coded::Busy => busy = true,
        }
    }
    match (codings.take_identity(), busy) {
        (true, _) => send(&plain, request, clock).map(Outcome::Answer),
        (false, true) => Err(Refusal::new(Status::ServiceUnavailable, "It cannot be compressed just now")),
        (false, false) => Err(Refusal::new(Status::NotAcceptable, "There is no such coding of this")),
    }
}

/// Sends what the conditions and the range leave of `file`.
pub fn send(file: &Representation, request: &Request<'_>, clock: &Clock) -> Result<Answer, Refusal> {
    if request.wishes.ask_for_all() {
        return Ok(whole(file));
    }
    let conditions = Conditions::of(&request.wishes);
    let validators = Validators { entity_tag: file.entity_tag(), last_modified: file.note.last_modified() };
    match conditions.evaluate(validators) {
        Verdict::NotModified => {
            return Ok(Answer::not_modified(Fields::Shared(file.kept())));
        }
        Verdict::Failed => return Err(errors::FAILED),
        Verdict::Proceed => {}
    }
    // Section 14.2: Range has a meaning for GET only.
    let range = conditions.range(validators, clock.wall()).filter(|_| request.method == Method::Get);
    match range.map_or(Selection::Whole, |range| ranges::select(range, file.length)) {
        Selection::Whole => Ok(whole(file)),
        Selection::Part(range) => Ok(part(file, range)),
        Selection::Parts(ranges) => Ok(parts(file, &ranges)),
        Selection::Unsatisfiable => Err(Refusal::beyond(file.length)),
    }
}

fn whole(file: &Representation) -> Answer {
    Answer {
        status: Status::Ok,
        fields: Fields::Shared(file.fields()),
        body: Body::Content(file.content.clone(), 0..file.length),
    }
}

fn part(file: &Representation, range: Range<u64>) -> Answer {
    let mut fields = Vec::with_capacity(file.head.len() + 64);
    fields.extend_from_slice(b"Content-Type: ");
    fields.extend_from_slice(file.kind());
    fields.extend_from_slice(b"\r\n");
    fields.extend_from_slice(file.besides_kind());
    let mut digits = itoa::Buffer::new();
    for (text, number) in [
        ("Content-Range: bytes ", range.start),
        ("-", range.end - 1),
        ("/", file.length),
        ("\r\nContent-Length: ", range.end - range.start),
    ] {
        fields.extend_from_slice(text.as_bytes());
        fields.extend_from_slice(digits.format(number).as_bytes());
    }
    fields.extend_from_slice(b"\r\n");
    Answer {
        status: Status::PartialContent,
        fields: Fields::Made(fields),
        body: Body::Content(file.content.clone(), range),
    }
}

/// `multipart/byteranges` (section 14.6).
fn parts(file: &Representation, ranges: &[Range<u64>]) -> Answer {
    // It must not occur in what it parts, so that nobody may know it before: the keys are random.
    let boundary = format!("{:016x}", RandomState::new().hash_one(file.entity_tag()));
    let kind = String::from_utf8_lossy(file.kind());
    let heads = ranges.iter().map(|range| {
        let (first, last, length) = (range.start, range.end - 1, file.length);
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {first}-{last}/{length}\r\n\r\n"
        );
        (head, range.clone())
    });
    let end = format!("\r\n--{boundary}--\r\n");
    let parts = Parts { content: file.content.clone(), parts: heads.collect(), end };
    let body = Body::Parts(Box::new(parts));
    let mut answer = Answer { status: Status::PartialContent, fields: Fields::Made(Vec::new()), body };
    let length = answer.body_length();
    let mut fields = format!("Content-Type: multipart/byteranges; boundary={boundary}\r\n").into_bytes();
    fields.extend_from_slice(file.besides_kind());
    fields.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
    answer.fields = Fields::Made(fields);
    answer
}
