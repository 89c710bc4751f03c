//! The admin interface in the simulated loop, under a virtual clock: viewers that do not read, and turns of any length.
//! To add a case, let `viewer` connect, and run turns at chosen times.

use std::cell::OnceCell;
use std::time::Duration;

use evserve::clock::Now;
use evserve::event_loop::Readiness;
use evserve::limits::{FRAME_INTERVAL, Limits, STALL};
use evserve::protocol::Kind;
use evserve::services::{AdminServices, AdminToken, Services};
use evserve::site::Rules;

use crate::conversation::{no_library, site, start};
use crate::reading::take_response;
use crate::simulation::peers::{Behavior, SimPeer};
use crate::simulation::world::Simulation;

fn admin_loop() -> Simulation {
    let now = start();
    let mut services =
        Services::new(Box::new(site()), Rules::default(), no_library(), Limits::default(), now);
    services.admin = Some(Box::new(AdminServices::new(AdminToken::new().unwrap(), Vec::new())));
    Simulation::with_services(Kind::Admin, 1, services, now, None)
}

/// Connects a peer that accepts `window` bytes and sends a request.
fn connect(simulation: &mut Simulation, request: &str, window: usize) -> usize {
    let script = (Vec::new(), Vec::new());
    let peer = SimPeer::with(Behavior::Polite, script, OnceCell::new(), &mut simulation.random, 0);
    {
        let wire = &mut *peer.wire.borrow_mut();
        wire.window = window;
        wire.arrived.extend(request.as_bytes());
    }
    simulation.add(peer);
    simulation.turn(Vec::new());
    let index = simulation.peers.len() - 1;
    wake(simulation, index);
    index
}

/// Runs a turn with an event of a peer that can be received from and sent to.
fn wake(simulation: &mut Simulation, peer: usize) {
    let token = simulation.peers[peer].wire.borrow().token.unwrap();
    simulation.turn(vec![Readiness { token, readable: true, writable: true, ending: false }]);
}

const EVENTS: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Lets time pass, with a turn whenever the loop wakes.
fn pass(simulation: &mut Simulation, time: Duration) {
    let end = simulation.now + time;
    loop {
        let next = simulation.now + simulation.timeout.unwrap_or(time);
        if next.monotonic > end.monotonic {
            simulation.now = end;
            return;
        }
        simulation.now = next;
        simulation.turn(Vec::new());
        simulation.event_loop.end_turn(next.monotonic);
    }
}

fn frames(simulation: &Simulation, peer: usize) -> usize {
    let wire = simulation.peers[peer].wire.borrow();
    String::from_utf8_lossy(&wire.received).matches("event: frame\n").count()
}

#[test]
fn a_viewer_that_does_not_read_holds_one_frame_and_delays_no_other() {
    let mut simulation = admin_loop();
    let (slow, fast) = (connect(&mut simulation, EVENTS, 300), connect(&mut simulation, EVENTS, usize::MAX));
    pass(&mut simulation, FRAME_INTERVAL * 2);
    let one = simulation.event_loop.buffered();
    assert!(one > 1000, "{one}");
    pass(&mut simulation, Duration::from_secs(20));
    // The memory of the queue may differ with the length of the frame.
    assert!(simulation.event_loop.buffered() <= one + 4096, "{} bytes", simulation.event_loop.buffered());
    assert!((195..=205).contains(&frames(&simulation, fast)), "{}", frames(&simulation, fast));
    // When it reads again, it gets the rest of the old frame and then a current one.
    simulation.peers[slow].wire.borrow_mut().window = usize::MAX;
    wake(&mut simulation, slow);
    assert_eq!(frames(&simulation, slow), 1);
    pass(&mut simulation, FRAME_INTERVAL);
    assert_eq!(frames(&simulation, slow), 2);
    let last = |peer: usize| {
        let received = String::from_utf8_lossy(&simulation.peers[peer].wire.borrow().received).into_owned();
        received.rsplit_once("id: ").unwrap().1.to_owned()
    };
    assert_eq!(last(slow), last(fast));
}

#[test]
fn a_viewer_that_never_reads_is_closed_at_the_write_timeout() {
    let mut simulation = admin_loop();
    let slow = connect(&mut simulation, EVENTS, 300);
    pass(&mut simulation, Duration::from_secs(29));
    assert!(!simulation.peers[slow].wire.borrow().closed);
    pass(&mut simulation, Duration::from_secs(2));
    assert!(simulation.peers[slow].wire.borrow().closed);
}

#[test]
fn a_loop_without_viewers_sleeps() {
    let mut simulation = admin_loop();
    let viewer = connect(&mut simulation, EVENTS, usize::MAX);
    pass(&mut simulation, Duration::from_secs(1));
    // The peer has closed: the next frame meets a reset.
    simulation.peers[viewer].wire.borrow_mut().reset = true;
    pass(&mut simulation, Duration::from_secs(1));
    assert!(simulation.peers[viewer].wire.borrow().closed);
    assert_eq!(simulation.timeout, None);
}

/// Asks for `/loop.json` with this query.
fn state(simulation: &mut Simulation, query: &str) -> serde_json::Value {
    let request = format!("GET /loop.json?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let peer = connect(simulation, &request, usize::MAX);
    pass(simulation, Duration::from_millis(1));
    let received = simulation.peers[peer].wire.borrow().received.clone();
    let response = take_response(&mut &received[..], false).unwrap();
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn a_viewer_that_does_not_read_is_not_about_to_be_closed() {
    let mut simulation = admin_loop();
    connect(&mut simulation, EVENTS, 300);
    pass(&mut simulation, FRAME_INTERVAL * 2);
    let state = state(&mut simulation, "phase=sending");
    let why = state["connections"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("waits for the client to receive") && why.contains("; continues in 0."), "{why}");
}

#[test]
fn viewers_exhaust_no_budget() {
    let mut simulation = admin_loop();
    let viewer = connect(&mut simulation, EVENTS, usize::MAX);
    pass(&mut simulation, FRAME_INTERVAL * 5);
    assert!(frames(&simulation, viewer) > 1);
    assert_eq!(simulation.event_loop.services().core.recorder.totals().budget_hits, 0);
}

/// Runs a turn that works for `time`.
fn work_for(simulation: &mut Simulation, time: Duration) -> Now {
    simulation.turn(Vec::new());
    simulation.now = simulation.now + time;
    simulation.event_loop.end_turn(simulation.now.monotonic);
    simulation.now
}

#[test]
fn a_turn_of_fifty_milliseconds_is_a_stall() {
    let mut simulation = admin_loop();
    for (time, count) in [(0, 0), (10, 0), (49, 0), (50, 1), (2000, 2), (49, 2)] {
        work_for(&mut simulation, Duration::from_millis(time));
        let stalls = simulation.event_loop.services().core.recorder.stalls();
        assert_eq!(stalls.count(), count, "{time} ms");
    }
    assert_eq!(STALL, Duration::from_millis(50));
    let stalls = simulation.event_loop.services().core.recorder.stalls();
    let causes: Vec<(&str, u64)> = stalls.causes().filter(|(_, count)| *count > 0).collect();
    // No call was measured in these turns.
    assert_eq!(causes, [("other", 2)]);
    let recent: Vec<(u64, u128)> =
        stalls.recent().map(|stall| (stall.turn, stall.worked.as_millis())).collect();
    assert_eq!(recent, [(4, 50), (5, 2000)]);
    let state = state(&mut simulation, "");
    let stalls = &state["stalls"];
    assert_eq!((&stalls["count"], &stalls["causes"]), (&2.into(), &serde_json::json!({"other": 2})));
    let first = &stalls["recent"][0];
    assert_eq!((&first["turn"], &first["ms"], &first["call"]), (&4.into(), &50.into(), &"other".into()));
    assert_eq!((&first["call_ms"], &first["connection"]), (&0.into(), &serde_json::Value::Null));
}

#[test]
fn the_last_sixteen_stalls_are_listed() {
    let mut simulation = admin_loop();
    for _ in 0..40 {
        work_for(&mut simulation, Duration::from_millis(60));
    }
    let stalls = simulation.event_loop.services().core.recorder.stalls();
    let turns: Vec<u64> = stalls.recent().map(|stall| stall.turn).collect();
    assert_eq!((stalls.count(), turns), (40, (25..=40).collect()));
}
