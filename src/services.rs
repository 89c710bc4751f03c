//! What the server lends to its protocols for the time of a call: the clock, the site, the
//! logs, the limits, and the counts of what happened.

use std::time::Instant;

use crate::access_log::{AccessLog, Visit};
use crate::clock::{Clock, Now};
use crate::close_reason::CloseReason;
use crate::limits::{DRAIN_GRACE, LOG_RETRY, Limits, UDP_RATE};
use crate::log_file::LineLog;
use crate::peer::Peer;
use crate::rates::Rates;
use crate::sessions::Sessions;
use crate::site::{Rules, Site};
use crate::store::{Bounds, Library, LibraryError, Name, Store, Stored, Upload};
use crate::template::Template;

/// The services of one event loop.
pub struct Services {
    /// The current turn's time.
    pub clock: Clock,
    /// The site that HTTP serves.
    pub site: Site,
    /// The files that every door reads and writes.
    pub library: Library,
    /// The same over HTTP, if there is a folder for them besides the site.
    pub files: Option<Files>,
    /// Who visits.
    pub sessions: Sessions,
    /// The ports on which datagrams are received.
    pub endpoints: Vec<u16>,
    /// What acknowledging services have in common.
    pub ack: Acknowledging,
    /// Whose turn it is.
    pub peer: Peer,
    /// Where answers are logged.
    pub logs: Logs,
    /// What connections may hold and how long they may take.
    pub limits: Limits,
    /// What happened so far.
    pub statistics: Statistics,
    /// When the server was asked to end, if it was: from then on every answer is its connection's
    /// last one.
    pub draining_since: Option<Instant>,
}

impl Services {
    /// Services that serve `files` by `rules`, and a library, with the clock at `now`.
    pub fn new(files: Box<dyn Store>, rules: Rules, library: Library, limits: Limits, now: Now) -> Services {
        Services {
            clock: Clock::new(now),
            site: Site::new(files, rules, Bounds::within(limits.max_connections)),
            library,
            files: None,
            sessions: Sessions::default(),
            endpoints: Vec::new(),
            ack: Acknowledging::default(),
            peer: Peer::Unix,
            logs: Logs::default(),
            limits,
            statistics: Statistics::default(),
            draining_since: None,
        }
    }

    /// Does what is due by itself, at the end of a turn. Returns when there is more of it.
    pub fn housekeep(&mut self) -> Option<Instant> {
        let site = self.site.advance(&self.clock);
        let files = self.files.as_mut().and_then(|files| files.site.advance(&self.clock));
        let library = self.library.housekeep((self.clock.now(), self.clock.wall()));
        [site, files, library, self.logs.write(self.clock.now())].into_iter().flatten().min()
    }

    /// Stores an upload, so that every door has it at once.
    pub fn store(&mut self, upload: Upload) -> Result<Stored, LibraryError> {
        let name = upload.name().clone();
        let stored = self.library.store(upload, self.clock.wall());
        self.forget(&name);
        stored
    }

    /// Removes a file, so that no door has it any more.
    pub fn remove(&mut self, name: &Name) -> Result<(), LibraryError> {
        let removed = self.library.remove(name);
        self.forget(name);
        removed
    }

    fn forget(&mut self, name: &Name) {
        if let Some(files) = &mut self.files {
            files.site.forget(&name.path());
        }
    }

    /// Whether datagrams are received on this port: from one like it they come from ourselves, or from
    /// another server as we are.
    pub fn is_endpoint(&self, port: u16) -> bool {
        self.endpoints.contains(&port)
    }

    /// Until when a connection on which nothing is under way may stay: until `patience` ends, or for a
    /// moment when the server does.
    pub fn idle_until(&self, patience: Instant) -> Instant {
        self.draining_since.map_or(patience, |since| patience.min(since + DRAIN_GRACE))
    }

    /// Whether the server ends, and what was under way when that began has had its time to arrive.
    pub fn is_ending(&self) -> bool {
        self.draining_since.is_some_and(|since| self.clock.now() >= since + DRAIN_GRACE)
    }

    /// Why it ends then.
    pub fn idle_ending(&self) -> CloseReason {
        if self.draining_since.is_some() { CloseReason::Drained } else { CloseReason::IdleTimeout }
    }
}

/// The library as HTTP serves it.
pub struct Files {
    /// Its files.
    pub site: Site,
    /// Whether they may be deleted.
    pub allow_delete: bool,
    /// Names of this server that a browser may write under, besides addresses and localhost.
    pub hosts: Vec<String>,
}

/// What acknowledging services have in common.
pub struct Acknowledging {
    /// What they answer.
    pub reply: Template,
    /// Whom over UDP, and how often.
    pub rates: Rates,
}

impl Default for Acknowledging {
    fn default() -> Acknowledging {
        Acknowledging { reply: Template::default(), rates: Rates::new(UDP_RATE) }
    }
}

/// The logs that there are.
#[derive(Default)]
pub struct Logs {
    /// A line for each answer.
    pub access: Option<AccessLog>,
    /// What the log macros write.
    pub events: Option<LineLog>,
}

impl Logs {
    /// Logs an answer.
    pub fn add(&mut self, visit: Visit<'_>, clock: &Clock) {
        if let Some(access) = &mut self.access {
            access.add(visit, clock);
        }
    }

    /// Opens the files anew, as after a rotation.
    pub fn reopen(&mut self) {
        let access = self.access.as_mut().map_or(Ok(()), AccessLog::reopen);
        let events = self.events.as_ref().map_or(Ok(()), LineLog::reopen);
        match access.and(events) {
            Ok(()) => log::info!("opened the logs anew"),
            Err(error) => log::error!("cannot open a log anew, so the old file goes on: {error}"),
        }
    }

    /// Writes what the turn has brought. Returns when to try again what was not taken.
    fn write(&mut self, now: Instant) -> Option<Instant> {
        let access = self.access.as_mut()?;
        access.flush();
        access.is_waiting().then(|| now + LOG_RETRY)
    }
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Connections that were accepted and served.
    pub accepted: u64,
    /// Connections that were turned away: over the limit of their peer, or without a descriptor
    /// to spare.
    pub turned_away: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Bytes that came on connections.
    pub received_bytes: u64,
    /// Bytes that their sockets took.
    pub sent_bytes: u64,
    /// What became of datagrams.
    pub datagrams: DatagramCounts,
    ended: [u64; CloseReason::ALL.len()],
}

/// Counts of datagrams since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatagramCounts {
    /// That came.
    pub received: u64,
    /// That were answered.
    pub answered: u64,
    /// That were longer than the buffer; they are dropped.
    pub truncated: u64,
    /// Whose answer the system did not take.
    pub unsent: u64,
}

impl Statistics {
    /// Counts the end of a connection.
    pub fn count_end(&mut self, reason: CloseReason) {
        self.ended[reason as usize] += 1;
    }

    /// How many connections came, served or not.
    pub fn arrived(&self) -> u64 {
        self.accepted + self.turned_away
    }

    /// How many connections ended for this reason.
    pub fn ended(&self, reason: CloseReason) -> u64 {
        self.ended[reason as usize]
    }

    /// How many connections ended.
    pub fn ended_in_all(&self) -> u64 {
        self.ended.iter().sum()
    }
}
