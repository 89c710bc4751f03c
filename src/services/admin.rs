//! The services of the admin interface, which shares neither files nor rules nor logs with the site.

use super::{AdminToken, HttpServices};
use crate::observe::Statistics;
use crate::site::{Rules, Site};
use crate::store::{Bounds, MemoryStore};

/// The services of the admin interface.
pub struct AdminServices {
    /// The services for HTTP, without files.
    pub http: HttpServices,
    /// The counters since the start of the server.
    pub statistics: Statistics,
}

/// The header fields of every response of the admin interface. Pages of other origins can neither embed nor read it.
const ADMIN_FIELDS: [(&str, &str); 6] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
];

impl AdminServices {
    /// Creates the services for pages that have `token` and are reached under `hosts`.
    pub fn new(token: AdminToken, hosts: Vec<String>) -> AdminServices {
        let fields = ADMIN_FIELDS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let rules = Rules { extra_fields: fields.to_vec(), ..Rules::default() };
        let site = Site::new(Box::new(MemoryStore::default()), rules, Bounds::within(0));
        let mut http = HttpServices::new(site);
        (http.hosts, http.admin) = (hosts, Some(token));
        AdminServices { http, statistics: Statistics::default() }
    }
}
