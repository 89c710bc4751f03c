//! Writes to one file of the library: PUT, the end of a resumable upload, and DELETE. Each evaluates the
//! preconditions of its request.

use super::announced::{MISMATCH, announced_digest};
use super::error::library_error;
use super::origin::check_origin;
use super::path::{BAD_NAME, address_of, name_of};
use crate::clock::Clock;
use crate::protocol::http::handlers::error_pages::store_error;
use crate::protocol::http::handlers::escape::escape_json;
use crate::protocol::http::handlers::files::validators;
use crate::protocol::http::semantics::error::{NOT_FOUND, PRECONDITION_FAILED};
use crate::protocol::http::semantics::negotiation::{PLAIN, preferred_media_type};
use crate::protocol::http::semantics::preconditions::{Preconditions, Verdict};
use crate::protocol::http::semantics::{HeaderName, HttpError, Method, Request, Response, Status, field};
use crate::services::{Context, LibrarySite};
use crate::site::{Resolved, types};
use crate::store::{LibraryError, Name, StoreError, Upload};

/// Starts to store the body of a PUT, if the request is valid and permitted.
pub(super) fn begin_file(
    path: &[u8],
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Upload, HttpError> {
    let announced = announced_digest(&request.headers)?;
    let name = name_of(path).ok_or(BAD_NAME)?;
    check_origin(&request.headers, cx.http)?;
    if request.headers.has(HeaderName::ContentRange) {
        // RFC 9110 section 14.5.
        return Err(HttpError::bad_request("PUT with Content-Range is not supported"));
    }
    if request.headers.has(HeaderName::ContentEncoding) {
        // The file would be served without Content-Encoding later.
        let detail = "Uploads with Content-Encoding are not supported";
        return Err(HttpError::new(Status::UnsupportedMediaType, detail));
    }
    check_preconditions(path, request, cx.http.library.as_mut(), &cx.core.clock)?;
    let mut upload = cx.core.library.create_or_repeat(&name, request.body_length).map_err(library_error)?;
    if let Some(sha256) = announced {
        upload = upload.expect(sha256);
    }
    let only_if_new = request.headers.get(HeaderName::IfNoneMatch).is_some_and(|tags| &*tags == b"*");
    Ok(if only_if_new { upload.only_if_new() } else { upload })
}

/// Stores a completely received file. The preconditions are evaluated again, because the stored file may have
/// changed while the body was received.
pub(super) fn finish_file(
    upload: Upload,
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Response, HttpError> {
    check_preconditions(&upload.name().path(), request, cx.http.library.as_mut(), &cx.core.clock)?;
    let requested = upload.name().clone();
    let stored = cx.store(upload).map_err(|error| match (error, request.method) {
        (LibraryError::Mismatch, Method::Put) => MISMATCH,
        (error, _) => library_error(error),
    })?;
    Ok(match stored.is_new {
        true if stored.name != requested => renamed(&stored.name, request),
        true => Response::empty(Status::Created, Vec::new()),
        false => Response::empty(Status::NoContent, Vec::new()),
    })
}

/// Responds to an upload whose name was taken with the name under which it is stored (RFC 9110 section
/// 15.3.2).
fn renamed(name: &Name, request: &Request<'_>) -> Response {
    let fields = vec![field("Location", address_of(name)), field("Vary", "Accept")];
    let accept = request.headers.get(HeaderName::Accept);
    if preferred_media_type(accept.as_deref(), &[PLAIN, types::JSON]) == Some(types::JSON) {
        let mut json = String::from("{\"name\":\"");
        escape_json(name.as_str(), &mut json);
        json.push_str("\"}\n");
        return Response::text(Status::Created, types::JSON, fields, json);
    }
    Response::text(Status::Created, types::TEXT, fields, format!("{name}\n"))
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

/// Evaluates the preconditions of a write (RFC 9110 section 13.1). Fails if they depend on a file that cannot be
/// opened.
fn check_preconditions(
    path: &[u8],
    request: &Request<'_>,
    library: Option<&mut LibrarySite>,
    clock: &Clock,
) -> Result<(), HttpError> {
    let conditions = Preconditions::of_write(&request.headers);
    let Preconditions { if_match, if_none_match, if_unmodified_since, .. } = &conditions;
    if if_match.is_none() && if_none_match.is_none() && if_unmodified_since.is_none() {
        return Ok(());
    }
    let Some(library) = library else { return Err(NOT_FOUND) };
    let holds = match library.site.find(path, clock) {
        Ok(Resolved::File(file)) => conditions.evaluate(validators(&file)) == Verdict::Proceed,
        // If-Match fails if there is no file; all other conditions hold.
        Ok(_) | Err(StoreError::NotFound) => if_match.is_none(),
        Err(error) => return Err(store_error(error)),
    };
    if holds { Ok(()) } else { Err(PRECONDITION_FAILED) }
}
