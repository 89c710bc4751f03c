//! `/session`: the documents' visitor, who is known again by a cookie (RFC 6265), or by an address
//! that was rewritten for who takes none: `/session?sid=ID`.

use crate::clock::rfc3339;
use crate::services::Services;
use crate::sessions::{Session, SessionId};
use crate::site::types;

use super::answer::Answer;
use super::errors;
use super::grammar::trim;
use super::preferences::{PLAIN, best_kind};
use super::request::Request;
use super::status::{Refusal, Status};
use super::target::query_value;
use super::wishes::{Wish, Wishes};

/// Every answer is another.
const CACHING: &str = "Cache-Control: no-store\r\nVary: Accept, Cookie\r\n";

/// Counts a visit and says who is visiting.
pub fn answer(query: Option<&[u8]>, request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
    if let Some(answer) = errors::precluded(&request.wishes, CACHING)? {
        return Ok(answer);
    }
    if let Some((id, session)) = returning(query, &request.wishes, cx) {
        return Ok(introduce(id, session, CACHING, &request.wishes));
    }
    let (id, session) = cx.sessions.begin(cx.clock.reading()).map_err(|error| {
        log::error!("cannot begin a session: {error}");
        Refusal::new(Status::ServiceUnavailable, "The system has no random numbers now")
    })?;
    let fields = format!("{CACHING}Set-Cookie: sid={id}; HttpOnly; SameSite=Lax; Path=/\r\n");
    Ok(introduce(id, session, &fields, &request.wishes))
}

/// The session that a request names, if there is one. What the address says counts only where the
/// cookie names none, and makes no cookie: a link from elsewhere cannot give a visitor who has a
/// session another one.
fn returning(query: Option<&[u8]>, wishes: &Wishes<'_>, cx: &mut Services) -> Option<(SessionId, Session)> {
    let now = cx.clock.reading();
    let cookies = wishes.get(Wish::Cookie).unwrap_or_default();
    // Lines of one field were joined by commas.
    let pairs = cookies.split(|byte| matches!(byte, b';' | b',')).map(trim);
    let names = pairs.filter_map(|pair| pair.strip_prefix(b"sid="));
    let mut ids = names.chain(query_value(query, b"sid")).filter_map(SessionId::parse);
    ids.find_map(|id| Some((id, cx.sessions.visit(id, now)?)))
}

fn introduce(id: SessionId, session: Session, fields: &str, wishes: &Wishes<'_>) -> Answer {
    let Session { visits, first, .. } = session;
    let first = rfc3339(first);
    match best_kind(wishes.get(Wish::Accept).as_deref(), &[PLAIN, types::JSON]) {
        Some(types::JSON) => {
            let text = format!("{{\"id\":\"{id}\",\"visits\":{visits},\"first_visit\":\"{first}\"}}\n");
            Answer::text(Status::Ok, types::JSON, fields, text)
        }
        _ => {
            let text = format!("id: {id}\nvisits: {visits}\nfirst visit: {first}\n");
            Answer::text(Status::Ok, types::TEXT, fields, text)
        }
    }
}
