//! The services that a protocol borrows for the duration of a call.

mod ack;
mod admin;
mod admin_token;
mod core;
mod http;
mod inspector;
mod rate_limiter;
mod sessions;
mod template;

pub use ack::AckServices;
pub use admin::AdminServices;
pub use admin_token::AdminToken;
pub use core::Core;
pub use http::{HttpServices, HttpsPolicy, LibrarySite};
pub use inspector::{Detail, Inspector, ViewerPlace, frame_interval};
pub use rate_limiter::RateLimiter;
pub use sessions::{Session, SessionId, Sessions};
pub use template::{Message, Template};

use crate::clock::{Instant, Now};
use crate::limits::Limits;
use crate::observe::{ServiceCounts, Statistics};
use crate::peer::Peer;
use crate::site::{Rules, Site};
use crate::store::{Bounds, Library, LibraryError, Name, Store, Stored, Upload};

/// The services of one event loop.
pub struct Services {
    /// The services that all protocols and the event loop share.
    pub core: Core,
    /// The services for HTTP.
    pub http: HttpServices,
    /// The services of the admin interface, if there is one.
    pub admin: Option<Box<AdminServices>>,
    /// The counters since the start of the server, without those of the admin interface.
    pub statistics: Statistics,
    /// The services for the acknowledging protocol.
    pub ack: AckServices,
}

/// The services as borrowed by one call to a protocol.
pub struct Context<'a> {
    /// The peer of the connection that is driven.
    pub peer: Peer,
    /// The number of the connection that is driven. It names the connection in logs.
    pub connection: usize,
    /// Whether the connection uses TLS.
    pub is_encrypted: bool,
    /// The services that all protocols and the event loop share.
    pub core: &'a mut Core,
    /// The services for HTTP.
    pub http: &'a mut HttpServices,
    /// The counters for this connection's part of the server.
    pub statistics: &'a mut Statistics,
    /// The services for the acknowledging protocol.
    pub ack: &'a mut AckServices,
}

impl Services {
    /// Creates services for the site `files`, served by `rules`, and for `library`, with the clock at `now`.
    pub fn new(files: Box<dyn Store>, rules: Rules, library: Library, limits: Limits, now: Now) -> Services {
        let site = Site::new(files, rules, Bounds::within(limits.max_files));
        Services {
            core: Core::new(library, limits, now),
            http: HttpServices::new(site),
            admin: None,
            statistics: Statistics::default(),
            ack: AckServices::default(),
        }
    }

    /// Borrows the services for a call that drives a connection of `peer` without TLS.
    pub fn context(&mut self, peer: Peer) -> Context<'_> {
        self.context_of(peer, 0, false)
    }

    /// Borrows the services for a call that drives a connection of `peer`.
    #[inline]
    pub fn context_of(&mut self, peer: Peer, connection: usize, is_encrypted: bool) -> Context<'_> {
        let Services { core, http, ack, statistics, .. } = self;
        Context { peer, connection, is_encrypted, core, http, ack, statistics }
    }

    /// Borrows the services for a call that drives a connection of `peer` to the admin interface.
    pub fn admin_context(&mut self, peer: Peer, connection: usize) -> Context<'_> {
        let Services { core, http, admin, ack, statistics } = self;
        let (http, statistics) = match admin {
            Some(admin) => (&mut admin.http, &mut admin.statistics),
            None => (http, statistics),
        };
        Context { peer, connection, is_encrypted: false, core, http, ack, statistics }
    }

    /// Returns the counters of the site, or of the admin interface.
    pub fn statistics_of(&mut self, is_admin: bool) -> &mut Statistics {
        match &mut self.admin {
            Some(admin) if is_admin => &mut admin.statistics,
            _ => &mut self.statistics,
        }
    }

    /// Returns the counters of the site and of the admin interface together.
    pub fn all_statistics(&self) -> Statistics {
        self.admin
            .as_ref()
            .map_or_else(|| self.statistics.clone(), |admin| &self.statistics + &admin.statistics)
    }

    /// Counts what the services hold.
    pub fn counts(&self) -> ServiceCounts {
        let sites = [Some(&self.http.site), self.http.library.as_ref().map(|library| &library.site)];
        let descriptors = self.core.library.descriptors();
        let mut counts = ServiceCounts {
            open_files: descriptors.used(),
            open_files_max: descriptors.most(),
            ..ServiceCounts::default()
        };
        sites.into_iter().flatten().for_each(|site| site.count(&mut counts));
        counts
    }

    /// Begins a turn at `now`, or work outside of a turn.
    pub fn begin_turn(&mut self, now: Now) {
        self.core.clock.advance(now);
        self.core.library.begin_turn(now.monotonic);
    }

    /// Runs the tasks that are due at the end of a turn. Returns the time of the next task, if any.
    pub fn run_background_tasks(&mut self) -> Option<Instant> {
        let clock = &self.core.clock;
        let http = self.http.run_background_tasks(clock);
        let library = self.core.library.run_background_tasks((clock.now.monotonic, clock.now.wall));
        [http, library].into_iter().flatten().min()
    }

    /// Reopens the log files, as after a rotation, and the folders of site and library if they were replaced.
    pub fn reload(&mut self) {
        self.http.site.reopen_if_replaced();
        self.core.library.reopen();
        let access = self.http.access_log.as_mut().map_or(Ok(()), |log| log.reopen());
        let events = self.core.event_log.as_ref().map_or(Ok(()), |log| log.reopen());
        if access.is_ok() && events.is_ok() {
            log::info!("reopened the log files");
        }
        for (name, reopened) in [("access", access), ("event", events)] {
            if let Err(error) = reopened {
                log::error!("cannot reopen the {name} log: {error}; logging continues in the old file");
            }
        }
    }
}

impl Context<'_> {
    /// Stores an upload, so that every protocol serves it at once.
    pub fn store(&mut self, upload: Upload) -> Result<Stored, LibraryError> {
        let name = upload.name().clone();
        let stored = self.core.library.store(upload, self.core.clock.now.wall);
        self.http.forget(&name);
        if let Ok(stored) = &stored {
            self.http.forget(&stored.name);
            self.statistics.uploads += 1;
            self.statistics.upload_bytes += stored.length;
        }
        stored
    }

    /// Removes a file of the library, so that no protocol serves it any longer.
    pub fn remove(&mut self, name: &Name) -> Result<(), LibraryError> {
        let removed = self.core.library.remove(name);
        self.statistics.deleted += u64::from(removed.is_ok());
        self.http.forget(name);
        removed
    }
}
