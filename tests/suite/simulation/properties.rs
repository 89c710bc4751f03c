//! Properties that hold for every seed of the simulation, with many peers, good and bad, over transports that
//! fail in every way. To add a property, call `for_every_seed` with a check of one seed.

use std::time::Duration;

use evserve::event_loop::Readiness;
use evserve::limits::Limits;
use evserve::protocol::Kind;

use super::peers::{Behavior, SimPeer};
use super::site::without_dates;
use super::world::{Simulation, for_every_seed};
use crate::reading::responses;

#[test]
fn every_peer_gets_its_responses_whatever_the_other_peers_do() {
    for_every_seed(|seed| {
        let both = Simulation::both(Kind::Http, seed, Limits::default());
        both.into_iter().for_each(|simulation| check_responses(seed, simulation));
    });
}

fn check_responses(seed: u64, mut simulation: Simulation) {
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
        let received = without_dates(&peer.received());
        assert!(
            peer.is_satisfied(),
            "peer {index}, {:?}, encrypted: {}: sent {} of {}, got {} of {} bytes, closed: {}",
            peer.behavior,
            peer.is_encrypted(),
            peer.sent,
            peer.script.len(),
            received.len(),
            peer.expected().len(),
            peer.wire.borrow().closed
        );
        // Every peer has received a prefix of its expected output; the last 40 bytes may be a partial
        // Date.
        let compared = received.len().saturating_sub(40).min(peer.expected().len());
        assert!(received[..compared] == peer.expected()[..compared], "peer {index} got something else");
    }
    simulation.run_until_closed();
}

#[test]
fn every_byte_is_echoed_whatever_the_network_does() {
    for_every_seed(|seed| {
        for mut simulation in Simulation::both(Kind::Ack, seed, Limits::default()) {
            let faults = [0, 10, 40][(seed % 3) as usize];
            for _ in 0..10 {
                let peer = SimPeer::echo(&mut simulation.random, faults);
                simulation.add(peer);
            }
            simulation.settle();
            for peer in &simulation.peers {
                let received = peer.received();
                assert!(received == peer.expected(), "{} of {}", received.len(), peer.expected().len());
                assert_eq!(peer.wire.borrow().closed, peer.behavior == Behavior::HalfCloses);
            }
            simulation.now = simulation.now + Limits::default().timeouts.file_idle;
            simulation.run_until_closed();
        }
    });
}

#[test]
fn every_waiting_peer_is_accepted_eventually_at_a_low_limit() {
    for_every_seed(|seed| {
        let mut limits = Limits { max_connections: 3, ..Limits::default() };
        limits.timeouts.write = Duration::from_secs(5);
        let mut simulation = Simulation::new(seed, limits);
        (0..20).for_each(|_| simulation.connect(10));
        let deadline = simulation.now + Duration::from_secs(1000);
        while !simulation.backlog.borrow().waiting.is_empty() {
            simulation.settle();
            simulation.now = simulation.now + simulation.timeout.unwrap_or_default();
            assert!(simulation.now.monotonic < deadline.monotonic, "a connection waits forever");
        }
        simulation.settle();
        assert_eq!(simulation.event_loop.services().statistics.accepted, 20);
        simulation.run_until_closed();
    });
}

#[test]
fn draining_closes_every_connection_and_breaks_no_response() {
    for_every_seed(|seed| {
        let both = Simulation::both(Kind::Http, seed, Limits::default());
        both.into_iter().for_each(check_draining);
    });
}

fn check_draining(mut simulation: Simulation) {
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
        let sleep = if events.is_empty() { simulation.timeout.unwrap_or_default() } else { Duration::ZERO };
        simulation.now = simulation.now + sleep.min(Duration::from_millis(1));
        simulation.turn(events);
        let elapsed = simulation.now.monotonic.saturating_duration_since(begun.monotonic);
        assert!(
            elapsed <= simulation.event_loop.services().core.limits.timeouts.drain + Duration::from_millis(2)
        );
    }
    for peer in simulation.peers.iter().filter(|peer| peer.behavior == Behavior::Polite) {
        // Panics if a response is incomplete.
        responses(&peer.received(), &peer.heads);
    }
}
