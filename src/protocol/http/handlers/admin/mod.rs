//! The admin interface: the inspector's page, the state of the loop for programs, metrics and health. It has listeners
//! of its own; no request to the site gets here.

mod connections;
mod events;
mod frame;
mod metrics;
mod query;

use super::host::is_own;
use crate::protocol::http::semantics::error::NOT_FOUND;
use crate::protocol::http::semantics::negotiation::preferred_media_type;
use crate::protocol::http::semantics::{
    Body, BodySource, HeaderName, HttpError, Method, Outcome, Request, Response, Status, Target, field,
};
use crate::services::{AdminToken, Context, Detail};
use crate::site::types;
use connections::ConnectionList;
use events::EventStream;
use query::Query;

/// Handles a request to the admin interface, whose secret is `token`.
pub(super) fn respond(
    request: &Request<'_>,
    token: AdminToken,
    cx: &mut Context<'_>,
) -> Result<Outcome, HttpError> {
    let Target::Path { path, query, .. } = request.target else { return Err(NOT_FOUND) };
    if path == b"/healthz" {
        require_read(request)?;
        return Ok(Outcome::Handled(health(cx.core.is_draining())));
    }
    if !request.headers.host().is_none_or(|host| is_own(&host, &cx.http.hosts)) {
        return Err(FOREIGN_HOST);
    }
    if let Some(id) = path.strip_prefix(b"/connections/") {
        return close(id, token, request, cx);
    }
    let response = match path {
        b"/" => Response::page(Status::Ok, Vec::new(), page(token)),
        b"/page.css" => text(CSS, include_str!("page.css").to_owned()),
        b"/page.js" => text(JAVASCRIPT, include_str!("page.js").to_owned()),
        b"/chart.js" => text(JAVASCRIPT, include_str!("chart.js").to_owned()),
        b"/events" => {
            let place = cx.core.inspector.admit_viewer().ok_or(TOO_MANY_VIEWERS)?;
            stream(EVENT_STREAM, EventStream::new(place))
        }
        b"/loop.json" => return loop_state(query, request, cx),
        b"/metrics" => return metrics(request, cx),
        _ => return Err(NOT_FOUND),
    };
    require_read(request)?;
    Ok(Outcome::Handled(response))
}

const FOREIGN_HOST: HttpError = HttpError::new(
    Status::Forbidden,
    "The admin interface answers under this host name only if --host names it",
);

const TOO_MANY_VIEWERS: HttpError =
    HttpError::new(Status::ServiceUnavailable, "Too many clients receive the events; close one of them");

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const EVENT_STREAM: &str = "text/event-stream";

fn require_read(request: &Request<'_>) -> Result<(), HttpError> {
    match request.method {
        Method::Get | Method::Head => Ok(()),
        _ => Err(HttpError::method_not_allowed("GET, HEAD")),
    }
}

fn text(content_type: &'static str, text: String) -> Response {
    Response::text(Status::Ok, content_type, Vec::new(), text)
}

fn stream(content_type: &'static str, source: impl BodySource + 'static) -> Response {
    let fields = vec![field("Content-Type", content_type)];
    Response { status: Status::Ok, metadata: None, fields, body: Body::Stream(Box::new(source)) }
}

fn page(token: AdminToken) -> String {
    include_str!("page.html").replace("{token}", &token.to_string())
}

/// Responds to a probe: 503 tells a balancer to send no more requests.
fn health(is_draining: bool) -> Response {
    let (status, word) = match is_draining {
        true => (Status::ServiceUnavailable, "draining\n"),
        false => (Status::Ok, "ok\n"),
    };
    Response::text(status, types::TEXT, Vec::new(), word.to_owned())
}

fn loop_state(
    query: Option<&[u8]>,
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Outcome, HttpError> {
    require_read(request)?;
    cx.core.inspector.watch(cx.core.clock.now.monotonic);
    let Some(census) = cx.core.inspector.census(Detail::Connections) else { return Ok(Outcome::Pending) };
    let query = Query::parse(query, &census)?;
    Ok(Outcome::Handled(stream(types::JSON, ConnectionList::new(census, &query, cx.core))))
}

fn metrics(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Outcome, HttpError> {
    require_read(request)?;
    let Some(census) = cx.core.inspector.census(Detail::Overview) else { return Ok(Outcome::Pending) };
    let accept = request.headers.get(HeaderName::Accept);
    let format = preferred_media_type(accept.as_deref(), &[metrics::PROMETHEUS, metrics::OPEN_METRICS]);
    let is_open = format == Some(metrics::OPEN_METRICS);
    let content_type = if is_open { metrics::OPEN_METRICS_TYPE } else { metrics::PROMETHEUS_TYPE };
    let response = text(content_type, metrics::render(&census, cx.core, is_open));
    Ok(Outcome::Handled(response.with(field("Vary", "Accept"))))
}

/// Closes the connection with the number `id`. A page of another origin can send no such request: it would need the
/// token, and permission to send the field (Fetch Standard, CORS preflight).
fn close(
    id: &[u8],
    token: AdminToken,
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Outcome, HttpError> {
    if request.method != Method::Delete {
        return Err(HttpError::method_not_allowed("DELETE"));
    }
    let given = request.headers.admin_token().unwrap_or_default();
    if !token.is(&given) {
        return Err(HttpError::new(
            Status::Forbidden,
            "X-Evserve-Token has to be the token that the page of the admin interface contains",
        ));
    }
    let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or(NOT_FOUND)?;
    match cx.core.inspector.close(id) {
        None => Ok(Outcome::Pending),
        Some(true) => Ok(Outcome::Handled(Response::empty(Status::NoContent, Vec::new()))),
        Some(false) => Err(NOT_FOUND),
    }
}
