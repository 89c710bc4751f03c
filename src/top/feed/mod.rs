//! Receives frames from the server's event stream, and a table of its connections every second. A lost connection is
//! tried again.

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
    /// The query that is being answered.
    asked: Option<TableQuery>,
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

    /// Changes the query of the tables. Another query is sent at a time `at`, or after the answer to the last one.
    pub(super) fn select(&mut self, query: &TableQuery, at: Instant) {
        if self.query != *query {
            self.query = query.clone();
            self.next_table = at;
        }
    }

    /// Returns when to call [`Feed::advance`] even if no descriptor is ready.
    pub(super) fn deadline(&self) -> Instant {
        if let Some(at) = self.retry_at {
            return at;
        }
        // The next table is requested after the answer to the last one.
        let next_table = self.asked.is_none().then_some(self.next_table);
        self.links().map(Link::deadline).chain(next_table).min().unwrap_or(self.next_table)
    }

    /// Returns the descriptors to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.links().map(|link| (link.descriptor(), link.interest()))
    }

    /// Returns the connections with an answer that is not complete.
    fn links(&self) -> impl Iterator<Item = &Link> {
        // Between two tables, the connection is idle; if the server closes it, the next request finds out.
        let tables = self.tables.iter().filter(|_| self.asked.is_some());
        self.events.iter().map(|(link, _)| link).chain(tables)
    }

    /// Sends and receives as far as possible without blocking. Fails if the server has no admin interface.
    pub(super) fn advance(&mut self, now: Instant) -> Result<Vec<Update>, TopError> {
        let mut updates = Vec::new();
        if self.retry_at.is_some_and(|at| now < at) {
            return Ok(updates);
        }
        self.retry_at = None;
        let advanced =
            self.advance_events(now, &mut updates).and_then(|()| self.advance_tables(now, &mut updates));
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

    fn advance_events(&mut self, now: Instant, updates: &mut Vec<Update>) -> Result<(), FeedError> {
        if !self.with_events {
            return Ok(());
        }
        let server = &self.server;
        if self.events.is_none() {
            let link = Link::open(&server.candidates, &server.host, "/events", now);
            let link = link.map_err(|error| failed(server, "/events", error))?;
            self.events = Some((link, EventReader::default()));
        }
        let Some((link, reader)) = &mut self.events else { return Ok(()) };
        let mut body = Vec::new();
        link.advance(&mut body, now).map_err(|error| failed(server, "/events", error))?;
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
        let (Some(link), Some(query)) = (&mut self.tables, &self.asked) else { return Ok(()) };
        link.advance(&mut self.json, now).map_err(|error| failed(server, path, error))?;
        if let Some(status) = link.answer.status() {
            check_status(server, path, status)?;
        }
        if !link.answer.is_complete() {
            return Ok(());
        }
        let json = std::mem::take(&mut self.json);
        let frame = frame::parse_frame(&json).map_err(|error| bad_json(server, path, &error))?;
        let table = frame::parse_connections(&json).map_err(|error| bad_json(server, path, &error))?;
        updates.push(Update::Table(query.clone(), frame, table));
        self.asked = None;
        if !link.answer.is_reusable() {
            self.tables = None;
        }
        Ok(())
    }

    /// Sends the query, on the open connection if there is one.
    fn ask(&mut self, now: Instant) -> Result<(), FeedError> {
        let (server, target) = (&self.server, self.query.target());
        match &mut self.tables {
            Some(link) => link.reuse(&server.host, &target, now),
            None => {
                let link = Link::open(&server.candidates, &server.host, &target, now);
                self.tables = Some(link.map_err(|error| failed(server, "/loop.json", error))?);
            }
        }
        self.asked = Some(self.query.clone());
        self.next_table = now + TABLE_INTERVAL;
        Ok(())
    }
}

fn failed(server: &ServerAddress, path: &str, error: LinkError) -> FeedError {
    match error {
        LinkError::Failed(error) => FeedError::Lost(LostReason::Failed(error)),
        LinkError::Ended => FeedError::Lost(LostReason::Ended),
        LinkError::Silent => FeedError::Lost(LostReason::Silent),
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::super::frame::tests::TABLE;
    use super::super::wait::wait;
    use super::link::SILENCE_MAX;
    use super::*;

    /// Reads the head of a request.
    fn request(stream: &mut TcpStream) -> String {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            request.push(byte[0].into());
        }
        request
    }

    #[test]
    fn a_stream_without_frames_is_lost_although_tables_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let server =
            ServerAddress { name: "h:1".into(), host: "h:1".into(), candidates: vec![address.into()] };
        let now = Instant::now();
        let mut feed = Feed::new(server, TableQuery::new(None, Some(1)), true, now);
        assert!(feed.advance(now).expect("connecting").is_empty());
        let mut streams = [(); 2].map(|()| listener.accept().expect("a connection").0);
        assert!(feed.advance(now).expect("sending").is_empty());
        let mut tables =
            streams.iter_mut().filter_map(|stream| request(stream).contains("/loop.json").then_some(stream));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{TABLE}", TABLE.len());
        tables.next().expect("a query").write_all(answer.as_bytes()).expect("an open connection");
        let updates = loop {
            wait(feed.descriptors(), now + SILENCE_MAX).expect("poll");
            let updates = feed.advance(now).expect("a table");
            if !updates.is_empty() {
                break updates;
            }
        };
        assert!(matches!(updates[..], [Update::Table(..)]), "{updates:?}");
        assert_eq!(feed.deadline(), now + TABLE_INTERVAL);
        let updates = feed.advance(now + SILENCE_MAX).expect("a lost connection");
        assert!(matches!(updates[..], [Update::Lost(LostReason::Silent)]), "{updates:?}");
        assert_eq!(feed.deadline(), now + SILENCE_MAX + RETRY_INTERVAL);
    }
}
