//! Datagram endpoints in the loop, over a simulated socket under a virtual clock: which datagrams get a
//! reply, of which size, and that none is lost. To add a case, let datagrams `arrive` at a `Service`.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use evserve::clock::Now;
use evserve::event_loop::{EventLoop, Readiness, Token};
use evserve::limits::{Limits, TURN_READ_BYTES, TURN_REQUESTS};
use evserve::observe::DatagramCounts;
use evserve::protocol::Kind;
use evserve::services::RateLimiter;
use evserve::services::Services;
use evserve::services::Template;
use evserve::site::Rules;
use evserve::store::MemoryStore;
use evserve::transport::{DatagramSocket, Destination, Received};

use super::network::SimNetwork;
use crate::conversation::{no_library, start};

/// The state of a simulated socket.
pub struct SocketState {
    arrived: VecDeque<Result<(SocketAddr, Vec<u8>), ErrorKind>>,
    answers: Vec<(SocketAddr, Vec<u8>)>,
    /// The error of every send, if any.
    failure: Option<ErrorKind>,
    destination: Destination,
}

impl Default for SocketState {
    fn default() -> SocketState {
        let (arrived, answers) = (VecDeque::new(), Vec::new());
        SocketState { arrived, answers, failure: None, destination: Destination::Unknown }
    }
}

pub struct SimSocket(Rc<RefCell<SocketState>>);

impl DatagramSocket for SimSocket {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let (peer, bytes) = self.0.borrow_mut().arrived.pop_front().ok_or(ErrorKind::WouldBlock)??;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        let destination = self.0.borrow().destination;
        Ok(Received { length, is_truncated: length < bytes.len(), peer, destination })
    }

    fn reply(&mut self, bytes: &[u8], received: &Received) -> io::Result<()> {
        let socket = &mut *self.0.borrow_mut();
        match socket.failure {
            Some(failure) => Err(failure.into()),
            None => {
                socket.answers.push((received.peer, bytes.to_vec()));
                Ok(())
            }
        }
    }
}

/// An event loop with one endpoint, on port 7000.
struct Service {
    socket: Rc<RefCell<SocketState>>,
    event_loop: EventLoop<SimNetwork>,
    now: Now,
    timeout: Option<Duration>,
}

impl Service {
    fn new(template: &str, rate: u32) -> Service {
        let (now, socket) = (start(), Rc::default());
        let site = Box::new(MemoryStore::default());
        let mut services = Services::new(site, Rules::default(), no_library(), Limits::default(), now);
        services.ack.reply = Template::parse(template).unwrap();
        services.ack.rate_limiter = RateLimiter::new(rate);
        let mut event_loop = EventLoop::new(SimNetwork::default(), services);
        event_loop.listen_datagrams(SimSocket(Rc::clone(&socket)), 7000, Kind::Ack).unwrap();
        let timeout = event_loop.turn(now, []);
        Service { socket, event_loop, now, timeout }
    }

    fn arrive(&mut self, peer: impl Into<SocketAddr>, bytes: &[u8]) {
        self.socket.borrow_mut().arrived.push_back(Ok((peer.into(), bytes.to_vec())));
    }

    /// Runs one turn, with the single event of an edge-triggered poll.
    fn event(&mut self) {
        // The endpoint is the first source of the loop.
        let token = Token::new(0, 1);
        let readiness = Readiness { token, readable: true, writable: false, ending: false };
        self.timeout = self.event_loop.turn(self.now, [readiness]);
    }

    /// Runs turns without events until the loop sleeps, and returns their number.
    fn settle(&mut self) -> usize {
        let mut turns = 0;
        while self.timeout == Some(Duration::ZERO) {
            self.timeout = self.event_loop.turn(self.now, []);
            turns += 1;
            assert!(turns < 1000, "it never sleeps");
        }
        turns
    }

    /// Takes the replies sent since the last call.
    fn answers(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.socket.borrow_mut().answers)
    }

    fn counts(&self) -> &DatagramCounts {
        &self.event_loop.services().statistics.datagrams
    }
}

const PEER: ([u8; 4], u16) = ([10, 0, 0, 1], 5000);

#[test]
fn one_event_answers_all_received_datagrams_within_the_turn_budgets() {
    let mut service = Service::new("{count} {message}", 0);
    (0..1000).for_each(|number: u32| service.arrive(PEER, &number.to_be_bytes()));
    service.event();
    assert_eq!(service.answers().len(), TURN_REQUESTS);
    let turns = service.settle();
    assert_eq!(turns, 1000 / TURN_REQUESTS);
    assert_eq!(service.counts().answered, 1000);
    // Of large datagrams, a turn answers fewer.
    (0..10).for_each(|_| service.arrive(PEER, &[b'x'; 60_000]));
    service.event();
    assert_eq!(service.answers().len() - 936, TURN_READ_BYTES.div_ceil(60_000));
    service.settle();
    assert_eq!(service.answers().len(), 8);
}

#[test]
fn errors_and_truncated_datagrams_do_not_stop_the_endpoint() {
    let mut service = Service::new("ok", 0);
    service.arrive(PEER, b"one");
    service.socket.borrow_mut().arrived.push_back(Err(ErrorKind::ConnectionRefused));
    service.arrive(PEER, &[b'x'; 70_000]);
    service.socket.borrow_mut().arrived.push_back(Err(ErrorKind::Interrupted));
    service.arrive(PEER, b"two");
    service.event();
    service.settle();
    assert_eq!(service.answers(), [(PEER.into(), b"ok".to_vec()), (PEER.into(), b"ok".to_vec())]);
    assert_eq!(*service.counts(), DatagramCounts { received: 3, answered: 2, truncated: 1, unsent: 0 });
    service.socket.borrow_mut().failure = Some(ErrorKind::WouldBlock);
    service.arrive(PEER, b"three");
    service.event();
    assert_eq!(service.counts().unsent, 1);
}

#[test]
fn replies_are_at_most_three_times_the_datagram_plus_64_bytes() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let pieces = ["{message}", "{time}", "{peer}", "{count}", "收到了", "word", "{bytes}", "\u{1f600}"];
        let template: String =
            (0..random.usize(..16)).map(|_| pieces[random.usize(..pieces.len())]).collect();
        let mut service = Service::new(&template, 0);
        let length = [0, 1, 5, 100, 30_000][random.usize(..5)];
        let message: String =
            std::iter::repeat_with(|| random.char('a'..='\u{ffff}')).take(length / 3).collect();
        service.arrive(PEER, message.as_bytes());
        service.event();
        for (_, answer) in service.answers() {
            assert!(answer.len() <= 3 * message.len() + 64, "{template}: {}", answer.len());
            assert!(answer.len() <= 65_507, "{template}: {}", answer.len());
            assert!(std::str::from_utf8(&answer).is_ok(), "{template}: cut within a character");
        }
    }
    // A large reply reaches the bound exactly.
    let mut service = Service::new(&"{message}".repeat(16), 0);
    service.arrive(PEER, &[b'x'; 100]);
    service.event();
    assert_eq!(service.answers()[0].1.len(), 364);
}

#[test]
fn datagrams_whose_reply_could_start_a_loop_are_not_answered() {
    let mut service = Service::new("ok", 0);
    let silent = [
        "10.0.0.1:7",
        "10.0.0.1:53",
        "10.0.0.1:1023",
        "[2001:db8::1]:19",
        "224.0.0.1:5000",
        "[ff02::1]:5000",
        // The endpoint itself, or another server on the same port.
        "127.0.0.1:7000",
        "[::ffff:10.0.0.9]:7000",
        "[::1]:7000",
    ];
    silent.iter().for_each(|peer| service.arrive(peer.parse::<SocketAddr>().unwrap(), b"hello"));
    service.event();
    assert_eq!(service.answers(), []);
    let heard = ["10.0.0.1:1024", "127.0.0.1:7001", "[::1]:6999"];
    heard.iter().for_each(|peer| service.arrive(peer.parse::<SocketAddr>().unwrap(), b"hello"));
    service.event();
    assert_eq!(service.answers().len(), heard.len());
    // A datagram to a broadcast or multicast address.
    service.socket.borrow_mut().destination = Destination::Everyone;
    service.arrive(PEER, b"hello");
    service.event();
    assert_eq!(service.answers(), []);
}

#[test]
fn an_endpoint_with_only_errors_is_retried_later() {
    let mut service = Service::new("ok", 0);
    let errors = || std::iter::repeat_n(Err(ErrorKind::NetworkDown), TURN_REQUESTS);
    service.socket.borrow_mut().arrived.extend(errors());
    service.arrive(PEER, b"behind them");
    service.event();
    assert!(service.timeout > Some(Duration::ZERO), "it spins");
    service.now = service.now + service.timeout.unwrap();
    service.timeout = service.event_loop.turn(service.now, []);
    assert_eq!(service.answers().len(), 1);
}

#[test]
fn replies_to_an_address_stay_within_the_rate() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut service = Service::new("ok", 20);
    let mut answered: HashMap<SocketAddr, Vec<Duration>> = HashMap::new();
    let begun = service.now.monotonic;
    while service.now.monotonic - begun < Duration::from_secs(5) {
        service.now = service.now + Duration::from_millis(random.u64(..20));
        // All ports of an address count as one peer.
        (0..random.u16(..30)).for_each(|port| {
            let host = random.u8(1..4);
            service.arrive(([10, 0, 0, host], 2000 + port), b"x");
        });
        service.event();
        for (peer, _) in service.answers() {
            let times = answered.entry(SocketAddr::new(peer.ip(), 0)).or_default();
            times.push(service.now.monotonic - begun);
        }
        service.settle();
    }
    assert_eq!(answered.len(), 3);
    for times in answered.values() {
        assert!(times.len() >= 20 * 4, "{}", times.len());
        for window in times.windows(21) {
            assert!(window[20] - window[0] > Duration::from_secs(1));
        }
    }
}

#[test]
fn draining_answers_datagrams_that_are_already_received() {
    let mut service = Service::new("ok", 0);
    (0..200).for_each(|_| service.arrive(PEER, b"x"));
    service.event_loop.drain(service.now);
    assert_eq!(service.answers().len(), 200);
    service.event_loop.turn(service.now, []);
    assert!(service.event_loop.is_finished());
}
