//! The work of one turn of the loop for a peer, and the work left to the next turn. To add a case, give
//! `one_turn` a script and a window.

use std::time::Duration;

use evserve::close_reason::CloseReason;
use evserve::event_loop::Readiness;
use evserve::limits::{
    INBOX_MAX_BYTES, Limits, SHARED_FOR, TURN_BULK, TURN_READ_BYTES, TURN_REQUESTS, TURN_WRITE_BYTES,
    TURN_WRITE_SHARED_BYTES,
};
use evserve::protocol::Kind;

use super::network::Wire;
use super::peers::Behavior;
use super::world::Simulation;
use crate::reading::responses;

#[test]
fn events_for_a_closed_connection_do_not_reach_its_successor() {
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
    for mut simulation in Simulation::both(Kind::Http, 3, Limits::default()) {
        (0..50).for_each(|_| simulation.connect(0));
        let lasting = simulation.peers.iter_mut().filter(|peer| peer.behavior != Behavior::HalfCloses);
        lasting.for_each(|peer| peer.behavior = Behavior::Polite);
        simulation.settle();
        let idle = simulation.peers.iter().filter(|peer| !peer.wire.borrow().closed).count();
        assert!(idle > 10 && simulation.event_loop.connections() == idle);
        assert_eq!(simulation.event_loop.buffered(), 0);
    }
}

/// Runs one turn for a peer that has sent `script` and accepts `window` bytes.
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
fn a_turn_answers_64_requests_and_the_next_turn_continues() {
    let mut simulation = one_turn(&b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(200), usize::MAX);
    for answered in [64, 128, 192, 200] {
        assert_eq!(simulation.event_loop.services().statistics.requests, answered);
        simulation.turn(Vec::new());
    }
}

#[test]
fn pipelined_requests_wait_while_the_peer_does_not_read() {
    for (path, most) in [("disk.bin", 1), ("large.bin", 3)] {
        let script = format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(300);
        let mut simulation = one_turn(script.as_bytes(), 1000);
        (0..20).for_each(|_| simulation.turn(Vec::new()));
        assert_eq!(simulation.event_loop.services().statistics.requests, most, "{path}");
        // Unread input is bounded by the size of one head, too.
        assert!(simulation.peers[0].wire.borrow().arrived.len() < script.len());
        assert!(simulation.event_loop.buffered() <= INBOX_MAX_BYTES + 4096);
    }
}

#[test]
fn slow_bytes_do_not_extend_deadlines() {
    // Two responses in the outbox that the peer does not read, and then half a head.
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

    // The same peer reads its responses later, when the deadline of the head has passed.
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
fn bulk_connections_do_not_starve_small_requests() {
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
    // Every bulk connection has used its budget. From now on a turn drives a few of them, and all small
    // requests.
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
    // The bulk connections are completed as well.
    (0..200).for_each(|_| simulation.turn(Vec::new()));
    assert_eq!(requests(&simulation), 100 + 49 * 641);
}

#[test]
fn large_responses_write_less_per_turn_while_small_ones_are_served() {
    let mut simulation = Simulation::new(5, Limits::default());
    (0..2).for_each(|_| simulation.connect(0));
    simulation.turn(Vec::new());
    simulation.turn(Vec::new());
    let ask = |simulation: &Simulation, peer: usize, request: &[u8]| {
        let wire = &mut *simulation.peers[peer].wire.borrow_mut();
        wire.arrived.extend(request);
        wire.window = 1 << 40;
        Readiness { token: wire.token.unwrap(), readable: true, writable: false, ending: false }
    };
    let received = |simulation: &Simulation| simulation.peers[1].wire.borrow().received.len();
    let large = b"GET /disk.bin HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20);
    let event = ask(&simulation, 1, &large);
    simulation.turn(vec![event]);
    for is_shared in [false, true, false] {
        simulation.now = simulation.now + SHARED_FOR;
        if is_shared {
            let event = ask(&simulation, 0, b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            simulation.turn(vec![event]);
        }
        let before = received(&simulation);
        simulation.turn(Vec::new());
        let budget = if is_shared { TURN_WRITE_SHARED_BYTES } else { TURN_WRITE_BYTES };
        assert_eq!(received(&simulation) - before, budget);
    }
}

#[test]
fn a_turn_writes_to_few_of_the_bulk_connections_that_an_event_or_the_disk_wakes() {
    let mut simulation = Simulation::new(5, Limits::default());
    (0..40).for_each(|_| simulation.connect(0));
    simulation.turn(Vec::new());
    simulation.turn(Vec::new());
    let event = |wire: &Wire, writable: bool| Readiness {
        token: wire.token.unwrap(),
        readable: !writable,
        writable,
        ending: false,
    };
    let mut begin = Vec::new();
    for peer in &simulation.peers {
        let wire = &mut *peer.wire.borrow_mut();
        wire.arrived.extend(b"GET /disk.bin HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.window = 1000;
        begin.push(event(wire, false));
    }
    simulation.turn(begin);
    // All have room for more at once.
    let mut events = Vec::new();
    for peer in &simulation.peers {
        let wire = &mut *peer.wire.borrow_mut();
        wire.window = 1 << 40;
        events.push(event(wire, true));
    }
    let received = |simulation: &Simulation| -> Vec<usize> {
        simulation.peers.iter().map(|peer| peer.wire.borrow().received.len()).collect()
    };
    let mut before = received(&simulation);
    for turn in 0..40 {
        simulation.turn(std::mem::take(&mut events));
        let now = received(&simulation);
        let served = before.iter().zip(&now).filter(|(before, now)| before != now).count();
        assert!(served <= TURN_BULK, "{served} in turn {turn}");
        before = now;
    }
    (0..80).for_each(|_| simulation.turn(Vec::new()));
    assert!(received(&simulation).iter().all(|length| *length > 700_001));
}

/// Runs two hundred turns, a second apart; in each, a peer that reads nothing sends more than its read
/// budget.
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
fn a_flood_does_not_extend_deadlines_or_exceed_the_read_budget() {
    for script in [
        "GET /disk.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "NONSENSE\r\n\r\n",
    ] {
        assert_eq!(flood(script.as_bytes()).event_loop.connections(), 0, "{script:?}");
    }
    // The same when the response is sent immediately.
    let mut script = b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n".to_vec();
    script.resize(400_000, b'x');
    one_turn(&script, usize::MAX);
}

#[test]
fn empty_lines_do_not_extend_the_idle_deadline() {
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
