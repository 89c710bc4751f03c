//! What the server reports: frames from its event stream, and tables of its connections, one a second. A lost
//! connection is tried again.

mod answer;
mod events;
mod link;

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::error::{LostReason, TopError};
use super::frame::{self, BadJson, ConnectionTable, LoopFrame};
use super::query::TableQuery;
use super::server_address::ServerAddress;
use answer::BadAnswer;
use events::EventReader;
use link::{Link, LinkError};

/// The time between two tables.
const TABLE_INTERVAL: Duration = Duration::from_secs(1);

/// How long a table may make no progress.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The time between two attempts to connect.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// News of the server.
#[derive(Debug)]
pub(super) enum Update {
    Frame(LoopFrame),
    /// The connections that a query selected, and the frame that was reported with them.
    Table(TableQuery, LoopFrame, ConnectionTable),
    /// The connection is lost, and will be tried again.
    Lost(LostReason),
}

/// The connections to the server.
#[derive(Debug)]
pub(super) struct Feed {
    server: ServerAddress,
    /// Whether frames are needed in addition to those of the tables.
    with_events: bool,
    events: Option<(Link, EventReader)>,
    /// The connection for tables, which is used again.
    tables: Option<Link>,
    /// The query that is being answered, and when its answer is late.
    asked: Option<(TableQuery, Instant)>,
    /// The received part of the answer.
    json: Vec<u8>,
    query: TableQuery,
    next_table: Instant,
    /// When a lost connection is tried again.
    retry_at: Option<Instant>,
}

/// Why a connection does not continue.
enum FeedError {
    Lost(LostReason),
    Wrong(TopError),
}

impl Feed {
    /// Creates a feed that connects at the first [`Feed::advance`].
    pub(super) fn new(server: ServerAddress, query: TableQuery, with_events: bool, now: Instant) -> Feed {
        Feed {
            server,
            with_events,
            events: None,
            tables: None,
            asked: None,
            json: Vec::new(),
            query,
            next_table: now,
            retry_at: None,
        }
    }

    /// Changes what the tables show. Another query is sent at a time `at`, or after the answer to the last one.
    pub(super) fn select(&mut self, query: &TableQuery, at: Instant) {
        if self.query != *query {
            self.query = query.clone();
            self.next_table = at;
        }
    }

    /// Returns when to call [`Feed::advance`] even if no descriptor is ready.
    pub(super) fn deadline(&self) -> Instant {
        match (self.retry_at, &self.asked) {
            (Some(at), _) => at,
            (None, Some((_, late))) => *late,
            (None, None) => self.next_table,
        }
    }

    /// Returns the descriptors to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        // Between two tables, the connection is idle; if the server closes it, the next request finds out.
        let tables = self.tables.iter().filter(|_| self.asked.is_some());
        let links = self.events.iter().map(|(link, _)| link).chain(tables);
        links.map(|link| (link.descriptor(), link.interest()))
    }

    /// Sends and receives what is possible without blocking. Fails if the server is not one that can be shown.
    pub(super) fn advance(&mut self, now: Instant) -> Result<Vec<Update>, TopError> {
        let mut updates = Vec::new();
        if self.retry_at.is_some_and(|at| now < at) {
            return Ok(updates);
        }
        self.retry_at = None;
        let advanced =
            self.advance_events(&mut updates).and_then(|()| self.advance_tables(now, &mut updates));
        match advanced {
            Ok(()) => Ok(updates),
            Err(FeedError::Lost(reason)) => {
                (self.events, self.tables, self.asked) = (None, None, None);
                self.json.clear();
                (self.retry_at, self.next_table) = (Some(now + RETRY_INTERVAL), now);
                updates.push(Update::Lost(reason));
                Ok(updates)
            }
            Err(FeedError::Wrong(error)) => Err(error),
        }
    }

    fn advance_events(&mut self, updates: &mut Vec<Update>) -> Result<(), FeedError> {
        if !self.with_events {
            return Ok(());
        }
        let server = &self.server;
        if self.events.is_none() {
            let link = Link::open(&server.candidates, &server.host, "/events");
            let link = link.map_err(|error| failed(server, "/events", error))?;
            self.events = Some((link, EventReader::default()));
        }
        let Some((link, reader)) = &mut self.events else { return Ok(()) };
        let mut body = Vec::new();
        link.advance(&mut body).map_err(|error| failed(server, "/events", error))?;
        let Some(status) = link.answer.status() else { return Ok(()) };
        check_status(server, "/events", status)?;
        if !link.answer.is_event_stream() {
            return Err(foreign(server, "/events is not an event stream"));
        }
        let mut bad = None;
        let taken = reader.take(&body, |name, content| match frame::parse_frame(content) {
            _ if name != b"frame" => {}
            Ok(frame) => updates.push(Update::Frame(frame)),
            Err(error) => bad = Some(error),
        });
        if taken.is_err() {
            return Err(foreign(server, "an event is too long"));
        }
        match bad {
            Some(error) => Err(bad_json(server, "/events", &error)),
            None if link.answer.is_complete() => Err(FeedError::Lost(LostReason::Ended)),
            None => Ok(()),
        }
    }

    fn advance_tables(&mut self, now: Instant, updates: &mut Vec<Update>) -> Result<(), FeedError> {
        if self.asked.is_none() && now >= self.next_table {
            self.ask(now)?;
        }
        let (server, path) = (&self.server, "/loop.json");
        let (Some(link), Some((_, late))) = (&mut self.tables, &mut self.asked) else { return Ok(()) };
        if link.advance(&mut self.json).map_err(|error| failed(server, path, error))? {
            *late = now + ANSWER_TIMEOUT;
        } else if now >= *late {
            return Err(FeedError::Lost(LostReason::Silent));
        }
        if let Some(status) = link.answer.status() {
            check_status(server, path, status)?;
        }
        if !link.answer.is_complete() {
            return Ok(());
        }
        let json = std::mem::take(&mut self.json);
        let frame = frame::parse_frame(&json).map_err(|error| bad_json(server, path, &error))?;
        let table = frame::parse_connections(&json).map_err(|error| bad_json(server, path, &error))?;
        if !link.answer.is_reusable() {
            self.tables = None;
        }
        if let Some((query, _)) = self.asked.take() {
            updates.push(Update::Table(query, frame, table));
        }
        Ok(())
    }

    /// Sends the query, on the open connection if there is one.
    fn ask(&mut self, now: Instant) -> Result<(), FeedError> {
        let (server, target) = (&self.server, self.query.target());
        match &mut self.tables {
            Some(link) => link.reuse(&server.host, &target),
            None => {
                let link = Link::open(&server.candidates, &server.host, &target);
                self.tables = Some(link.map_err(|error| failed(server, "/loop.json", error))?);
            }
        }
        self.asked = Some((self.query.clone(), now + ANSWER_TIMEOUT));
        self.next_table = now + TABLE_INTERVAL;
        Ok(())
    }
}

fn failed(server: &ServerAddress, path: &str, error: LinkError) -> FeedError {
    match error {
        LinkError::Failed(error) => FeedError::Lost(LostReason::Failed(error)),
        LinkError::Ended => FeedError::Lost(LostReason::Ended),
        LinkError::Malformed(BadAnswer(why)) => foreign(server, &format!("GET {path}: {why}")),
    }
}

fn check_status(server: &ServerAddress, path: &str, status: u16) -> Result<(), FeedError> {
    match status {
        200 => Ok(()),
        403 => Err(FeedError::Wrong(TopError::HostRejected { server: server.name.clone() })),
        500.. => Err(FeedError::Lost(LostReason::Status(status))),
        _ => Err(foreign(server, &format!("GET {path} is answered with {status}"))),
    }
}

fn bad_json(server: &ServerAddress, path: &str, error: &BadJson) -> FeedError {
    match error {
        BadJson::Foreign => foreign(server, &format!("the answer to GET {path} is not its JSON")),
        BadJson::Version(version) => {
            FeedError::Wrong(TopError::OtherVersion { server: server.name.clone(), version: *version })
        }
    }
}

fn foreign(server: &ServerAddress, why: &str) -> FeedError {
    FeedError::Wrong(TopError::NotEvserve { server: server.name.clone(), why: why.to_owned() })
}
