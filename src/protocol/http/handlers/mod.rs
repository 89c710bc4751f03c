//! Turns requests into responses, independent of the HTTP version.

mod admin;
mod byte_ranges;
mod error_pages;
mod escape;
mod files;
mod host;
mod library;
mod listing;
mod session;

use std::borrow::Cow;

pub(super) use error_pages::error_response;
pub(super) use library::{Acceptance, UploadSink};

use super::semantics::error::{ALLOW, NOT_FOUND};
use super::semantics::negotiation::is_navigation;
use super::semantics::preconditions::unvalidated_response;
use super::semantics::uri::{folder_address, https_address};
use super::semantics::{HttpError, Method, Outcome, Request, Response, Status, Target, field, target};
use crate::clock::Clock;
use crate::services::{Context, HttpServices};
use crate::site::{Resolved, Rules, types};
use crate::store::StoreError;

/// Handles a request whose body, if any, is not stored.
pub(super) fn respond(request: &Request<'_>, cx: &mut Context<'_>) -> Outcome {
    if let Some(port) = redirect_port(request, cx) {
        return Outcome::Handled(redirect_to_https(request, port));
    }
    let routed = match cx.http.admin {
        Some(token) => admin::respond(request, token, cx),
        None => route(request, cx),
    };
    routed.unwrap_or_else(|error| {
        Outcome::Handled(error_response(error, &request.headers, &mut cx.http.site, &cx.core.clock))
    })
}

/// Starts to store the body of a request. Returns `None` if the request is not an upload; the caller then
/// passes it to [`respond`]. A failed attempt is not repeated: the caller reads the body, and responds with the
/// error.
pub(super) fn accept_upload(
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Option<Acceptance>, HttpError> {
    if redirect_port(request, cx).is_some() {
        return Ok(None);
    }
    match (request.method, library::path_within(request, cx.http)) {
        (Method::Put | Method::Post | Method::Patch, Some(path)) => {
            UploadSink::begin(&path, request, cx).map(Some)
        }
        _ => Ok(None),
    }
}

/// Returns the port to which `--redirect-https` redirects a request without TLS. Certificate authorities ask over plain
/// HTTP (RFC 8555 section 8.3).
fn redirect_port(request: &Request<'_>, cx: &Context<'_>) -> Option<u16> {
    let is_challenge = |target| matches!(target, Target::Path { path, .. } if is_challenge(path));
    cx.http.https.redirect_port.filter(|_| !cx.is_encrypted && !is_challenge(request.target))
}

fn redirect_to_https(request: &Request<'_>, port: u16) -> Response {
    let (path, query) = match request.target {
        Target::Path { path, query, .. } => (path, query),
        Target::Server | Target::Authority => (&b"/"[..], None),
    };
    let host = request.headers.host().unwrap_or_default();
    match https_address(&host, port, path, query) {
        Some(address) => Response::permanent_redirect(address),
        None => {
            Response::text(Status::BadRequest, types::TEXT, Vec::new(), "This server needs HTTPS\n".into())
        }
    }
}

/// Returns whether a path is that of a challenge: a token, which cannot lead out of its folder.
fn is_challenge(path: &[u8]) -> bool {
    path.strip_prefix(b"/.well-known/acme-challenge/").is_some_and(|token| {
        let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        !token.starts_with(b".") && token.iter().all(is_of_token)
    })
}

fn route(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Outcome, HttpError> {
    if let Some(path) = library::path_within(request, cx.http) {
        return library::respond(&path, request, cx);
    }
    let (path, query) = match request.target {
        Target::Path { path, query, .. } => (target::decode(path)?, query),
        Target::Server | Target::Authority => (Cow::Borrowed(&b""[..]), None),
    };
    match request.method {
        Method::Get | Method::Head => get(&path, query, request, cx.http, &cx.core.clock),
        Method::Options => Ok(Outcome::Handled(options(&cx.http.site.rules))),
        _ => Err(HttpError::method_not_allowed(ALLOW)),
    }
}

fn get(
    path: &[u8],
    query: Option<&[u8]>,
    request: &Request<'_>,
    http: &mut HttpServices,
    clock: &Clock,
) -> Result<Outcome, HttpError> {
    let response = match http.site.find(path, clock) {
        Ok(Resolved::File(file)) => return files::respond(file, request, &mut http.site, clock),
        Ok(Resolved::Folder) => match http.site.list(path) {
            Ok(folder) => listing::respond(folder, path, query, request, &listing::Actions::SITE)?,
            Err(error) => return missing(error, path, request, http, clock),
        },
        Ok(Resolved::FolderWithoutSlash) => Response::permanent_redirect(folder_address(path, query)),
        Err(StoreError::NotFound) if path == b"/time" => time(request, clock)?,
        Err(StoreError::NotFound) if path == b"/session" => {
            session::respond(query, request, &mut http.sessions, clock)?
        }
        Err(error) => return missing(error, path, request, http, clock),
    };
    Ok(Outcome::Handled(response))
}

/// Responds to a request for a path that cannot be opened. In a single-page application the script of the front
/// page routes a path that does not exist.
fn missing(
    error: StoreError,
    path: &[u8],
    request: &Request<'_>,
    http: &mut HttpServices,
    clock: &Clock,
) -> Result<Outcome, HttpError> {
    match error {
        StoreError::NotFound if http.site.rules.spa && is_navigation(path, &request.headers) => {
            match http.site.find(b"/", clock).map_err(error_pages::store_error)? {
                Resolved::File(file) => files::respond(file, request, &mut http.site, clock),
                _ => Err(NOT_FOUND),
            }
        }
        error => Err(error_pages::store_error(error)),
    }
}

/// Responds to OPTIONS (RFC 9110 section 9.3.7), which browsers also send as a CORS preflight (Fetch
/// Standard).
fn options(rules: &Rules) -> Response {
    let response = Response::empty(Status::NoContent, vec![field("Allow", ALLOW)]);
    if !rules.cors {
        return response;
    }
    response
        .with(field("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"))
        .with(field("Access-Control-Allow-Headers", "*"))
        .with(field("Access-Control-Max-Age", "86400"))
}

/// Responds to `/time`. A file of that name in the site takes precedence.
fn time(request: &Request<'_>, clock: &Clock) -> Result<Response, HttpError> {
    let fields = vec![field("Cache-Control", "no-store")];
    match unvalidated_response(&request.headers, &fields)? {
        Some(response) => Ok(response),
        None => Ok(Response::text(Status::Ok, types::TEXT, fields, clock.ctime())),
    }
}
