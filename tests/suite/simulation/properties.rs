//! The whole loop over a simulated network: many peers, good and bad, over transports that fail in
//! every way, under a virtual clock. Everything follows from a seed, which a failure prints.
//!
//! `EVSERVE_SEEDS=1000 cargo test simulation` runs more of them, `EVSERVE_SEED=7` one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Duration;

use evserve::clock::Now;
use evserve::close_reason::CloseReason;
use evserve::event_loop::{EventLoop, Network, Readiness, Token};
use evserve::limits::{
    INBOX_MAX_BYTES, Limits, OUTBOX_MAX_BYTES, TURN_BULK, TURN_READ_BYTES, TURN_REQUESTS, TURN_WRITE_BYTES,
};
use evserve::peer::Peer;
use evserve::protocol::Kind;
use evserve::services::Services;
use evserve::site::Rules;
use evserve::store::{DiskStore, Entry, Folder, MemoryStore, Stamp, Store, StoreError};
use evserve::template::Template;
use evserve::transport::Transport;
use tempfile::TempDir;

use super::datagrams::SimSocket;
use crate::conversation::{Talk, no_library, site, start};
use crate::reading::responses;

/// A connection as the network sees it. One end is the server's [`SimStream`], the other a
/// [`SimPeer`].
struct Wire {
    random: fastrand::Rng,
    /// How often calls fail or fall short, in percent.
    faults: u8,
    token: Option<Token>,
    /// Whether a short recv means that nothing is left, as with sockets under epoll.
    short_recv_drains: bool,
    /// What the peer has sent and the server has not received.
    arrived: VecDeque<u8>,
    /// The peer has ended its output.
    ended: bool,
    reset: bool,
    /// How much more the network takes before the peer reads.
    window: usize,
    /// The server was told that the window is closed, and waits for an event.
    blocked: bool,
    /// What the peer has received.
    received: Vec<u8>,
    /// The server has ended its output, or closed.
    server_ended: bool,
    closed: bool,
    /// Bytes that moved in this turn.
    read_in_turn: usize,
    written_in_turn: usize,
}

pub struct SimStream(Rc<RefCell<Wire>>);

impl Wire {
    fn fails(&mut self) -> bool {
        self.random.u8(..100) < self.faults
    }

    /// The kernel's part of every call: interruptions and resets.
    fn call(&mut self) -> io::Result<()> {
        if self.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.fails() { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.server_ended, "output behind its end");
        let mut count = bytes.len().min(self.window);
        if count == 0 {
            self.blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.fails() {
            count = self.random.usize(1..=count);
        }
        self.window -= count;
        self.written_in_turn += count;
        self.received.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}

impl Transport for SimStream {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wire = &mut *self.0.borrow_mut();
        wire.call()?;
        if wire.arrived.is_empty() {
            return if wire.ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let mut count = buffer.len().min(wire.arrived.len());
        if !wire.short_recv_drains && wire.fails() {
            count = wire.random.usize(1..=count);
        }
        wire.read_in_turn += count;
        wire.arrived.read_exact(&mut buffer[..count])?;
        Ok(count)
    }

    fn send(&mut self, pieces: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        let wire = &mut *self.0.borrow_mut();
        wire.call()?;
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        assert!(!bytes.is_empty(), "an empty send");
        wire.take(&bytes)
    }

    fn send_file(&mut self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        let wire = &mut *self.0.borrow_mut();
        wire.call()?;
        let mut bytes = vec![0; count];
        let length = file.read_at(&mut bytes, offset)?;
        if length == 0 { Ok(0) } else { wire.take(&bytes[..length]) }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.borrow_mut().server_ended = true;
        Ok(())
    }

    fn unacknowledged(&self) -> Option<usize> {
        // The window is all there is between the ends of a wire.
        Some(0)
    }

    fn short_recv_drains(&self) -> bool {
        self.0.borrow().short_recv_drains
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let wire = &mut *self.0.borrow_mut();
        wire.server_ended = true;
        wire.closed = true;
    }
}

/// The network's side of accepting.
#[derive(Default)]
struct Backlog {
    waiting: VecDeque<Rc<RefCell<Wire>>>,
    accepted: u16,
    /// What accept says instead, so many times.
    failures: VecDeque<i32>,
    /// How often the reserve was given up.
    reserve_used: usize,
}

#[derive(Default)]
pub struct SimNetwork(Rc<RefCell<Backlog>>);

impl Network for SimNetwork {
    type Listener = ();
    type Stream = SimStream;
    type Datagrams = SimSocket;

    fn accept(&mut self, _: &mut ()) -> io::Result<(SimStream, Peer)> {
        let backlog = &mut *self.0.borrow_mut();
        if let Some(errno) = backlog.failures.pop_front() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let wire = backlog.waiting.pop_front().ok_or(ErrorKind::WouldBlock)?;
        backlog.accepted += 1;
        Ok((SimStream(wire), Peer::Inet(SocketAddr::from(([10, 0, 0, 1], backlog.accepted)))))
    }

    fn accept_on_reserve(&mut self, listener: &mut ()) -> io::Result<(SimStream, Peer)> {
        self.0.borrow_mut().reserve_used += 1;
        self.accept(listener)
    }

    fn refill_reserve(&mut self) {}

    fn register(&mut self, stream: &mut SimStream, token: Token) -> io::Result<()> {
        stream.0.borrow_mut().token = Some(token);
        Ok(())
    }

    fn register_listener(&mut self, _: &mut (), _: Token) -> io::Result<()> {
        Ok(())
    }

    fn register_datagrams(&mut self, _: &mut SimSocket, _: Token) -> io::Result<()> {
        Ok(())
    }
}

/// How a peer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Sends all, reads all, and sees what it should see.
    Polite,
    /// As polite, and ends its output, behind its last request or in the middle of one.
    HalfCloses,
    /// Sends all and reads nothing.
    NeverReads,
    /// Stops sending somewhere.
    Stops,
    /// Vanishes somewhere.
    Resets,
}

/// A peer: its end of a wire, and what it has still to do.
struct SimPeer {
    wire: Rc<RefCell<Wire>>,
    manner: Manner,
    script: Vec<u8>,
    /// Which of its requests are HEAD.
    heads: Vec<bool>,
    sent: usize,
    expected: Vec<u8>,
}

impl SimPeer {
    fn new(random: &mut fastrand::Rng, faults: u8) -> SimPeer {
        let manner = *random
            .choice(&[
                Manner::Polite,
                Manner::Polite,
                Manner::HalfCloses,
                Manner::NeverReads,
                Manner::Stops,
                Manner::Resets,
            ])
            .unwrap();
        let (mut script, heads) = script(random);
        if manner == Manner::HalfCloses && random.bool() {
            script.truncate(random.usize(..=script.len()));
        }
        let expected = converse_with_disk(&script, manner == Manner::HalfCloses);
        SimPeer::with(manner, (script, heads), expected, random, faults)
    }

    /// One that wants the same bytes back.
    fn echoed(random: &mut fastrand::Rng, faults: u8) -> SimPeer {
        let manner = if random.bool() { Manner::Polite } else { Manner::HalfCloses };
        let mut script = vec![0; random.usize(..200_000)];
        random.fill(&mut script);
        SimPeer::with(manner, (script.clone(), Vec::new()), script, random, faults)
    }

    fn with(
        manner: Manner,
        (script, heads): (Vec<u8>, Vec<bool>),
        expected: Vec<u8>,
        random: &mut fastrand::Rng,
        faults: u8,
    ) -> SimPeer {
        let wire = Wire {
            random: random.fork(),
            faults,
            token: None,
            short_recv_drains: random.bool(),
            arrived: VecDeque::new(),
            ended: false,
            reset: false,
            window: random.usize(0..100_000),
            blocked: false,
            received: Vec::new(),
            server_ended: false,
            closed: false,
            read_in_turn: 0,
            written_in_turn: 0,
        };
        SimPeer { wire: Rc::new(RefCell::new(wire)), manner, script, heads, sent: 0, expected }
    }

    /// Does something, and says what event the server gets of it.
    fn act(&mut self, random: &mut fastrand::Rng) -> Option<Readiness> {
        let wire = &mut *self.wire.borrow_mut();
        let token = wire.token.filter(|_| !wire.closed && !wire.reset)?;
        let mut readiness = Readiness { token, readable: false, writable: false, ending: false };
        let stops_at = match self.manner {
            Manner::Stops | Manner::Resets => self.script.len() / 2,
            _ => self.script.len(),
        };
        if self.sent < stops_at && random.bool() {
            let most = if random.bool() { 3 } else { 40_000 };
            let count = random.usize(1..=most).min(stops_at - self.sent);
            wire.arrived.extend(&self.script[self.sent..self.sent + count]);
            self.sent += count;
            readiness.readable = true;
        }
        let all_sent = self.sent == self.script.len();
        if self.manner == Manner::HalfCloses && all_sent && !wire.ended && random.bool() {
            wire.ended = true;
            (readiness.readable, readiness.ending) = (true, true);
        }
        if self.manner == Manner::Resets && self.sent == stops_at && random.u8(..10) == 0 {
            wire.reset = true;
            return Some(Readiness { token, readable: true, writable: true, ending: true });
        }
        if self.manner != Manner::NeverReads && wire.window < 50_000 && random.bool() {
            wire.window += random.usize(1..600_000);
            readiness.writable = std::mem::take(&mut wire.blocked);
        }
        (readiness.readable || readiness.writable).then_some(readiness)
    }

    /// Whether this peer got what it should, and will do nothing more by itself.
    fn is_content(&self) -> bool {
        let wire = self.wire.borrow();
        let all_sent = self.sent == self.script.len();
        match self.manner {
            Manner::Polite => all_sent && without_dates(&wire.received) == self.expected,
            Manner::HalfCloses => wire.closed && without_dates(&wire.received) == self.expected,
            _ => true,
        }
    }
}

/// Requests of all kinds, one behind the other, and which of them are HEAD.
fn script(random: &mut fastrand::Rng) -> (Vec<u8>, Vec<bool>) {
    let (mut script, mut heads) = (Vec::new(), Vec::new());
    let count = if random.u8(..8) == 0 { 200 } else { random.usize(1..12) };
    for _ in 0..count {
        let large = count < 12;
        let request: &[u8] = match random.u8(..17) {
            0 if large => b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n",
            1 if large => b"GET /disk.bin HTTP/1.1\r\nHost: h\r\n\r\n",
            2 => b"POST /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nsome body",
            3 => {
                b"POST /a.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            }
            12 if large => b"GET /empty/ HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n",
            13 if large => b"GET /many/ HTTP/1.1\r\nHost: h\r\n\r\n",
            14 => b"GET /words.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n",
            15 if large => b"GET /disk.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=300000-600000\r\n\r\n",
            16 => b"GET /a.txt HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n",
            4 => b"HEAD /disk.bin HTTP/1.1\r\nHost: h\r\n\r\n",
            5 => b"\r\nGET /missing HTTP/1.1\r\nHost: h\r\n\r\n",
            6 if random.u8(..4) == 0 => b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            7 if random.u8(..4) == 0 => b"GET / HTTP/1.1\r\nBroken\r\n\r\n",
            8 if random.u8(..4) == 0 => {
                script.extend(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n");
                script.extend([b'x'; 90_000]);
                heads.push(false);
                continue;
            }
            _ => b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n",
        };
        script.extend(request);
        heads.push(request.starts_with(b"HEAD"));
    }
    (script, heads)
}

/// The site of the other tests, and a file that goes out by `send_file`.
struct WithDisk {
    memory: MemoryStore,
    disk: DiskStore,
    _folder: TempDir,
}

const DISK_FILE_BYTES: usize = 700_001;

impl WithDisk {
    fn new() -> WithDisk {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..DISK_FILE_BYTES).map(|index| (index % 251) as u8).collect();
        let file = File::create(folder.path().join("disk.bin")).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(784_111_777)).unwrap();
        WithDisk { memory: simulated_site(), disk: DiskStore::new(folder.path()).unwrap(), _folder: folder }
    }
}

impl Store for WithDisk {
    fn open(&self, path: &[u8]) -> Result<Entry, StoreError> {
        if path == b"/disk.bin" { self.disk.open(path) } else { self.memory.open(path) }
    }

    fn stamp(&self, path: &[u8]) -> Option<Stamp> {
        if path == b"/disk.bin" { self.disk.stamp(path) } else { self.memory.stamp(path) }
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn Folder>, StoreError> {
        self.memory.list(path)
    }
}

/// The site of the other tests, with a text that takes several turns to be compressed and a folder
/// that takes several to be listed.
fn simulated_site() -> MemoryStore {
    let words: String = (0..30_000).map(|index| format!("{} ", index * 7919 % 10_007)).collect();
    let site = site().with("words.txt", words);
    (0..700).fold(site, |site, index| site.with(&format!("many/{index}"), ""))
}

/// What a script comes to without any network. The disk's file stands in memory here.
fn converse_with_disk(script: &[u8], ends: bool) -> Vec<u8> {
    let bytes: Vec<u8> = (0..DISK_FILE_BYTES).map(|index| (index % 251) as u8).collect();
    let rules = Rules { list: true, ..Rules::default() };
    let mut talk = Talk::by(rules, simulated_site().with("disk.bin", bytes));
    talk.input(script);
    if ends {
        talk.eof();
    }
    without_dates(&talk.outcome.output)
}

/// Dates depend on the turn in which an answer is written.
fn without_dates(bytes: &[u8]) -> Vec<u8> {
    const LINE: &[u8] = b"\r\nDate: ";
    const LENGTH: usize = LINE.len() + 29;
    let mut kept = Vec::new();
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, LINE) {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[(at + LENGTH).min(rest.len())..];
    }
    kept.extend_from_slice(rest);
    kept
}

struct Simulation {
    random: fastrand::Rng,
    backlog: Rc<RefCell<Backlog>>,
    event_loop: EventLoop<SimNetwork>,
    peers: Vec<SimPeer>,
    now: Now,
    timeout: Option<Duration>,
}

impl Simulation {
    fn new(seed: u64, limits: Limits) -> Simulation {
        Simulation::of(Kind::Http, seed, limits)
    }

    fn of(kind: Kind, seed: u64, limits: Limits) -> Simulation {
        let now = start();
        let backlog = Rc::new(RefCell::new(Backlog::default()));
        let mut services = Services::new(
            Box::new(WithDisk::new()),
            Rules { list: true, ..Rules::default() },
            no_library(),
            limits,
            now,
        );
        services.ack.reply = Template::parse("{message}").unwrap();
        let mut event_loop = EventLoop::new(SimNetwork(Rc::clone(&backlog)), services);
        event_loop.listen((), kind).unwrap();
        let random = fastrand::Rng::with_seed(seed);
        Simulation { random, backlog, event_loop, peers: Vec::new(), now, timeout: None }
    }

    /// Lets somebody connect.
    fn connect(&mut self, faults: u8) {
        let peer = SimPeer::new(&mut self.random, faults);
        self.take_in(peer);
    }

    fn take_in(&mut self, peer: SimPeer) {
        self.backlog.borrow_mut().waiting.push_back(Rc::clone(&peer.wire));
        self.peers.push(peer);
    }

    /// One turn, with the listener's event if somebody waits, and what holds after every turn.
    fn turn(&mut self, mut events: Vec<Readiness>) {
        if !self.backlog.borrow().waiting.is_empty() {
            // The listener was the first source of all.
            events.push(Readiness {
                token: Token::new(0, 1),
                readable: true,
                writable: false,
                ending: false,
            });
        }
        self.random.shuffle(&mut events);
        self.timeout = self.event_loop.turn(self.now, events);
        for peer in &self.peers {
            let wire = &mut *peer.wire.borrow_mut();
            assert!(wire.read_in_turn <= TURN_READ_BYTES, "read {}", wire.read_in_turn);
            assert!(wire.written_in_turn <= TURN_WRITE_BYTES, "wrote {}", wire.written_in_turn);
            (wire.read_in_turn, wire.written_in_turn) = (0, 0);
        }
        // One answer may overshoot the high-water mark.
        let bound = self.event_loop.connections() * (INBOX_MAX_BYTES + OUTBOX_MAX_BYTES + 120_000);
        assert!(self.event_loop.buffered() <= bound, "{} bytes in buffers", self.event_loop.buffered());
        assert!(self.event_loop.connections() <= self.event_loop.services().limits.max_connections);
        let statistics = &self.event_loop.services().statistics;
        assert_eq!(statistics.accepted - statistics.ended_in_all(), self.event_loop.connections() as u64);
        if self.event_loop.connections() > 0 {
            assert!(self.timeout.is_some(), "a connection without a deadline");
        }
    }

    /// Lets the peers act, in short time, until none has anything left to do and the loop sleeps.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 60 {
            self.now = self.now + Duration::from_micros(self.random.u64(1..300));
            let events: Vec<Readiness> =
                self.peers.iter_mut().filter_map(|peer| peer.act(&mut self.random)).collect();
            let idle = events.is_empty() && self.timeout != Some(Duration::ZERO);
            quiet = if idle { quiet + 1 } else { 0 };
            self.turn(events);
        }
    }

    /// Lets time pass until no connection is left.
    fn outlast(&mut self) {
        let deadline = self.now + Duration::from_secs(200);
        while self.event_loop.connections() > 0 {
            assert!(self.now.monotonic < deadline.monotonic, "a connection that never ends");
            self.now = self.now + self.timeout.unwrap_or_default();
            self.turn(Vec::new());
        }
        assert_eq!(self.event_loop.buffered(), 0);
    }
}

/// The seeds to run.
fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    match (number("EVSERVE_SEED"), number("EVSERVE_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (0..count.unwrap_or(60)).collect(),
    }
}

/// Runs `test` for every seed and names the one that fails.
fn for_every_seed(test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in seeds() {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            eprintln!("the simulation failed with EVSERVE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn every_peer_gets_what_it_should_whatever_the_others_do() {
    for_every_seed(|seed| {
        let mut simulation = Simulation::new(seed, Limits::default());
        let faults = [0, 10, 40][(seed % 3) as usize];
        for _ in 0..30 {
            simulation.connect(faults);
            if simulation.random.bool() {
                let events =
                    simulation.peers.iter_mut().filter_map(|peer| peer.act(&mut simulation.random)).collect();
                simulation.turn(events);
            }
        }
        simulation.settle();
        for (index, peer) in simulation.peers.iter().enumerate() {
            let wire = peer.wire.borrow();
            assert!(
                peer.is_content(),
                "peer {index}, {:?}: sent {} of {}, got {} of {} bytes, closed: {}",
                peer.manner,
                peer.sent,
                peer.script.len(),
                without_dates(&wire.received).len(),
                peer.expected.len(),
                wire.closed
            );
            // Nobody gets anything else than the beginning of what it should.
            let received = without_dates(&wire.received);
            let compared = received.len().saturating_sub(40).min(peer.expected.len());
            assert!(received[..compared] == peer.expected[..compared], "peer {index} got something else");
        }
        simulation.outlast();
    });
}

#[test]
fn every_byte_is_echoed_whatever_the_network_does() {
    for_every_seed(|seed| {
        let mut simulation = Simulation::of(Kind::Ack, seed, Limits::default());
        let faults = [0, 10, 40][(seed % 3) as usize];
        for _ in 0..10 {
            let peer = SimPeer::echoed(&mut simulation.random, faults);
            simulation.take_in(peer);
        }
        simulation.settle();
        for peer in &simulation.peers {
            let wire = peer.wire.borrow();
            assert!(wire.received == peer.expected, "{} of {}", wire.received.len(), peer.expected.len());
            assert_eq!(wire.closed, peer.manner == Manner::HalfCloses);
        }
        simulation.now = simulation.now + Limits::default().timeouts.file_idle;
        simulation.outlast();
    });
}

#[test]
fn nobody_makes_room_before_it_was_heard() {
    let limits = Limits { max_connections: 10, ..Limits::default() };
    let mut simulation = Simulation::of(Kind::Ack, 1, limits);
    for _ in 0..40 {
        let mut peer = SimPeer::echoed(&mut simulation.random, 0);
        (peer.script, peer.sent) = (b"hello".to_vec(), 5);
        {
            let wire = &mut *peer.wire.borrow_mut();
            wire.arrived.extend(b"hello");
            wire.window = 1000;
        }
        simulation.take_in(peer);
    }
    for _ in 0..100 {
        let arrived = |peer: &SimPeer| {
            let wire = peer.wire.borrow();
            let token = wire.token.filter(|_| !wire.closed && !wire.arrived.is_empty())?;
            Some(Readiness { token, readable: true, writable: true, ending: false })
        };
        let events = simulation.peers.iter().filter_map(arrived).collect();
        simulation.now = simulation.now + Duration::from_millis(10);
        simulation.turn(events);
    }
    assert!(simulation.peers.iter().all(|peer| peer.wire.borrow().received == b"hello"));
    let statistics = &simulation.event_loop.services().statistics;
    assert_eq!((statistics.accepted, statistics.ended(CloseReason::MadeRoom)), (40, 30));
}

#[test]
fn with_few_places_everyone_is_served_in_the_end() {
    for_every_seed(|seed| {
        let mut limits = Limits { max_connections: 3, ..Limits::default() };
        limits.timeouts.write = Duration::from_secs(5);
        let mut simulation = Simulation::new(seed, limits);
        (0..20).for_each(|_| simulation.connect(10));
        let deadline = simulation.now + Duration::from_secs(1000);
        while !simulation.backlog.borrow().waiting.is_empty() {
            simulation.settle();
            simulation.now = simulation.now + simulation.timeout.unwrap_or_default();
            assert!(simulation.now.monotonic < deadline.monotonic, "somebody waits for ever");
        }
        simulation.settle();
        assert_eq!(simulation.event_loop.services().statistics.accepted, 20);
        simulation.outlast();
    });
}

#[test]
fn a_listener_survives_what_accept_says() {
    for_every_seed(|seed| {
        const ECONNABORTED: i32 = rustix::io::Errno::CONNABORTED.raw_os_error();
        const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
        const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();
        const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();
        let mut simulation = Simulation::new(seed, Limits::default());
        let mut exhausted = 0;
        for _ in 0..40 {
            simulation.connect(0);
            let failures = &[ECONNABORTED, EMFILE, ENFILE, EINVAL];
            if simulation.random.bool() {
                let failure = *simulation.random.choice(failures).unwrap();
                exhausted += usize::from([EMFILE, ENFILE].contains(&failure));
                simulation.backlog.borrow_mut().failures.push_back(failure);
            }
        }
        // No further event comes of the listener: what was left in the backlog must be remembered.
        simulation.turn(Vec::new());
        let mut turns = 0;
        while !simulation.backlog.borrow().waiting.is_empty() {
            let sleep = simulation.timeout.expect("a listener that sleeps for ever");
            assert!(sleep < Duration::from_millis(200), "a silent backlog");
            simulation.now = simulation.now + sleep;
            simulation.timeout = simulation.event_loop.turn(simulation.now, []);
            turns += 1;
            assert!(turns < 100, "it spins");
        }
        let statistics = &simulation.event_loop.services().statistics;
        assert_eq!(statistics.accepted + statistics.turned_away, 40);
        assert!(simulation.backlog.borrow().reserve_used <= exhausted);
    });
}

#[test]
fn draining_ends_with_nobody_left_and_nothing_broken() {
    for_every_seed(|seed| {
        let mut simulation = Simulation::new(seed, Limits::default());
        for _ in 0..20 {
            simulation.connect(10);
        }
        for _ in 0..simulation.random.usize(1..30) {
            let events =
                simulation.peers.iter_mut().filter_map(|peer| peer.act(&mut simulation.random)).collect();
            simulation.now = simulation.now + Duration::from_micros(100);
            simulation.turn(events);
        }
        simulation.connect(0);
        simulation.event_loop.drain(simulation.now);
        assert!(simulation.backlog.borrow().waiting.is_empty(), "left in the backlog");
        let begun = simulation.now;
        while !simulation.event_loop.is_finished() {
            let events: Vec<Readiness> =
                simulation.peers.iter_mut().filter_map(|peer| peer.act(&mut simulation.random)).collect();
            let sleep =
                if events.is_empty() { simulation.timeout.unwrap_or_default() } else { Duration::ZERO };
            simulation.now = simulation.now + sleep.min(Duration::from_millis(1));
            simulation.turn(events);
            let elapsed = simulation.now.monotonic.saturating_duration_since(begun.monotonic);
            assert!(
                elapsed <= simulation.event_loop.services().limits.timeouts.drain + Duration::from_millis(2)
            );
        }
        for peer in simulation.peers.iter().filter(|peer| peer.manner == Manner::Polite) {
            // Answers come whole or not at all.
            responses(&peer.wire.borrow().received, &peer.heads);
        }
    });
}

#[test]
fn an_event_for_a_connection_that_is_gone_reaches_nobody() {
    let mut simulation = Simulation::new(1, Limits::default());
    simulation.connect(0);
    simulation.turn(Vec::new());
    let old = simulation.peers[0].wire.borrow().token.unwrap();
    simulation.peers[0].wire.borrow_mut().reset = true;
    simulation.turn(vec![Readiness { token: old, readable: true, writable: true, ending: true }]);
    assert_eq!(simulation.event_loop.services().statistics.ended(CloseReason::Reset), 1);
    simulation.connect(0);
    simulation.turn(Vec::new());
    let new = simulation.peers[1].wire.borrow().token.unwrap();
    assert_eq!((old.key(), old == new), (new.key(), false));
    simulation.peers[1].wire.borrow_mut().ended = true;
    simulation.turn(vec![Readiness { token: old, readable: true, writable: true, ending: true }]);
    assert_eq!(simulation.event_loop.connections(), 1);
    simulation.turn(vec![Readiness { token: new, readable: true, writable: false, ending: true }]);
    assert_eq!(simulation.event_loop.connections(), 0);
}

#[test]
fn idle_connections_own_no_buffer() {
    let mut simulation = Simulation::new(3, Limits::default());
    (0..50).for_each(|_| simulation.connect(0));
    let lasting = simulation.peers.iter_mut().filter(|peer| peer.manner != Manner::HalfCloses);
    lasting.for_each(|peer| peer.manner = Manner::Polite);
    simulation.settle();
    let idle = simulation.peers.iter().filter(|peer| !peer.wire.borrow().closed).count();
    assert!(idle > 10 && simulation.event_loop.connections() == idle);
    assert_eq!(simulation.event_loop.buffered(), 0);
}

/// What one turn does for a peer that has sent `script` and takes `window` bytes.
fn one_turn(script: &[u8], window: usize) -> Simulation {
    let mut simulation = Simulation::new(5, Limits::default());
    simulation.connect(0);
    simulation.turn(Vec::new());
    let token = {
        let wire = &mut *simulation.peers[0].wire.borrow_mut();
        wire.window = window;
        wire.arrived.extend(script);
        wire.token.unwrap()
    };
    simulation.turn(vec![Readiness { token, readable: true, writable: false, ending: false }]);
    simulation
}

#[test]
fn a_turn_answers_so_many_requests_and_the_next_one_goes_on() {
    let mut simulation = one_turn(&b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(200), usize::MAX);
    for answered in [64, 128, 192, 200] {
        assert_eq!(simulation.event_loop.services().statistics.requests, answered);
        simulation.turn(Vec::new());
    }
}

#[test]
fn nothing_more_is_answered_for_a_peer_that_does_not_take_what_it_has() {
    for (path, most) in [("disk.bin", 1), ("large.bin", 3)] {
        let script = format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(300);
        let mut simulation = one_turn(script.as_bytes(), 1000);
        (0..20).for_each(|_| simulation.turn(Vec::new()));
        assert_eq!(simulation.event_loop.services().statistics.requests, most, "{path}");
        // No more is received than one head may have, either.
        assert!(simulation.peers[0].wire.borrow().arrived.len() < script.len());
        assert!(simulation.event_loop.buffered() <= INBOX_MAX_BYTES + 4096);
    }
}

#[test]
fn neither_deadline_is_put_off_by_bytes_that_drip_in() {
    // Two answers in the outbox of which the peer takes nothing, and half a head behind them.
    let script = b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2);
    let mut simulation = one_turn(&[&script[..], b"GET / HTTP/1.1\r\nX: "].concat(), 1000);
    let token = simulation.peers[0].wire.borrow().token.unwrap();
    for _ in 0..30 {
        assert_eq!(simulation.event_loop.connections(), 1);
        simulation.now = simulation.now + Duration::from_secs(1);
        simulation.peers[0].wire.borrow_mut().arrived.push_back(b'x');
        simulation.turn(vec![Readiness { token, readable: true, writable: false, ending: false }]);
    }
    simulation.turn(Vec::new());
    assert_eq!(simulation.event_loop.services().statistics.ended(CloseReason::WriteTimeout), 1);

    // The same peer takes its answers later: the head's deadline has been met meanwhile.
    let mut simulation = one_turn(&[&script[..], b"GET / HTTP/1.1\r\nX: "].concat(), 1000);
    simulation.now = simulation.now + Duration::from_secs(10);
    simulation.turn(Vec::new());
    simulation.peers[0].wire.borrow_mut().window = usize::MAX;
    simulation.turn(vec![Readiness { token, readable: false, writable: true, ending: false }]);
    let statuses: Vec<u16> = responses(&simulation.peers[0].wire.borrow().received, &[])
        .iter()
        .map(|response| response.status)
        .collect();
    assert_eq!(statuses, [200, 200, 408]);
}

#[test]
fn who_has_much_to_do_waits_for_the_others_of_that_kind_not_they_for_him() {
    let mut simulation = Simulation::new(5, Limits::default());
    (0..50).for_each(|_| simulation.connect(0));
    simulation.turn(Vec::new());
    simulation.turn(Vec::new());
    let readable = |wire: &Wire| Readiness {
        token: wire.token.unwrap(),
        readable: true,
        writable: false,
        ending: false,
    };
    let mut events = Vec::new();
    for peer in &simulation.peers[1..] {
        let wire = &mut *peer.wire.borrow_mut();
        wire.arrived.extend(b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n");
        wire.arrived.extend(vec![b'x'; 60_000]);
        wire.arrived.extend(b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(640));
        events.push(readable(wire));
    }
    simulation.turn(events);
    // Each has had its share. From now on a few of them go on in a turn, and small requests at once.
    let requests = |simulation: &Simulation| simulation.event_loop.services().statistics.requests;
    for _ in 0..100 {
        let (event, before) = {
            let wire = &mut *simulation.peers[0].wire.borrow_mut();
            wire.arrived.extend(b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            (readable(wire), wire.received.len())
        };
        let answered = requests(&simulation);
        simulation.turn(vec![event]);
        assert!(simulation.peers[0].wire.borrow().received.len() > before);
        assert!(requests(&simulation) - answered <= 1 + (TURN_BULK * TURN_REQUESTS) as u64);
    }
    // Their turn comes round, too.
    (0..200).for_each(|_| simulation.turn(Vec::new()));
    assert_eq!(requests(&simulation), 100 + 49 * 641);
}

/// Two hundred turns in which a peer that takes nothing delivers more than its share each time, a
/// second apart.
fn flood(script: &[u8]) -> Simulation {
    let mut simulation = one_turn(script, 0);
    let token = simulation.peers[0].wire.borrow().token.unwrap();
    for _ in 0..200 {
        simulation.now = simulation.now + Duration::from_secs(1);
        let missing = (2 * TURN_READ_BYTES).saturating_sub(simulation.peers[0].wire.borrow().arrived.len());
        simulation.peers[0].wire.borrow_mut().arrived.extend(vec![b'x'; missing]);
        simulation.turn(vec![Readiness { token, readable: true, writable: false, ending: false }]);
    }
    simulation
}

#[test]
fn a_flood_puts_off_no_deadline_and_has_no_more_than_its_share() {
    for script in [
        "GET /disk.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "NONSENSE\r\n\r\n",
    ] {
        assert_eq!(flood(script.as_bytes()).event_loop.connections(), 0, "{script:?}");
    }
    // The same where the answer goes out at once.
    let mut script = b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n".to_vec();
    script.resize(400_000, b'x');
    one_turn(&script, usize::MAX);
}

#[test]
fn empty_lines_put_off_no_deadline() {
    let mut simulation = one_turn(b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n\r", usize::MAX);
    let token = simulation.peers[0].wire.borrow().token.unwrap();
    for byte in b"\n\r\n\r\n\r\n\r\n" {
        assert_eq!(simulation.event_loop.connections(), 1);
        simulation.now = simulation.now + Duration::from_millis(1100);
        simulation.peers[0].wire.borrow_mut().arrived.push_back(*byte);
        simulation.turn(vec![Readiness { token, readable: true, writable: false, ending: false }]);
    }
    simulation.now = simulation.now + Duration::from_secs(1);
    simulation.turn(Vec::new());
    assert_eq!(simulation.event_loop.services().statistics.ended(CloseReason::IdleTimeout), 1);
}

#[test]
fn draining_takes_the_whole_backlog_and_ends_the_idle_within_the_grace() {
    let mut simulation = Simulation::new(9, Limits::default());
    (0..10).for_each(|_| simulation.connect(0));
    simulation.turn(Vec::new());
    (0..100).for_each(|_| simulation.connect(0));
    simulation.event_loop.drain(simulation.now);
    assert_eq!(simulation.event_loop.services().statistics.accepted, 110);
    simulation.turn(Vec::new());
    assert_eq!(simulation.event_loop.connections(), 110);
    simulation.now = simulation.now + simulation.timeout.unwrap();
    simulation.turn(Vec::new());
    assert!(simulation.event_loop.is_finished());
    assert_eq!(simulation.event_loop.services().statistics.ended(CloseReason::Drained), 110);
}

#[test]
fn a_listener_that_may_not_accept_does_not_spin() {
    let mut simulation = Simulation::new(9, Limits::default());
    simulation.connect(0);
    simulation.backlog.borrow_mut().failures.extend([rustix::io::Errno::PERM.raw_os_error(); 1000]);
    for _ in 0..20 {
        simulation.turn(Vec::new());
        assert!(simulation.timeout > Some(Duration::ZERO));
        simulation.now = simulation.now + Duration::from_millis(100);
    }
}
