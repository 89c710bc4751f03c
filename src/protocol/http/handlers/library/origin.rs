//! The origin check of writes: a page may write only to the server that it is from. Programs other than
//! browsers are not restricted.

use std::net::IpAddr;

use crate::protocol::http::semantics::uri::host_name;
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
        true if is_own(&host, http) => Ok(()),
        // An attacker can point a domain at this server (DNS rebinding).
        true => Err(HttpError::new(
            Status::Forbidden,
            "Browsers may write under this host name only if --host names it",
        )),
    }
}

/// Returns whether a Host is an IP address, localhost, or a name set by `--host`.
fn is_own(host: &[u8], http: &HttpServices) -> bool {
    let host = String::from_utf8_lossy(host);
    let name = host_name(&host);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let given = http
        .library
        .as_ref()
        .is_some_and(|library| library.hosts.iter().any(|own| own.eq_ignore_ascii_case(name)));
    given || name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}
