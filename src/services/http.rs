//! The services for HTTP: the site, the library as HTTP serves it, the sessions and the access log.

use super::{AdminToken, Sessions};
use crate::clock::{Clock, Instant};
use crate::limits::LOG_RETRY;
use crate::observe::AccessLog;
use crate::peer::Peer;
use crate::site::Site;
use crate::store::Name;

/// The services for HTTP.
pub struct HttpServices {
    /// The site that HTTP serves.
    pub site: Site,
    /// The library under `/files/`, if the library has a folder other than the site's.
    pub library: Option<LibrarySite>,
    /// The sessions of `/session`.
    pub sessions: Sessions,
    /// The access log, if there is one.
    pub access_log: Option<AccessLog>,
    /// What clients are told of HTTPS.
    pub https: HttpsPolicy,
    /// The host names, in addition to IP addresses and localhost, under which browsers may write to the library and use
    /// the admin interface.
    pub hosts: Vec<String>,
    /// The secret of the admin interface, if these are its services.
    pub admin: Option<AdminToken>,
    /// Whether it was logged that a client spoke TLS.
    tls_reported: bool,
}

/// What clients are told of HTTPS.
#[derive(Clone, Debug, Default)]
pub struct HttpsPolicy {
    /// The port to which requests without TLS are redirected, if they are.
    pub redirect_port: Option<u16>,
    /// The value of Strict-Transport-Security (RFC 6797) in responses over TLS.
    pub hsts: Option<String>,
}

impl HttpsPolicy {
    /// Returns whether requests with and without TLS get different responses.
    pub fn distinguishes(&self) -> bool {
        self.redirect_port.is_some() || self.hsts.is_some()
    }
}

/// The library as HTTP serves it.
pub struct LibrarySite {
    /// The files of the library.
    pub site: Site,
    /// Whether clients may delete files.
    pub allow_delete: bool,
}

impl HttpServices {
    /// Creates the services with a site only.
    pub fn new(site: Site) -> HttpServices {
        HttpServices {
            site,
            library: None,
            sessions: Sessions::default(),
            access_log: None,
            https: HttpsPolicy::default(),
            hosts: Vec::new(),
            admin: None,
            tls_reported: false,
        }
    }

    /// Logs that `peer` spoke TLS, once: browsers that prefer HTTPS, and scanners, try again and again.
    pub fn report_tls(&mut self, peer: Peer) {
        if !std::mem::replace(&mut self.tls_reported, true) {
            log::warn!(
                "a client spoke TLS to the plain HTTP listener ({peer}); use http:// there; --https ADDR listens for TLS; further attempts are not logged"
            );
        }
    }

    /// Runs the tasks that are due at the end of a turn. Returns the time of the next task, if any.
    pub fn run_background_tasks(&mut self, clock: &Clock) -> Option<Instant> {
        let site = self.site.advance(clock);
        let library = self.library.as_mut().and_then(|library| library.site.advance(clock));
        [site, library, self.flush_access_log(clock.now.monotonic)].into_iter().flatten().min()
    }

    /// Drops the cache entry of a file of the library.
    pub fn forget(&mut self, name: &Name) {
        if let Some(library) = &mut self.library {
            library.site.forget(&name.path());
        }
    }

    /// Writes the access log lines of the turn. Returns when to retry the lines that were not written.
    fn flush_access_log(&mut self, now: Instant) -> Option<Instant> {
        let log = self.access_log.as_mut()?;
        log.flush();
        log.is_waiting().then(|| now + LOG_RETRY)
    }
}
