//! Datagram endpoints in the loop, over a simulated socket under a virtual clock: who is answered, with how
//! much, and that none is forgotten. To add a case, let datagrams `arrive` at a `Service`.

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

/// A socket as the network sees it.
pub struct Post {
    arrived: VecDeque<Result<(SocketAddr, Vec<u8>), ErrorKind>>,
    answers: Vec<(SocketAddr, Vec<u8>)>,
    /// What sending says instead, if anything.
    failure: Option<ErrorKind>,
    destination: Destination,
}

impl Default for Post {
    fn default() -> Post {
        let (arrived, answers) = (VecDeque::new(), Vec::new());
        Post { arrived, answers, failure: None, destination: Destination::Unknown }
    }
}

pub struct SimSocket(Rc<RefCell<Post>>);

impl DatagramSocket for SimSocket {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let (peer, bytes) = self.0.borrow_mut().arrived.pop_front().ok_or(ErrorKind::WouldBlock)??;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        let destination = self.0.borrow().destination;
        Ok(Received { length, is_truncated: length < bytes.len(), peer, destination })
    }

    fn reply(&mut self, bytes: &[u8], received: &Received) -> io::Result<()> {
        let post = &mut *self.0.borrow_mut();
        match post.failure {
            Some(failure) => Err(failure.into()),
            None => {
                post.answers.push((received.peer, bytes.to_vec()));
                Ok(())
            }
        }
    }
}

/// A loop with one endpoint, on port 7000.
struct Service {
    post: Rc<RefCell<Post>>,
    event_loop: EventLoop<SimNetwork>,
    now: Now,
    timeout: Option<Duration>,
}

impl Service {
    fn new(template: &str, rate: u32) -> Service {
        let (now, post) = (start(), Rc::default());
        let site = Box::new(MemoryStore::default());
        let mut services = Services::new(site, Rules::default(), no_library(), Limits::default(), now);
        services.ack.reply = Template::parse(template).unwrap();
        services.ack.rate_limiter = RateLimiter::new(rate);
        let mut event_loop = EventLoop::new(SimNetwork::default(), services);
        event_loop.listen_datagrams(SimSocket(Rc::clone(&post)), 7000, Kind::Ack).unwrap();
        let timeout = event_loop.turn(now, []);
        Service { post, event_loop, now, timeout }
    }

    fn arrive(&mut self, peer: impl Into<SocketAddr>, bytes: &[u8]) {
        self.post.borrow_mut().arrived.push_back(Ok((peer.into(), bytes.to_vec())));
    }

    /// One turn, with the one event that an edge-triggered poll gives.
    fn event(&mut self) {
        // It was the first source of all.
        let token = Token::new(0, 1);
        let readiness = Readiness { token, readable: true, writable: false, ending: false };
        self.timeout = self.event_loop.turn(self.now, [readiness]);
    }

    /// Turns without an event until the loop wants to sleep.
    fn settle(&mut self) -> usize {
        let mut turns = 0;
        while self.timeout == Some(Duration::ZERO) {
            self.timeout = self.event_loop.turn(self.now, []);
            turns += 1;
            assert!(turns < 1000, "it never sleeps");
        }
        turns
    }

    /// What was answered since the last time.
    fn answers(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.post.borrow_mut().answers)
    }

    fn counts(&self) -> &DatagramCounts {
        &self.event_loop.services().core.statistics.datagrams
    }
}

const PEER: ([u8; 4], u16) = ([10, 0, 0, 1], 5000);

#[test]
fn one_event_answers_all_that_came_a_share_in_each_turn() {
    let mut service = Service::new("{count} {message}", 0);
    (0..1000).for_each(|number: u32| service.arrive(PEER, &number.to_be_bytes()));
    service.event();
    assert_eq!(service.answers().len(), TURN_REQUESTS);
    let turns = service.settle();
    assert_eq!(turns, 1000 / TURN_REQUESTS);
    assert_eq!(service.counts().answered, 1000);
    // Large ones are fewer.
    (0..10).for_each(|_| service.arrive(PEER, &[b'x'; 60_000]));
    service.event();
    assert_eq!(service.answers().len() - 936, TURN_READ_BYTES.div_ceil(60_000));
    service.settle();
    assert_eq!(service.answers().len(), 8);
}

#[test]
fn errors_and_truncated_datagrams_are_no_end() {
    let mut service = Service::new("ok", 0);
    service.arrive(PEER, b"one");
    service.post.borrow_mut().arrived.push_back(Err(ErrorKind::ConnectionRefused));
    service.arrive(PEER, &[b'x'; 70_000]);
    service.post.borrow_mut().arrived.push_back(Err(ErrorKind::Interrupted));
    service.arrive(PEER, b"two");
    service.event();
    service.settle();
    assert_eq!(service.answers(), [(PEER.into(), b"ok".to_vec()), (PEER.into(), b"ok".to_vec())]);
    assert_eq!(*service.counts(), DatagramCounts { received: 3, answered: 2, truncated: 1, unsent: 0 });
    service.post.borrow_mut().failure = Some(ErrorKind::WouldBlock);
    service.arrive(PEER, b"three");
    service.event();
    assert_eq!(service.counts().unsent, 1);
}

#[test]
fn no_answer_is_more_than_three_times_what_came_and_64_bytes() {
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
    // It is the bound, not less.
    let mut service = Service::new(&"{message}".repeat(16), 0);
    service.arrive(PEER, &[b'x'; 100]);
    service.event();
    assert_eq!(service.answers()[0].1.len(), 364);
}

#[test]
fn whose_answer_would_be_answered_gets_none() {
    let mut service = Service::new("ok", 0);
    let silent = [
        "10.0.0.1:7",
        "10.0.0.1:53",
        "10.0.0.1:1023",
        "[2001:db8::1]:19",
        "224.0.0.1:5000",
        "[ff02::1]:5000",
        // Ourselves, or one like us.
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
    // What everyone was asked.
    service.post.borrow_mut().destination = Destination::Everyone;
    service.arrive(PEER, b"hello");
    service.event();
    assert_eq!(service.answers(), []);
}

#[test]
fn nothing_but_errors_is_looked_at_again_later() {
    let mut service = Service::new("ok", 0);
    let errors = || std::iter::repeat_n(Err(ErrorKind::NetworkDown), TURN_REQUESTS);
    service.post.borrow_mut().arrived.extend(errors());
    service.arrive(PEER, b"behind them");
    service.event();
    assert!(service.timeout > Some(Duration::ZERO), "it spins");
    service.now = service.now + service.timeout.unwrap();
    service.timeout = service.event_loop.turn(service.now, []);
    assert_eq!(service.answers().len(), 1);
}

#[test]
fn nobody_is_answered_more_often_than_the_rate() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut service = Service::new("ok", 20);
    let mut answered: HashMap<SocketAddr, Vec<Duration>> = HashMap::new();
    let begun = service.now.monotonic;
    while service.now.monotonic - begun < Duration::from_secs(5) {
        service.now = service.now + Duration::from_millis(random.u64(..20));
        // The same address with different ports is the same peer.
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
fn draining_answers_what_has_come() {
    let mut service = Service::new("ok", 0);
    (0..200).for_each(|_| service.arrive(PEER, b"x"));
    service.event_loop.drain(service.now);
    assert_eq!(service.answers().len(), 200);
    service.event_loop.turn(service.now, []);
    assert!(service.event_loop.is_finished());
}
