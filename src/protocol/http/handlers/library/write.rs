//! Writes to one file of the library: a PUT, the end of a resumed upload, and DELETE, each under the
//! preconditions of its request.

use super::error::library_error;
use super::origin::check_origin;
use super::path::{BAD_NAME, name_of};
use crate::clock::Clock;
use crate::protocol::http::handlers::files::validators;
use crate::protocol::http::semantics::error::{NOT_FOUND, PRECONDITION_FAILED};
use crate::protocol::http::semantics::preconditions::{Preconditions, Verdict};
use crate::protocol::http::semantics::{HeaderName, HttpError, Request, Response, Status};
use crate::services::{Context, LibrarySite};
use crate::site::Resolved;
use crate::store::Upload;

/// Begins to store what a PUT brings, if it may.
pub(super) fn begin_file(
    path: &[u8],
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Upload, HttpError> {
    let name = name_of(path).ok_or(BAD_NAME)?;
    check_origin(&request.headers, cx.http)?;
    if request.headers.has(HeaderName::ContentRange) {
        // RFC 9110 section 14.5.
        return Err(HttpError::bad_request("A PUT stores a whole file, not a part of one"));
    }
    if request.headers.has(HeaderName::ContentEncoding) {
        // It would be sent again without it.
        let detail = "A file is stored in no content coding";
        return Err(HttpError::new(Status::UnsupportedMediaType, detail));
    }
    check_preconditions(path, request, cx.http.library.as_mut(), &cx.core.clock)?;
    let upload = cx.core.library.create(&name, request.body_length).map_err(library_error)?;
    let only_if_new = request.headers.get(HeaderName::IfNoneMatch).is_some_and(|tags| &*tags == b"*");
    Ok(if only_if_new { upload.only_if_new() } else { upload })
}

/// Stores a file whose last byte has come. The request's preconditions must hold still.
pub(super) fn finish_file(
    upload: Upload,
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Response, HttpError> {
    check_preconditions(&upload.name().path(), request, cx.http.library.as_mut(), &cx.core.clock)?;
    let replaces = cx.core.library.stat(upload.name()).is_ok();
    cx.store(upload).map_err(library_error)?;
    let status = if replaces { Status::NoContent } else { Status::Created };
    Ok(Response::empty(status, Vec::new()))
}

/// Removes the file at `path`.
pub(super) fn delete(
    path: &[u8],
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Response, HttpError> {
    let name = name_of(path).ok_or(NOT_FOUND)?;
    check_origin(&request.headers, cx.http)?;
    check_preconditions(path, request, cx.http.library.as_mut(), &cx.core.clock)?;
    cx.remove(&name).map_err(library_error)?;
    Ok(Response::empty(Status::NoContent, Vec::new()))
}

/// Evaluates the preconditions of a write (RFC 9110 section 13.1).
fn check_preconditions(
    path: &[u8],
    request: &Request<'_>,
    library: Option<&mut LibrarySite>,
    clock: &Clock,
) -> Result<(), HttpError> {
    let conditions = Preconditions::of_write(&request.headers);
    let Some(library) = library else { return Err(NOT_FOUND) };
    // What is cached may be a moment old, and the file protocol may have written since.
    library.site.forget(path);
    let holds = match library.site.find(path, clock) {
        Ok(Resolved::File(file)) => conditions.evaluate(validators(&file)) == Verdict::Proceed,
        // A file that does not exist matches nothing.
        _ => conditions.if_match.is_none(),
    };
    if holds { Ok(()) } else { Err(PRECONDITION_FAILED) }
}
