//! The access log in the simulation: its lines are complete when their responses are. To add a case, `send` requests
//! to a `Logged` server, let `pass` time, and compare its `lines`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use evserve::clock::calls::{Call, take};
use evserve::event_loop::Readiness;
use evserve::limits::Limits;
use evserve::observe::{AccessLog, Format, LogFile};
use evserve::protocol::Kind;
use serde_json::Value;
use tempfile::TempDir;

use super::peers::SimPeer;
use super::tls_peer;
use super::world::{Simulation, for_every_seed, services};
use crate::conversation::start;
use crate::reading::responses;

const GET: &str = "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n";

/// A server with an access log.
struct Logged {
    simulation: Simulation,
    path: PathBuf,
    _folder: TempDir,
}

/// A line of the log: the status and the bytes, the duration, and the close reason.
type Line = (u64, u64, u64, Option<&'static str>);

impl Logged {
    fn new(seed: u64, limits: Limits, is_encrypted: bool) -> Logged {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let now = start();
        let mut services = services(limits, now);
        let log = AccessLog::new(LogFile::append_to(&path).unwrap(), Format::Json);
        services.http.access_log = Some(log);
        let tls = is_encrypted.then(|| tls_peer::acceptor(now));
        let simulation = Simulation::with_services(Kind::Http, seed, services, now, tls);
        Logged { simulation, path, _folder: folder }
    }

    /// Connects a peer that accepts `window` bytes, and returns its index.
    fn connect(&mut self, window: usize) -> usize {
        let peer = SimPeer::echo(&mut self.simulation.random, 0);
        peer.wire.borrow_mut().window = window;
        self.simulation.add(peer);
        self.simulation.turn(Vec::new());
        self.simulation.turn(Vec::new());
        self.simulation.peers.len() - 1
    }

    /// Runs a turn in which a peer has sent `bytes`.
    fn send(&mut self, peer: usize, bytes: impl AsRef<[u8]>) {
        self.simulation.peers[peer].wire.borrow_mut().arrived.extend(bytes.as_ref());
        self.turn(peer, true);
    }

    /// Runs turns until the peer has accepted `bytes` more bytes, or all output.
    fn accept(&mut self, peer: usize, bytes: usize) {
        self.simulation.peers[peer].wire.borrow_mut().window = bytes;
        self.turn(peer, false);
        (0..40).for_each(|_| self.simulation.turn(Vec::new()));
    }

    fn turn(&mut self, peer: usize, readable: bool) {
        let (token, ending) = {
            let wire = self.simulation.peers[peer].wire.borrow();
            (wire.token.unwrap(), wire.reset || wire.ended)
        };
        self.simulation.turn(vec![Readiness { token, readable, writable: true, ending }]);
    }

    fn reset(&mut self, peer: usize) {
        self.simulation.peers[peer].wire.borrow_mut().reset = true;
        self.turn(peer, true);
    }

    /// Lets time pass and runs a turn.
    fn pass(&mut self, millis: u64) {
        self.simulation.now = self.simulation.now + Duration::from_millis(millis);
        self.simulation.turn(Vec::new());
    }

    fn is_closed(&self, peer: usize) -> bool {
        self.simulation.peers[peer].wire.borrow().closed
    }

    /// Returns the lines, each of which must be a JSON object.
    fn values(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    fn expect(&self, expected: &[Line]) {
        let values = self.values();
        let line = |value: &Value| {
            let number = |name: &str| value[name].as_u64().unwrap();
            let close = value["closed"].as_str().map(str::to_owned);
            assert!(close.is_some() || value["closed"].is_null());
            (number("status"), number("bytes"), number("duration_ms"), close)
        };
        let lines: Vec<_> = values.iter().map(line).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(status, bytes, duration, close)| (*status, *bytes, *duration, close.map(str::to_owned)))
            .collect();
        assert_eq!(lines, expected);
    }

    /// Returns the number of bytes of bodies that a peer has received.
    fn received(&self, peer: usize) -> u64 {
        let received = self.simulation.peers[peer].received();
        received_bodies(&received, &[]).iter().map(|body| body.bytes).sum()
    }
}

fn plain() -> Logged {
    Logged::new(1, Limits::default(), false)
}

#[test]
fn the_write_of_the_log_is_for_no_connection() {
    let mut logged = plain();
    let peer = logged.connect(usize::MAX);
    take();
    logged.send(peer, GET);
    let log = take().of(Call::Log);
    assert_eq!((log.count, log.connection), (1, 0));
}

#[test]
fn a_response_sent_within_its_turn_is_logged_in_that_turn() {
    let mut logged = plain();
    let peer = logged.connect(usize::MAX);
    logged.pass(3000);
    logged.send(peer, GET);
    logged.expect(&[(200, 5, 0, None)]);
    let value = &logged.values()[0];
    assert_eq!((&value["connection"], &value["request"]), (&2.into(), &"GET /a.txt HTTP/1.1".into()));
    for (request, status, bytes) in [
        (GET.replace("GET", "HEAD"), 200, 0),
        (GET.replace("\r\n\r\n", "\r\nIf-None-Match: *\r\n\r\n"), 304, 0),
        (GET.replace("\r\n\r\n", "\r\nRange: bytes=1-2\r\n\r\n"), 206, 2),
        (GET.replace("GET", "POST"), 405, 0),
    ] {
        let mut logged = plain();
        let peer = logged.connect(usize::MAX);
        logged.send(peer, &request);
        let bytes = if status == 405 { logged.received(peer) } else { bytes };
        logged.expect(&[(status, bytes, 0, None)]);
    }
}

#[test]
fn the_request_time_counts_from_the_first_byte_of_the_request() {
    let mut logged = plain();
    let peer = logged.connect(usize::MAX);
    // Neither the time before the first byte counts, nor that after an empty line.
    logged.pass(2000);
    logged.send(peer, "\r\n");
    logged.pass(1000);
    logged.send(peer, &GET[..10]);
    logged.pass(250);
    logged.send(peer, &GET[10..20]);
    logged.pass(250);
    logged.send(peer, [&GET[20..], "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab"].concat());
    logged.pass(100);
    logged.send(peer, ["cd", &GET[..5]].concat());
    logged.pass(70);
    logged.send(peer, &GET[5..]);
    let put = logged.values()[1]["bytes"].as_u64().unwrap();
    logged.expect(&[(200, 5, 500, None), (405, put, 100, None), (200, 5, 70, None)]);
    // The same for heads that stay incomplete or are malformed.
    for (rest, wait, status, close) in
        [("", 10_000, 408, "head_timeout"), ("\r\nBroken\r\n\r\n", 300, 400, "rejected")]
    {
        let mut logged = plain();
        let peer = logged.connect(usize::MAX);
        logged.send(peer, GET);
        logged.pass(1000);
        logged.send(peer, &GET[..19]);
        logged.pass(wait);
        if !rest.is_empty() {
            logged.send(peer, rest);
        }
        let bytes = logged.received(peer) - 5;
        logged.expect(&[(200, 5, 0, None), (status, bytes, wait, Some(close))]);
    }
}

#[test]
fn a_slow_download_is_logged_once_when_it_is_complete() {
    for (path, length) in [("large.bin", 100_000), ("disk.bin", 700_001)] {
        let mut logged = plain();
        let peer = logged.connect(1000);
        logged.send(peer, GET.replace("a.txt", path));
        for _ in 0..3 {
            logged.pass(500);
            logged.accept(peer, 10_000);
            logged.expect(&[]);
        }
        logged.pass(500);
        logged.accept(peer, usize::MAX);
        logged.expect(&[(200, length, 2000, None)]);
        logged.send(peer, GET);
        logged.expect(&[(200, length, 2000, None), (200, 5, 0, None)]);
    }
}

#[test]
fn a_download_that_is_cut_off_is_logged_with_the_bytes_sent_and_the_reason() {
    for path in ["large.bin", "disk.bin"] {
        // In the head and in the body.
        for window in [50, 5000] {
            let mut logged = plain();
            let peer = logged.connect(window);
            logged.send(peer, GET.replace("a.txt", path));
            logged.pass(700);
            logged.reset(peer);
            assert!(logged.is_closed(peer) && (logged.received(peer) > 0) == (window == 5000));
            logged.expect(&[(200, logged.received(peer), 700, Some("reset"))]);

            let mut logged = plain();
            let peer = logged.connect(window);
            logged.send(peer, GET.replace("a.txt", path));
            logged.pass(30_000);
            assert!(logged.is_closed(peer));
            logged.expect(&[(200, logged.received(peer), 30_000, Some("write_timeout"))]);
        }
    }
}

#[test]
fn a_download_that_is_closed_in_the_inspector_is_logged_with_the_bytes_sent() {
    let mut logged = plain();
    let peer = logged.connect(5000);
    logged.send(peer, GET.replace("a.txt", "large.bin"));
    logged.simulation.event_loop.services_mut().core.inspector.close(2);
    logged.pass(700);
    assert!(logged.is_closed(peer) && logged.received(peer) > 0);
    logged.expect(&[(200, logged.received(peer), 700, Some("admin_closed"))]);
}

#[test]
fn a_request_without_a_response_adds_no_line() {
    let upload = "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab";
    for request in [&GET[..20], upload] {
        let mut logged = plain();
        let peer = logged.connect(usize::MAX);
        logged.send(peer, request);
        logged.reset(peer);
        assert!(logged.is_closed(peer), "{request}");
        logged.expect(&[]);
    }
}

#[test]
fn pipelined_responses_are_logged_in_order_each_when_it_was_sent() {
    let mut logged = plain();
    let peer = logged.connect(6000);
    let requests = [GET, &GET.replace("a.txt", "missing"), &GET.replace("a.txt", "large.bin"), GET].concat();
    logged.send(peer, &requests);
    let missing = logged.values()[1]["bytes"].as_u64().unwrap();
    let first = [(200, 5, 0, None), (404, missing, 0, None)];
    logged.expect(&first);
    logged.pass(40);
    logged.accept(peer, usize::MAX);
    logged.expect(&[first[0], first[1], (200, 100_000, 40, None), (200, 5, 40, None)]);
    let paths: Vec<String> =
        logged.values().iter().map(|value| value["request"].as_str().unwrap()[4..9].to_owned()).collect();
    assert_eq!(paths, ["/a.tx", "/miss", "/larg", "/a.tx"]);

    // The same, cut off in the third response.
    let mut logged = plain();
    let peer = logged.connect(6000);
    logged.send(peer, &requests);
    logged.pass(40);
    logged.reset(peer);
    let third = logged.received(peer) - missing - 5;
    assert!(third > 0);
    logged.expect(&[first[0], first[1], (200, third, 40, Some("reset")), (200, 0, 40, Some("reset"))]);
}

#[test]
fn only_the_last_response_of_a_connection_has_its_close_reason() {
    let closing = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    for window in [usize::MAX, 100] {
        let mut logged = plain();
        let peer = logged.connect(window);
        logged.send(peer, [GET, &closing].concat());
        logged.accept(peer, usize::MAX);
        logged.expect(&[(200, 5, 0, None), (200, 5, 0, Some("close_requested"))]);
    }
    // The peer ends its output with the request, or later.
    let mut logged = plain();
    let peer = logged.connect(usize::MAX);
    logged.simulation.peers[peer].wire.borrow_mut().ended = true;
    logged.send(peer, GET);
    assert!(logged.is_closed(peer));
    logged.expect(&[(200, 5, 0, Some("peer_closed"))]);
    let mut logged = plain();
    let peer = logged.connect(usize::MAX);
    logged.send(peer, GET);
    logged.simulation.peers[peer].wire.borrow_mut().ended = true;
    logged.send(peer, "");
    assert!(logged.is_closed(peer));
    logged.expect(&[(200, 5, 0, None)]);
}

#[test]
fn an_evicted_connection_adds_no_line() {
    let mut logged = Logged::new(1, Limits { max_connections: 1, ..Limits::default() }, false);
    let peer = logged.connect(usize::MAX);
    logged.send(peer, GET);
    logged.pass(1000);
    let other = logged.connect(usize::MAX);
    assert!(logged.is_closed(peer));
    logged.send(other, GET);
    logged.expect(&[(200, 5, 0, None), (200, 5, 0, None)]);
}

#[test]
fn the_end_of_a_drain_completes_all_lines() {
    let mut logged = plain();
    let [slow, stuck] = [5000, 5000].map(|window| logged.connect(window));
    for peer in [slow, stuck] {
        logged.send(peer, GET.replace("a.txt", "large.bin"));
    }
    let now = logged.simulation.now;
    logged.simulation.event_loop.drain(now);
    logged.pass(1000);
    logged.accept(slow, usize::MAX);
    // Progress, so that the drain ends before the write timeout.
    logged.simulation.now = logged.simulation.now + Duration::from_millis(10_000);
    logged.accept(stuck, 10);
    logged.expect(&[(200, 100_000, 1000, Some("drained"))]);
    logged.pass(19_000);
    assert!(logged.is_closed(stuck));
    logged.expect(&[
        (200, 100_000, 1000, Some("drained")),
        (200, logged.received(stuck), 30_000, Some("aborted")),
    ]);
}

#[test]
fn the_exit_writes_the_lines_of_responses_still_being_sent() {
    let mut logged = plain();
    let peer = logged.connect(5000);
    logged.send(peer, GET.replace("a.txt", "large.bin"));
    logged.pass(300);
    logged.simulation.event_loop.end_access_log();
    let bytes = logged.received(peer);
    assert!(bytes > 4000);
    logged.expect(&[(200, bytes, 300, None)]);
}

#[test]
fn a_listing_is_logged_when_its_end_was_sent_or_it_was_cut_off() {
    let list = GET.replace("a.txt", "many/");
    let mut logged = plain();
    let peer = logged.connect(usize::MAX);
    logged.send(peer, &list);
    logged.pass(10);
    logged.expect(&[]);
    (0..10).for_each(|_| logged.simulation.turn(Vec::new()));
    logged.expect(&[(200, logged.received(peer), 10, None)]);

    // A reset in the middle, with and without unsent output.
    for window in [2000, usize::MAX] {
        let mut logged = plain();
        let peer = logged.connect(window);
        logged.send(peer, &list);
        // The first turns read the folder.
        let is_begun = |logged: &Logged| !logged.simulation.peers[peer].received().is_empty();
        (0..10).for_each(|_| {
            if !is_begun(&logged) {
                logged.simulation.turn(Vec::new());
            }
        });
        assert!(is_begun(&logged));
        logged.expect(&[]);
        logged.pass(10);
        logged.reset(peer);
        let (logged_bytes, received) = (logged.values()[0]["bytes"].as_u64().unwrap(), logged.received(peer));
        // The size lines of unsent chunks are not told from the body.
        assert!(received > 1000 && (received - 30..=received).contains(&logged_bytes), "{received}");
        logged.expect(&[(200, logged_bytes, 10, Some("reset"))]);
    }
}

/// The body of a response, as far as it was received.
#[derive(Debug)]
struct ReceivedBody {
    bytes: u64,
    is_complete: bool,
}

/// Returns the bodies of the responses whose heads were received completely.
fn received_bodies(mut bytes: &[u8], heads: &[bool]) -> Vec<ReceivedBody> {
    let mut bodies: Vec<ReceivedBody> = Vec::new();
    while let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") {
        let head_only = heads.get(bodies.len()).copied().unwrap_or(false);
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
        bytes = &bytes[end + 4..];
        let (taken, body) = match length {
            _ if head_only => (0, ReceivedBody { bytes: 0, is_complete: true }),
            None if head.contains("chunked") => received_chunks(bytes),
            length => {
                let length: usize = length.unwrap_or(0);
                let taken = length.min(bytes.len());
                (taken, ReceivedBody { bytes: taken as u64, is_complete: taken == length })
            }
        };
        bytes = &bytes[taken..];
        bodies.push(body);
    }
    bodies
}

/// Returns the length of a chunked body as received, and its content.
fn received_chunks(bytes: &[u8]) -> (usize, ReceivedBody) {
    let mut content = 0;
    let mut rest = bytes;
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        content += size.min(rest.len()) as u64;
        rest = rest.get(size + 2..).unwrap_or_default();
        if size == 0 {
            return (bytes.len() - rest.len(), ReceivedBody { bytes: content, is_complete: true });
        }
    }
    (bytes.len(), ReceivedBody { bytes: content, is_complete: false })
}

#[test]
fn every_response_has_one_line_with_the_bytes_that_were_sent() {
    for_every_seed(|seed| {
        for is_encrypted in [false, cfg!(feature = "tls")] {
            let mut logged = Logged::new(seed, Limits::default(), is_encrypted);
            let faults = [0, 10, 40][(seed % 3) as usize];
            (0..15).for_each(|_| logged.simulation.connect(faults));
            logged.simulation.settle();
            logged.simulation.run_until_closed();
            let values = logged.values();
            for (index, peer) in logged.simulation.peers.iter().enumerate() {
                let address = format!("10.0.0.1:{}", index + 1);
                let lines: Vec<&Value> = values.iter().filter(|value| value["peer"] == *address).collect();
                check_lines(&lines, peer, is_encrypted);
            }
            assert!(values.len() > 15);
        }
    });
}

fn check_lines(lines: &[&Value], peer: &SimPeer, is_encrypted: bool) {
    let received = peer.received();
    let bodies = received_bodies(&received, &peer.heads);
    let bytes: Vec<u64> = lines.iter().map(|line| line["bytes"].as_u64().unwrap()).collect();
    let context = || format!("{:?}: {bytes:?} and {bodies:?}", peer.behavior);
    assert!(lines.len() >= bodies.len(), "{}", context());
    if peer.is_satisfied() && bodies.last().is_some_and(|body| body.is_complete) && !is_encrypted {
        // Output that the network has not accepted may follow.
        assert!(bytes[bodies.len()..].iter().all(|bytes| *bytes == 0), "{}", context());
    }
    for (line, body) in lines.iter().zip(&bodies) {
        let bytes = line["bytes"].as_u64().unwrap();
        match body.is_complete {
            true => assert_eq!(bytes, body.bytes, "{}", context()),
            // TLS reports the bytes of a record when the record has left.
            false if is_encrypted => {}
            // The size lines of unsent chunks are not told from the body.
            false => assert!(bytes <= body.bytes && bytes + 200 >= body.bytes, "{}", context()),
        }
        assert!(body.is_complete || !line["closed"].is_null(), "{}", context());
    }
    // Only the last line and those that are cut off have a reason.
    let complete = bodies.iter().filter(|body| body.is_complete).count();
    for line in &lines[..complete.min(lines.len().saturating_sub(1))] {
        assert!(is_encrypted || line["closed"].is_null(), "{}", context());
    }
    if bodies.len() == complete && bodies.len() == lines.len() {
        responses(&received, &peer.heads);
    }
}
