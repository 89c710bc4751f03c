//! The origin check of writes: a page may write only to the server that it is from. Programs other than
//! browsers are not restricted.

use crate::protocol::http::handlers::host::is_own;
use crate::protocol::http::semantics::{HeaderName, Headers, HttpError, Status};
use crate::services::HttpServices;

/// Rejects a request that a page of another origin made a browser send (CSRF). Other programs send
/// neither Sec-Fetch-Site nor Origin.
pub(super) fn check_origin(headers: &Headers<'_>, http: &HttpServices) -> Result<(), HttpError> {
    let site = headers.get(HeaderName::SecFetchSite);
    let origin = headers.get(HeaderName::Origin);
    let host = headers.host().unwrap_or_default();
    let same = match (site.as_deref(), origin.as_deref()) {
        (Some(site), _) => site == b"same-origin" || site == b"none",
        (None, Some(origin)) => {
            origin.strip_prefix(b"http://").or(origin.strip_prefix(b"https://")) == Some(&*host)
        }
        (None, None) => return Ok(()),
    };
    match same {
        false => Err(HttpError::new(Status::Forbidden, "Pages of other origins may not write here")),
        true if is_own(&host, &http.hosts) => Ok(()),
        // An attacker can point a domain at this server (DNS rebinding).
        true => Err(HttpError::new(
            Status::Forbidden,
            "Browsers may write under this host name only if --host names it",
        )),
    }
}
