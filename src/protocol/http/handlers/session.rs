//! `/session`: counts the visits of a client. The session id is in a cookie (RFC 6265) or in the query:
//! `/session?sid=ID`.

use crate::clock::{Clock, rfc3339};
use crate::protocol::http::semantics::grammar::trim;
use crate::protocol::http::semantics::negotiation::{PLAIN, preferred_media_type};
use crate::protocol::http::semantics::preconditions::unvalidated_response;
use crate::protocol::http::semantics::target::query_value;
use crate::protocol::http::semantics::{
    Field, HeaderName, Headers, HttpError, Request, Response, Status, field,
};
use crate::services::{Session, SessionId, Sessions};
use crate::site::types;

/// Counts a visit and responds with the session.
pub(super) fn respond(
    query: Option<&[u8]>,
    request: &Request<'_>,
    sessions: &mut Sessions,
    clock: &Clock,
) -> Result<Response, HttpError> {
    // No two responses are equal, so none may be cached.
    let mut fields = vec![field("Cache-Control", "no-store"), field("Vary", "Accept, Cookie")];
    if let Some(response) = unvalidated_response(&request.headers, &fields)? {
        return Ok(response);
    }
    if let Some((id, session)) = find_session(query, &request.headers, sessions, clock) {
        return Ok(render(id, session, fields, &request.headers));
    }
    let (id, session) = sessions.begin(clock.now).map_err(|error| {
        log::error!("cannot create a session: {error}");
        HttpError::new(Status::ServiceUnavailable, "The system has no random numbers at the moment")
    })?;
    fields.push(field("Set-Cookie", format!("sid={id}; HttpOnly; SameSite=Lax; Path=/")));
    Ok(render(id, session, fields, &request.headers))
}

/// Counts a visit to the session that the request names, if there is one. The query counts only if the
/// cookie names no session, and it sets no cookie, so that a link on another site cannot replace a visitor's
/// session.
fn find_session(
    query: Option<&[u8]>,
    headers: &Headers<'_>,
    sessions: &mut Sessions,
    clock: &Clock,
) -> Option<(SessionId, Session)> {
    let now = clock.now;
    let cookies = headers.get(HeaderName::Cookie).unwrap_or_default();
    // `Headers::get` joins several Cookie lines with commas.
    let pairs = cookies.split(|byte| matches!(byte, b';' | b',')).map(trim);
    let names = pairs.filter_map(|pair| pair.strip_prefix(b"sid="));
    let mut ids = names.chain(query_value(query, b"sid")).filter_map(SessionId::parse);
    ids.find_map(|id| Some((id, sessions.visit(id, now)?)))
}

fn render(id: SessionId, session: Session, fields: Vec<Field>, headers: &Headers<'_>) -> Response {
    let Session { visits, first, .. } = session;
    let first = rfc3339(first);
    match preferred_media_type(headers.get(HeaderName::Accept).as_deref(), &[PLAIN, types::JSON]) {
        Some(types::JSON) => {
            let text = format!("{{\"id\":\"{id}\",\"visits\":{visits},\"first_visit\":\"{first}\"}}\n");
            Response::text(Status::Ok, types::JSON, fields, text)
        }
        _ => {
            let text = format!("id: {id}\nvisits: {visits}\nfirst visit: {first}\n");
            Response::text(Status::Ok, types::TEXT, fields, text)
        }
    }
}
