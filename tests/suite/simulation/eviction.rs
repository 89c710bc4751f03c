//! Which connections are evicted in favor of new ones, in the simulation. To add a case, fill a `FullHouse`
//! with `connect` and `send`, and connect one more.

use std::net::IpAddr;
use std::time::Duration;

use evserve::close_reason::CloseReason;
use evserve::event_loop::Readiness;
use evserve::limits::Limits;
use evserve::protocol::{Dialect, Kind};

use super::peers::SimPeer;
use super::world::Simulation;

const GET: &str = "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n";

/// A server with few places for connections.
struct FullHouse(Simulation);

impl FullHouse {
    fn new(kind: Kind, places: usize) -> FullHouse {
        let limits = Limits { max_connections: places, ..Limits::default() };
        FullHouse(Simulation::with_protocol(kind, 1, limits))
    }

    /// Connects a peer from 10.0.0.`host` and lets 10 ms pass. Returns its index.
    fn connect(&mut self, host: u8) -> usize {
        let peer = SimPeer::echo(&mut self.0.random, 0);
        {
            let wire = &mut *peer.wire.borrow_mut();
            (wire.address, wire.window) = (IpAddr::from([10, 0, 0, host]), 10_000);
        }
        self.0.add(peer);
        self.pass();
        self.0.peers.len() - 1
    }

    /// Lets 10 ms pass, and reports new connections as writable, like epoll(7).
    fn pass(&mut self) {
        self.0.now = self.0.now + Duration::from_millis(10);
        self.0.turn(Vec::new());
        let tokens = self.0.peers.iter().filter_map(|peer| {
            let wire = peer.wire.borrow();
            wire.token.filter(|_| !wire.closed)
        });
        let events = tokens.map(|token| Readiness { token, readable: false, writable: true, ending: false });
        self.0.turn(events.collect());
    }

    fn send(&mut self, peer: usize, bytes: impl AsRef<[u8]>) {
        let token = {
            let wire = &mut *self.0.peers[peer].wire.borrow_mut();
            wire.arrived.extend(bytes.as_ref());
            wire.token
        };
        let event = |token| Readiness { token, readable: true, writable: false, ending: false };
        self.0.now = self.0.now + Duration::from_millis(10);
        self.0.turn(token.map(event).into_iter().collect());
    }

    fn is_closed(&self, peer: usize) -> bool {
        self.0.peers[peer].wire.borrow().closed
    }

    fn is_accepted(&self, peer: usize) -> bool {
        self.0.peers[peer].wire.borrow().token.is_some()
    }

    fn received(&self, peer: usize) -> usize {
        self.0.peers[peer].wire.borrow().received.len()
    }

    fn evicted(&self) -> u64 {
        self.0.event_loop.services().statistics.ended(CloseReason::Evicted)
    }
}

#[test]
fn eviction_skips_connections_with_unread_input() {
    let limits = Limits { max_connections: 10, ..Limits::default() };
    let mut simulation = Simulation::with_protocol(Kind::Ack, 1, limits);
    for _ in 0..40 {
        let mut peer = SimPeer::echo(&mut simulation.random, 0);
        (peer.script, peer.sent) = (b"hello".to_vec(), 5);
        {
            let wire = &mut *peer.wire.borrow_mut();
            wire.arrived.extend(b"hello");
            wire.window = 1000;
        }
        simulation.add(peer);
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
    assert_eq!((statistics.accepted, statistics.ended(CloseReason::Evicted)), (40, 30));
}

#[test]
fn eviction_takes_lingering_then_idle_then_incomplete_connections() {
    let mut house = FullHouse::new(Kind::Http, 8);
    let newcomers = [1, 2, 2, 2].map(|host| house.connect(host));
    let half = house.connect(2);
    house.send(half, format!("{GET}{}", &GET[..20]));
    let idle = [house.connect(1), house.connect(1)];
    idle.iter().rev().for_each(|peer| house.send(*peer, GET));
    let lingering = house.connect(3);
    house.send(lingering, "bad\r\n\r\n");
    // 10.0.0.2 has four incomplete connections. When it has one left, age decides.
    let order = [lingering, idle[1], idle[0], newcomers[1], newcomers[2], newcomers[3], newcomers[0], half];
    for (index, next) in order.into_iter().enumerate() {
        assert!(!house.is_closed(next), "number {index} is evicted too early");
        let busy = house.connect(4);
        house.send(busy, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
        assert!(house.is_closed(next) && !house.is_closed(busy), "number {index} is not evicted");
    }
    let rejected = house.0.event_loop.services().statistics.ended(CloseReason::Rejected);
    assert_eq!((house.evicted(), rejected), (7, 1));
}

#[test]
fn served_connections_are_not_evicted() {
    let mut house = FullHouse::new(Kind::Http, 3);
    let served = [(); 3].map(|()| house.connect(1));
    house.send(served[0], "GET /disk.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    house.send(served[1], GET.repeat(200));
    house.send(served[2], "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
    let waiting = house.connect(2);
    (0..20).for_each(|_| house.pass());
    assert!(!house.is_accepted(waiting) && house.evicted() == 0);
    assert!(house.0.timeout > Some(Duration::ZERO), "it spins");
    house.send(served[2], "a body");
    house.pass();
    assert!(house.is_accepted(waiting) && house.is_closed(served[2]));
}

#[test]
fn floods_of_incomplete_requests_delay_no_other_client() {
    // The bytes that a connection of the flood sends, and whether more bytes follow.
    for (first, drips) in [("", false), ("", true), (&GET[..20], false), (&GET[..20], true)] {
        for after in ["", GET] {
            let mut house = FullHouse::new(Kind::Http, 100);
            for index in 0..150 {
                let peer = house.connect(2 + index % 3);
                house.send(peer, format!("{after}{first}"));
                if drips {
                    (0..house.0.peers.len()).step_by(20).for_each(|peer| house.send(peer, "G"));
                }
            }
            let begun = house.0.now;
            let client = house.connect(1);
            house.send(client, GET);
            assert!(house.received(client) > 0, "{first:?} after {after:?}");
            assert!(house.0.now.monotonic - begun.monotonic < Duration::from_millis(100));
        }
    }
}

#[test]
fn a_flood_evicts_itself_and_no_client_that_is_about_to_send() {
    let mut house = FullHouse::new(Kind::Http, 100);
    let mut flood = (0..100).map(|_| house.connect(2)).collect::<Vec<_>>();
    let clients = [3, 4, 5].map(|host| house.connect(host));
    for _ in 0..300 {
        let peer = house.connect(2);
        flood.push(peer);
    }
    for client in clients {
        house.send(client, GET);
        assert!(house.received(client) > 0);
    }
    // The oldest connections of the flood are gone, and its newest are open.
    assert!(flood[..303].iter().all(|peer| house.is_closed(*peer)));
    assert!(flood[303..].iter().all(|peer| !house.is_closed(*peer)));
}

#[test]
fn silent_newcomers_evict_no_session() {
    for (kind, command) in
        [(Kind::Ack, "hello"), (Kind::File(Dialect::Auto), "HELP\r\n"), (Kind::File(Dialect::Listed), "G x")]
    {
        let mut house = FullHouse::new(kind, 50);
        let sessions: Vec<usize> = (0..40).map(|index| house.connect(1 + index / 10)).collect();
        sessions.iter().for_each(|peer| house.send(*peer, command));
        let flood: Vec<usize> = (0..100).map(|index| house.connect(9 + index % 2)).collect();
        assert!(sessions.iter().all(|peer| !house.is_closed(*peer)), "{kind}");
        assert!(flood[..90].iter().all(|peer| house.is_closed(*peer)), "{kind}");
        // A command makes the newest ones sessions. Now the least recently active session of an address has
        // to go.
        let before = house.received(sessions[39]);
        house.send(sessions[39], command);
        assert!(house.received(sessions[39]) > before, "{kind}");
        flood[90..].iter().for_each(|peer| house.send(*peer, command));
        house.connect(1);
        let closed: Vec<usize> = sessions.into_iter().filter(|peer| house.is_closed(*peer)).collect();
        assert_eq!(closed, [0], "{kind}");
    }
}

#[test]
fn a_lack_of_descriptors_evicts_incomplete_connections() {
    let mut house = FullHouse::new(Kind::Http, 100);
    let silent = house.connect(2);
    house.0.backlog.borrow_mut().failures.push_back(rustix::io::Errno::MFILE.raw_os_error());
    let client = house.connect(1);
    house.send(client, GET);
    assert!(house.received(client) > 0 && house.is_closed(silent));
}

#[test]
fn searches_for_victims_are_paced() {
    let mut house = FullHouse::new(Kind::Http, 20);
    for _ in 0..20 {
        house.connect(1);
    }
    for _ in 0..200 {
        let peer = SimPeer::echo(&mut house.0.random, 0);
        house.0.add(peer);
    }
    // No time passes, so the connections are scanned once.
    for _ in 0..10 {
        let now = house.0.now;
        house.pass();
        house.0.now = now;
    }
    assert_eq!(house.evicted(), 20);
    assert!(house.0.timeout.is_some_and(|timeout| timeout > Duration::ZERO));
    (0..10).for_each(|_| house.pass());
    assert_eq!(house.evicted(), 200);
}
