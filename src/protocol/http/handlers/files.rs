//! Responds with files: selects a representation, evaluates the preconditions and selects the ranges.

use std::ops::Range;
use std::rc::Rc;

use super::byte_ranges;
use crate::clock::Clock;
use crate::protocol::http::semantics::error::PRECONDITION_FAILED;
use crate::protocol::http::semantics::negotiation::accepted_codings;
use crate::protocol::http::semantics::preconditions::{Preconditions, Validators, Verdict};
use crate::protocol::http::semantics::ranges::{self, Selection};
use crate::protocol::http::semantics::{
    Body, HeaderName, Headers, HttpError, Method, Outcome, Request, Response, Status, digest, field,
};
use crate::site::{AcceptedCodings, Coding, FieldSet, Metadata, Representation, Selected, Site};

/// Responds with a file in the content coding that the client prefers. `plain` is the file without a coding.
pub(super) fn respond(
    plain: Representation,
    request: &Request<'_>,
    site: &mut Site,
    clock: &Clock,
) -> Result<Outcome, HttpError> {
    let accepted = request.headers.get(HeaderName::AcceptEncoding).map(|value| accepted_codings(&value));
    let file = match accepted {
        None => plain,
        Some(accepted) if is_plain_range(&request.headers, accepted) => plain,
        Some(accepted) => match site.select(plain, accepted, clock) {
            Selected::Ready(file) => file,
            Selected::Pending => return Ok(Outcome::Pending),
            Selected::Busy => {
                let detail = "The file cannot be compressed at the moment";
                return Err(HttpError::new(Status::ServiceUnavailable, detail));
            }
            Selected::NotAcceptable => {
                return Err(HttpError::new(
                    Status::NotAcceptable,
                    "No acceptable content coding is available",
                ));
            }
        },
    };
    send(&file, request, clock).map(Outcome::Handled)
}

/// Returns whether a request for a range means the file without a coding, as most programs do that send both
/// Range and Accept-Encoding: they cannot use a part of a coded form. A client that names the entity tag of a
/// coded form already has the other parts.
fn is_plain_range(headers: &Headers<'_>, accepted: AcceptedCodings) -> bool {
    if !headers.has(HeaderName::Range) || !accepted.identity {
        return false;
    }
    let names_coded_form = |name| {
        headers.get(name).is_some_and(|tags| Coding::ALL.iter().any(|coding| coding.is_named_in(&tags)))
    };
    ![HeaderName::IfRange, HeaderName::IfMatch].into_iter().any(names_coded_form)
}

/// Responds with `file` or ranges of it, according to the preconditions and the Range field.
fn send(file: &Representation, request: &Request<'_>, clock: &Clock) -> Result<Response, HttpError> {
    if request.headers.is_unconditional() {
        return Ok(Response::file(file));
    }
    let conditions = Preconditions::of(&request.headers);
    let validators = validators(file);
    match conditions.evaluate(validators) {
        Verdict::NotModified => return Ok(Response::not_modified(&file.note)),
        Verdict::Failed => return Err(PRECONDITION_FAILED),
        Verdict::Proceed => {}
    }
    // Range is defined for GET only (RFC 9110 section 14.2).
    let range = conditions.range(validators, clock.now.wall).filter(|_| request.method == Method::Get);
    let response = match range.map_or(Selection::Whole, |range| ranges::select(range, file.length)) {
        Selection::Whole => Response::file(file),
        Selection::Part(range) => part(file, range),
        Selection::Parts(ranges) => byte_ranges::response(file, &ranges),
        Selection::Unsatisfiable => return Err(HttpError::range_not_satisfiable(file.length)),
    };
    // The digest is of the complete file, also in the response with a part (RFC 9530 section 3).
    let is_wanted =
        request.headers.get(HeaderName::WantReprDigest).is_some_and(|want| digest::is_wanted(&want));
    Ok(match is_wanted.then(|| Metadata::digest(file)).flatten() {
        Some(known) => response.with(field("Repr-Digest", digest::format(known))),
        None => response,
    })
}

/// Returns the validators that the preconditions of a request for `file` are compared with.
pub(super) fn validators(file: &Representation) -> Validators<'_> {
    Validators { entity_tag: file.note.entity_tag(), last_modified: file.note.last_modified() }
}

fn part(file: &Representation, range: Range<u64>) -> Response {
    Response {
        status: Status::PartialContent,
        metadata: Some((Rc::clone(&file.note), FieldSet::All)),
        fields: Vec::new(),
        body: Body::File { content: file.content.clone(), range, length: file.length },
    }
}
