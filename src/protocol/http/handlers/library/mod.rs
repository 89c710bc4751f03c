//! The library over HTTP: `/files/` lists the files and accepts forms, and `/files/NAME` reads, stores and
//! deletes a file.

mod announced;
mod error;
mod form;
mod methods;
mod multipart;
mod origin;
mod partial;
mod path;
mod sink;
mod write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::error_pages::store_error;
use super::files;
use super::listing::{self, Actions, UploadLimits};
use crate::clock::Clock;
use crate::protocol::http::semantics::error::NOT_FOUND;
use crate::protocol::http::semantics::target::query_has;
use crate::protocol::http::semantics::uri::folder_address;
use crate::protocol::http::semantics::{
    HttpError, Method, Outcome, Request, Response, Status, Target, field,
};
use crate::services::{Context, LibrarySite};
use crate::site::Resolved;
use methods::{allowed_methods, is_deletable};
pub(super) use path::path_within;
use path::{FOLDER, name_of};
pub(crate) use sink::{Acceptance, UploadSink};

/// Handles a request to `path`, which is the path of the URL after `/files`, except an upload.
pub(super) fn respond(
    path: &[u8],
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Outcome, HttpError> {
    let query = if let Target::Path { query, .. } = request.target { query } else { None };
    let response = match (request.method, partial::upload_key(path, request)) {
        (Method::Head, Some(key)) => return partial::offset(&key, cx),
        (Method::Delete, Some(key)) => partial::abandon(&key, request, cx)?,
        (Method::Get | Method::Head, _) => match path {
            [] => Response::permanent_redirect(folder_address(FOLDER.as_bytes(), query)),
            b"/" => list(query, request, cx)?,
            _ => return get(path, query, request, cx.http.library.as_mut(), &cx.core.clock),
        },
        (Method::Options, _) => {
            Response::empty(Status::NoContent, vec![field("Allow", allowed_methods(path, cx))])
        }
        (Method::Delete, None) if is_deletable(cx) && path.len() > 1 => write::delete(path, request, cx)?,
        _ => return Err(HttpError::method_not_allowed(allowed_methods(path, cx))),
    };
    Ok(Outcome::Handled(response))
}

fn list(query: Option<&[u8]>, request: &Request<'_>, cx: &mut Context<'_>) -> Result<Response, HttpError> {
    let Some(library) = &cx.http.library else { return Err(NOT_FOUND) };
    let folder = library.site.list(b"/").map_err(store_error)?;
    let upload = cx
        .core
        .library
        .upload_max()
        .ok()
        .map(|max_bytes| UploadLimits { max_bytes, on_duplicate: cx.core.library.rules().on_duplicate });
    let actions = Actions { upload, delete: is_deletable(cx), ..Actions::LIBRARY };
    listing::respond(folder, FOLDER.as_bytes(), query, request, &actions)
}

fn get(
    path: &[u8],
    query: Option<&[u8]>,
    request: &Request<'_>,
    library: Option<&mut LibrarySite>,
    clock: &Clock,
) -> Result<Outcome, HttpError> {
    let (Some(library), Some(name)) = (library, name_of(path)) else { return Err(NOT_FOUND) };
    let Resolved::File(file) = library.site.find(path, clock).map_err(store_error)? else {
        return Err(NOT_FOUND);
    };
    Ok(match files::respond(file, request, &mut library.site, clock)? {
        Outcome::Handled(response) if query_has(query, b"download") => {
            Outcome::Handled(response.with(field("Content-Disposition", attachment(name.as_str()))))
        }
        outcome => outcome,
    })
}

/// Returns a Content-Disposition with the name of the file (RFC 6266): in ASCII for old programs, and complete.
fn attachment(name: &str) -> String {
    // Programs unescape backslashes and percent signs in different ways (RFC 6266 appendix D).
    let is_safe = |letter: char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '%' | '\\');
    let ascii: String = name.chars().map(|letter| if is_safe(letter) { letter } else { '_' }).collect();
    let complete = percent_encode(name.as_bytes(), VALUE);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{complete}")
}

/// The bytes that are encoded in an extended parameter: all but `attr-char` (RFC 8187 section 3.2.1).
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');
