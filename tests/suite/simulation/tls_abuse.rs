//! What a peer may do to a TLS connection after the handshake: the work of a turn is bounded, and violations end the
//! connection with an alert. To add a case, `deliver` the records.

use evserve::close_reason::CloseReason;
use evserve::event_loop::Readiness;
use evserve::limits::{Limits, TURN_READ_BYTES};
use evserve::protocol::{Dialect, Kind};
use rustls::{AlertDescription, Error};

use super::tls::files;
use super::tls_peer::VERSIONS;
use super::world::Simulation;

const GET: &str = "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n";

/// A message that TLS 1.3 ignores during the handshake.
const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];

fn server(kind: Kind) -> Simulation {
    Simulation::over_tls(kind, 1, Limits::default())
}

#[test]
fn a_wrong_record_gets_an_alert() {
    for version in [0, 1] {
        for position in [0, 3, 5, 30] {
            let mut simulation = server(Kind::Http);
            let peer = simulation.join_and_shake(version);
            simulation.client(peer).write(GET.as_bytes(), 100);
            let mut bytes = simulation.client(peer).take(usize::MAX);
            bytes[position] ^= 0x80;
            simulation.deliver(peer, &bytes);
            simulation.leave(peer);
            assert_eq!(simulation.ended(CloseReason::TlsViolated), 1, "byte {position}");
            assert_eq!(simulation.client(peer).plain, b"");
            let error = simulation.client(peer).error.take();
            assert!(matches!(error, Some(Error::AlertReceived(_))), "{error:?}");
            if position > 4 {
                assert_eq!(error, Some(Error::AlertReceived(AlertDescription::BadRecordMac)));
            }
        }
    }
}

#[test]
fn one_byte_records_do_not_exceed_the_budget_of_a_turn() {
    for version in [0, 1] {
        let mut simulation = server(Kind::Ack);
        let peer = simulation.join_and_shake(version);
        simulation.client(peer).write(&[b'x'; 20_000], 1);
        let bytes = simulation.client(peer).take(usize::MAX);
        let mut events: Vec<Readiness> = simulation.arrive(peer, &bytes).into_iter().collect();
        let left = |simulation: &Simulation| simulation.peers[0].wire.borrow().arrived.len();
        while left(&simulation) > 0 {
            let before = left(&simulation);
            simulation.turn(std::mem::take(&mut events));
            let taken = before - left(&simulation);
            assert!(taken > 0 && taken <= TURN_READ_BYTES + 4096, "{taken} bytes in a turn");
        }
        (0..9).for_each(|_| simulation.turn(Vec::new()));
        simulation.process(peer);
        assert_eq!(simulation.client(peer).plain.len(), 20_000);
        assert_eq!(simulation.event_loop.buffered(), 0);
    }
}

#[test]
fn data_behind_close_notify_is_ignored() {
    // A part of a record is received first. With the rest, there is as much content before close_notify as is
    // received at once.
    let full = (14_000..15_800)
        .step_by(200)
        .map(|garbage| (16_384 + TURN_READ_BYTES - 596 - garbage, 16_000, garbage));
    for (content, partial, garbage) in [(5, 0, 10), (5, 0, 50_000)].into_iter().chain(full) {
        for version in [0, 1] {
            let (_folder, mut simulation) = files(Dialect::Lines);
            let peer = simulation.join_and_shake(version);
            simulation.say(peer, format!("PUT {content} new\n"));
            simulation.client(peer).write(&vec![b'x'; content], 16_384);
            simulation.client(peer).close();
            let mut bytes = simulation.client(peer).take(usize::MAX);
            bytes.resize(bytes.len() + garbage, 22);
            let (first, rest) = bytes.split_at(partial);
            simulation.deliver(peer, first);
            simulation.deliver(peer, rest);
            (0..9).for_each(|_| simulation.turn(Vec::new()));
            simulation.process(peer);
            let reply = String::from_utf8_lossy(&simulation.client(peer).plain).into_owned();
            assert!(reply.starts_with(&format!("OK {content} ")), "{reply}");
            assert_eq!(simulation.ended(CloseReason::PeerClosed), 1, "{content} {partial} {garbage}");
        }
    }
}

#[test]
fn floods_of_change_cipher_spec_end_the_connection() {
    for version in [0, 1] {
        let mut simulation = server(Kind::Http);
        let peer = simulation.join_and_shake(version);
        simulation.deliver(peer, &CHANGE_CIPHER_SPEC.repeat(10_000));
        simulation.leave(peer);
        assert_eq!(simulation.ended(CloseReason::TlsViolated), 1);
        // Between the flights of the handshake, and before it.
        for flights in [0, 1] {
            let peer = simulation.join(&VERSIONS[version], 1);
            (0..flights).for_each(|_| simulation.exchange(peer));
            let event = simulation.arrive(peer, &[22; 1]);
            let wire = &simulation.peers[peer].wire;
            wire.borrow_mut().arrived.clear();
            let mut bytes = CHANGE_CIPHER_SPEC.repeat(10_000);
            if flights == 0 {
                bytes.splice(..0, [22, 3, 1, 0, 1, 1]);
            }
            wire.borrow_mut().arrived.extend(bytes);
            simulation.turn(event.into_iter().collect());
            simulation.leave(peer);
            assert_eq!(simulation.ended(CloseReason::HandshakeFailed), 1 + flights);
        }
    }
}

#[test]
fn key_updates_without_content_end_the_connection() {
    let mut simulation = server(Kind::Http);
    let peer = simulation.join_and_shake(0);
    for _ in 0..10_000 {
        simulation.client(peer).session.refresh_traffic_keys().unwrap();
    }
    simulation.client(peer).flush();
    simulation.exchange(peer);
    simulation.leave(peer);
    assert_eq!(simulation.ended(CloseReason::TlsViolated), 1);
    // With content they are allowed.
    let peer = simulation.join_and_shake(0);
    for _ in 0..200 {
        simulation.client(peer).session.refresh_traffic_keys().unwrap();
        simulation.client(peer).plain.clear();
        simulation.say(peer, GET);
        assert!(simulation.client(peer).plain.ends_with(b"hello"));
    }
}

#[test]
fn key_updates_are_answered_without_memory_while_the_peer_reads_nothing() {
    let mut simulation = server(Kind::Http);
    let peer = simulation.join_and_shake(0);
    simulation.peers[0].wire.borrow_mut().window = 0;
    simulation.say(peer, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n");
    for _ in 0..1000 {
        simulation.client(peer).session.refresh_traffic_keys().unwrap();
        simulation.say(peer, "x");
    }
    simulation.say(peer, "x".repeat(59_000));
    let before = simulation.peers[0].wire.borrow().received.len();
    simulation.open_window(peer, 1 << 20);
    let received = simulation.peers[0].wire.borrow().received.len() - before;
    assert!(received > 300 && received < 2000, "{received}");
    assert!(simulation.client(peer).plain.starts_with(b"HTTP/1.1 405"));
}

#[test]
fn nothing_is_sent_after_the_end_whatever_the_peer_sends_while_the_server_lingers() {
    for version in [0, 1] {
        for violates in [false, true] {
            let mut simulation = server(Kind::Http);
            let peer = simulation.join_and_shake(version);
            simulation.say(peer, "bad\r\n\r\n");
            assert!(simulation.client(peer).has_ended && !simulation.is_closed(peer));
            if version == 0 {
                simulation.client(peer).session.refresh_traffic_keys().unwrap();
            }
            simulation.say(peer, "more");
            assert!(!simulation.is_closed(peer));
            if violates {
                simulation.deliver(peer, &[0xff; 100]);
            } else {
                simulation.client(peer).close();
                simulation.exchange(peer);
            }
            simulation.fin(peer);
            assert_eq!(simulation.ended(CloseReason::Rejected), 1);
        }
    }
}
