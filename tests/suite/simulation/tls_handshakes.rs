//! Handshakes in the simulation: clients that are slow, speak no TLS or leave, floods of them, and the time that they
//! take from others. To add a case, `join` a client and deliver parts of its ClientHello.

use std::sync::Arc;
use std::time::Duration;

use evserve::close_reason::CloseReason;
use evserve::event_loop::Readiness;
use evserve::limits::{Limits, TLS_HANDSHAKE_COST, TURN_HANDSHAKE_TIME};
use evserve::protocol::Kind;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::tls_peer::{PLAIN_REPLY, VERSIONS, config_with};
use super::world::Simulation;

const GET: &str = "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n";

fn server(limits: Limits) -> Simulation {
    Simulation::over_tls(Kind::Http, 1, limits)
}

#[test]
fn a_handshake_ends_at_the_head_timeout_whatever_arrives() {
    let timeout = Limits::default().timeouts.head;
    for (version, first, drips) in
        [(0, 0, false), (0, 1, false), (0, 200, true), (1, 1, true), (1, 0, true), (0, usize::MAX, false)]
    {
        let mut simulation = server(Limits::default());
        let peer = simulation.join(&VERSIONS[version], 1);
        let bytes = simulation.client(peer).take(first);
        simulation.deliver(peer, &bytes);
        let begun = simulation.now.monotonic;
        for _ in 0..timeout.as_secs() * 2 - 1 {
            simulation.now = simulation.now + Duration::from_millis(500);
            let bytes = simulation.client(peer).take(usize::from(drips));
            simulation.deliver(peer, &bytes);
            assert!(!simulation.is_closed(peer), "after {:?}", simulation.now.monotonic - begun);
        }
        assert!(simulation.timeout.is_some_and(|timeout| timeout <= Duration::from_millis(500)));
        simulation.now = simulation.now + Duration::from_millis(500);
        simulation.turn(Vec::new());
        assert_eq!(simulation.ended(CloseReason::HandshakeTimeout), 1, "{first} {drips}");
    }
}

#[test]
fn clients_without_tls_get_a_plain_reply() {
    for bytes in [GET.as_bytes(), b"G", b"L\n", b"\r\n", &[b'x'; 9000]] {
        let mut simulation = server(Limits::default());
        let peer = simulation.join(&VERSIONS[0], 1);
        let event = simulation.arrive(peer, bytes);
        simulation.turn(event.into_iter().collect());
        assert_eq!(simulation.peers[0].wire.borrow().received, PLAIN_REPLY);
        simulation.leave(peer);
        assert_eq!(simulation.ended(CloseReason::HandshakeFailed), 1);
    }
}

#[test]
fn garbage_gets_an_alert() {
    let mut cases: Vec<Vec<u8>> = vec![
        vec![0xff; 40],
        vec![0x80; 5],
        [&[22, 3, 1, 0, 40][..], &[7; 40]].concat(),
        vec![22, 3, 1, 0xff, 0xff, 1],
        [&[22, 3, 1, 0, 4][..], &[1, 0xff, 0xff, 0xff]].concat(),
        [&[22, 3, 1, 0, 0][..]; 50].concat(),
    ];
    let mut hello = server(Limits::default());
    let peer = hello.join(&VERSIONS[0], 1);
    let whole = hello.client(peer).take(usize::MAX);
    // The first byte of the ClientHello's version, of its length, and of its session id.
    for position in [1, 3, 5, 6, 43] {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x80;
        cases.push(bytes);
    }
    for bytes in cases {
        let mut simulation = server(Limits::default());
        let peer = simulation.join(&VERSIONS[0], 1);
        let event = simulation.arrive(peer, &bytes);
        simulation.turn(event.into_iter().collect());
        let received = simulation.peers[0].wire.borrow().received.clone();
        if simulation.peers[0].wire.borrow().server_ended {
            assert_eq!(received.first(), Some(&21), "{bytes:?}");
            simulation.leave(peer);
            assert_eq!(simulation.ended(CloseReason::HandshakeFailed), 1, "{bytes:?}");
        } else {
            assert_eq!(received, b"", "{bytes:?}");
        }
    }
}

#[test]
fn an_eof_within_the_handshake_means_that_the_peer_left() {
    for version in [0, 1] {
        for count in [0, 1, 5, 100, usize::MAX] {
            for flights in [0, 1] {
                let mut simulation = server(Limits::default());
                let peer = simulation.join(&VERSIONS[version], 1);
                (0..flights).for_each(|_| simulation.exchange(peer));
                // The last byte of the handshake is missing.
                let most = if flights > 0 { simulation.client(peer).outgoing.len() - 1 } else { usize::MAX };
                let bytes = simulation.client(peer).take(count.min(most));
                let event = simulation.arrive(peer, &bytes);
                simulation.turn(event.into_iter().collect());
                simulation.fin(peer);
                assert_eq!(simulation.ended(CloseReason::PeerLeft), 1, "{count} {flights}");
            }
        }
    }
}

#[test]
fn the_certificate_may_be_rejected() {
    let mut simulation = server(Limits::default());
    let peer = simulation.join(&VERSIONS[0], 1);
    simulation.exchange(peer);
    // An alert in plain text: fatal, bad_certificate.
    simulation.deliver(peer, &[21, 3, 3, 0, 2, 2, 42]);
    simulation.leave(peer);
    assert_eq!(simulation.ended(CloseReason::HandshakeFailed), 1);
}

#[test]
fn a_request_arrives_together_with_the_end_of_the_handshake() {
    for version in [0, 1] {
        let mut simulation = server(Limits::default());
        let peer = simulation.join(&VERSIONS[version], 1);
        while !simulation.client(peer).is_ready() {
            simulation.exchange(peer);
        }
        // For TLS 1.3 this is the Finished message and the request.
        simulation.say(peer, GET);
        assert!(simulation.client(peer).plain.ends_with(b"hello"));
    }
}

#[test]
fn sessions_are_resumed() {
    for version in [0, 1] {
        let mut simulation = server(Limits::default());
        let config = Arc::new(config_with(
            Arc::new(aws_lc_rs::default_provider()),
            [&rustls::version::TLS13, &rustls::version::TLS12][version],
        ));
        let kinds = [(); 2].map(|()| {
            let peer = simulation.join(&config, 1);
            simulation.shake(peer);
            simulation.say(peer, GET);
            assert!(simulation.client(peer).plain.ends_with(b"hello"));
            simulation.client(peer).session.handshake_kind()
        });
        assert_eq!(kinds, [Some(rustls::HandshakeKind::Full), Some(rustls::HandshakeKind::Resumed)]);
    }
}

#[test]
fn silent_handshakes_are_evicted_before_clients_that_are_about_to_send() {
    let mut simulation = server(Limits { max_connections: 100, ..Limits::default() });
    let join = |simulation: &mut Simulation, host: u8| {
        let peer = simulation.join(&VERSIONS[0], host);
        simulation.now = simulation.now + Duration::from_millis(10);
        let token = simulation.peers[peer].wire.borrow().token;
        let event = token.map(|token| Readiness { token, readable: false, writable: true, ending: false });
        simulation.turn(event.into_iter().collect());
        peer
    };
    let flood: Vec<usize> = (0..100).map(|_| join(&mut simulation, 2)).collect();
    let clients = [3, 4, 5].map(|host| join(&mut simulation, host));
    let later: Vec<usize> = (0..300).map(|_| join(&mut simulation, 2)).collect();
    for client in clients {
        simulation.shake(client);
        simulation.say(client, GET);
        assert!(simulation.client(client).plain.ends_with(b"hello"));
    }
    assert!(flood.iter().chain(&later[..203]).all(|peer| simulation.is_closed(*peer)));
    assert!(later[203..].iter().all(|peer| !simulation.is_closed(*peer)));
    assert_eq!(simulation.ended(CloseReason::Evicted), 303);
}

/// The number of handshakes that a turn answers: the last one may exceed the budget.
fn answers_max() -> usize {
    1 + TURN_HANDSHAKE_TIME.as_micros().div_ceil(TLS_HANDSHAKE_COST.as_micros()) as usize
}

/// Runs turns, with `events` in the first, until the server has replied to all peers from `first` on. An established
/// client asks in every turn, and gets its response.
fn serve_all(simulation: &mut Simulation, client: usize, first: usize, mut events: Vec<Readiness>) {
    let received = |simulation: &Simulation, peer: usize| simulation.peers[peer].wire.borrow().received.len();
    let before: Vec<usize> = (0..simulation.peers.len()).map(|peer| received(simulation, peer)).collect();
    let (mut answered, mut turns) = (0, 0);
    while answered < simulation.peers.len() - first {
        let seen = simulation.client(client).plain.len();
        simulation.client(client).write(GET.as_bytes(), 100);
        let bytes = simulation.client(client).take(usize::MAX);
        events.extend(simulation.arrive(client, &bytes));
        simulation.turn(std::mem::take(&mut events));
        simulation.process(client);
        assert!(simulation.client(client).plain.len() > seen, "no response in turn {turns}");
        let now = (first..simulation.peers.len()).filter(|peer| received(simulation, *peer) > before[*peer]);
        let now = now.count();
        assert!(now - answered <= answers_max(), "{} answers in turn {turns}", now - answered);
        answered = now;
        turns += 1;
        assert!(turns < 2000, "{answered} answers");
    }
}

#[test]
fn a_flood_of_handshakes_delays_no_established_connection() {
    for (version, others) in [(0, 500), (1, 100)] {
        let mut simulation = server(Limits::default());
        let client = simulation.join_and_shake(0);
        let peers: Vec<usize> = (0..others).map(|_| simulation.join(&VERSIONS[version], 2)).collect();
        let events = simulation.arrive_all(&peers);
        serve_all(&mut simulation, client, peers[0], events);
        // In TLS 1.2 the server derives keys in the second flight.
        if version == 1 {
            peers.iter().for_each(|peer| simulation.process(*peer));
            let events = simulation.arrive_all(&peers);
            serve_all(&mut simulation, client, peers[0], events);
        }
        for peer in peers {
            simulation.process(peer);
            simulation.shake(peer);
            simulation.say(peer, GET);
            assert!(simulation.client(peer).plain.ends_with(b"hello"));
        }
    }
}

/// Returns a client that offers a key for a group that the server does not have, so that the server asks it for
/// another ClientHello.
fn asked_again() -> Arc<ClientConfig> {
    let kx_groups = vec![aws_lc_rs::kx_group::MLKEM768, aws_lc_rs::kx_group::X25519];
    let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    Arc::new(config_with(Arc::new(provider), &rustls::version::TLS13))
}

#[test]
fn second_client_hellos_share_the_time_of_a_turn() {
    let mut simulation = server(Limits::default());
    let client = simulation.join_and_shake(0);
    let config = asked_again();
    let peers: Vec<usize> = (0..100).map(|_| simulation.join(&config, 2)).collect();
    for peer in &peers {
        simulation.exchange(*peer);
    }
    let events = simulation.arrive_all(&peers);
    serve_all(&mut simulation, client, peers[0], events);
    for peer in peers {
        simulation.process(peer);
        simulation.shake(peer);
    }
}

#[test]
fn a_handshake_is_not_overtaken_by_later_ones() {
    let mut simulation = server(Limits::default());
    let mut waiting: Vec<usize> = (0..1000).map(|_| simulation.join(&VERSIONS[0], 2)).collect();
    let mut later = waiting.split_off(100);
    let is_answered =
        |simulation: &Simulation, peer: usize| !simulation.peers[peer].wire.borrow().received.is_empty();
    let mut arriving = waiting.clone();
    let mut turns = 0;
    while !waiting.iter().all(|peer| is_answered(&simulation, *peer)) {
        let mut events = Vec::new();
        for peer in std::mem::replace(&mut arriving, later.split_off(later.len() - answers_max())) {
            let bytes = simulation.client(peer).take(usize::MAX);
            events.extend(simulation.arrive(peer, &bytes));
        }
        simulation.turn(events);
        turns += 1;
        assert!(turns < 50, "a handshake waits forever");
    }
}
