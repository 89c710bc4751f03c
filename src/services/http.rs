//! What HTTP has to itself: the site, the library as it serves it, the sessions and the access log.

use std::time::Instant;

use super::Sessions;
use crate::clock::Clock;
use crate::limits::LOG_RETRY;
use crate::observe::AccessLog;
use crate::site::Site;
use crate::store::Name;

/// HTTP's services.
pub struct HttpServices {
    /// The site.
    pub site: Site,
    /// The library under `/files/`, if it has a folder of its own.
    pub library: Option<LibrarySite>,
    /// The visitors of `/session`.
    pub sessions: Sessions,
    /// A line for each response.
    pub access_log: Option<AccessLog>,
}

/// The library as HTTP serves it.
pub struct LibrarySite {
    /// Its files.
    pub site: Site,
    /// Whether they may be deleted.
    pub allow_delete: bool,
    /// Names of this server under which a browser may write, beside addresses and localhost.
    pub hosts: Vec<String>,
}

impl HttpServices {
    /// With a site alone.
    pub fn new(site: Site) -> HttpServices {
        HttpServices { site, library: None, sessions: Sessions::default(), access_log: None }
    }

    /// Does what is due at the end of a turn. Returns when there is more of it.
    pub fn run_background_tasks(&mut self, clock: &Clock) -> Option<Instant> {
        let site = self.site.advance(clock);
        let library = self.library.as_mut().and_then(|library| library.site.advance(clock));
        [site, library, self.flush_access_log(clock.now.monotonic)].into_iter().flatten().min()
    }

    /// Drops what is cached of a file of the library.
    pub fn forget(&mut self, name: &Name) {
        if let Some(library) = &mut self.library {
            library.site.forget(&name.path());
        }
    }

    /// Writes the lines that the turn has brought. Returns when to try the rest again.
    fn flush_access_log(&mut self, now: Instant) -> Option<Instant> {
        let log = self.access_log.as_mut()?;
        log.flush();
        log.is_waiting().then(|| now + LOG_RETRY)
    }
}
