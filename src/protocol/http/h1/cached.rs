//! The response to the most common request, from the cache.

use super::access;
use super::encode::{HeadContext, PRELUDE_DATE_AT, prelude};
use super::framing::Framing;
use super::head::Head;
use super::state::State;
use super::version::Disposition;
use crate::observe::QueuedBytes;
use crate::outbox::Outbox;
use crate::protocol::http::semantics::negotiation::accepted_codings;
use crate::protocol::http::semantics::{HeaderName, Method, Target};
use crate::services::Context;

/// Responds to the most common request: a GET of a complete file that the cache holds in one piece with
/// its head. Returns whether it did. `state` is that in which the request arrived.
#[inline]
pub(super) fn respond_from_cache(
    head: &Head<'_>,
    state: &State,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> bool {
    let (Method::Get, Target::Path { path, is_plain: true, .. }) = (head.request.method, head.request.target)
    else {
        return false;
    };
    if head.framing != Framing::Length(0)
        || head.disposition(None, cx.core.is_draining()) != Disposition::KeepAlive
    {
        return false;
    }
    let headers = &head.request.headers;
    if !headers.is_unconditional() || (!cx.is_encrypted && cx.http.https.distinguishes()) {
        return false;
    }
    let accepted = headers.get(HeaderName::AcceptEncoding).map(|value| accepted_codings(&value));
    let clock = &cx.core.clock;
    let (date, https) = ((PRELUDE_DATE_AT, clock.http_date()), &cx.http.https);
    let Some((file, rules)) = cx.http.site.cached(path, accepted, clock) else { return false };
    let render = |metadata: &_, length| {
        prelude(metadata, length, HeadContext { rules, clock, hsts: https.hsts.as_deref() })
    };
    let Some((message, length)) = file.message(date, render) else { return false };
    if cx.http.access_log.is_some() {
        let begun = state.request_begun(cx.core);
        access::log_cached(headers.block, begun, QueuedBytes::whole(length, message.len() as u64), cx);
    }
    out.append(message);
    cx.statistics.requests += 1;
    true
}
