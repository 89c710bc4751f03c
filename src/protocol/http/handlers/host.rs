//! The host names that belong to the server. An attacker can point the name of a site at this server, so that a browser
//! takes its responses for those of the site (DNS rebinding); this needs a name other than these.

use std::net::IpAddr;

use crate::protocol::http::semantics::uri::host_name;

/// Returns whether a Host is an IP address, localhost, or one of `names`.
pub(super) fn is_own(host: &[u8], names: &[String]) -> bool {
    let host = String::from_utf8_lossy(host);
    let name = host_name(&host);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    names.iter().any(|own| own.eq_ignore_ascii_case(name))
        || name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok()
}
