//! Connections in TLS after their handshake: how they end, how output waits for the network, and when a pause begins.
//! To add a case, `join_and_shake` a client, and let it `say` something.

use std::fs;
use std::time::Duration;

use evserve::close_reason::CloseReason;
use evserve::limits::{ACKNOWLEDGED_RETRY, Limits};
use evserve::protocol::{Dialect, Kind};
use evserve::store::{Library, LibraryRules};
use tempfile::TempDir;

use super::site::{converse_with_disk, without_dates};
use super::tls_peer::acceptor;
use super::tls_scripts::check_every_cut;
use super::world::Simulation;
use crate::conversation::{Talk, converse, site, start};

const GET: &str = "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n";

fn http() -> Simulation {
    Simulation::over_tls(Kind::Http, 1, Limits::default())
}

/// Returns a server of the file protocol with a library.
pub fn files(dialect: Dialect) -> (TempDir, Simulation) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "twelve bytes").unwrap();
    let library = Library::open(folder.path(), LibraryRules::default()).unwrap();
    let Talk { services, now, .. } = Talk::with_library(Kind::File(dialect), site(), library);
    (folder, Simulation::with_services(Kind::File(dialect), 1, services, now, Some(acceptor(now))))
}

#[test]
fn the_output_does_not_depend_on_how_records_are_cut() {
    let script =
        "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let expected = converse([script.as_bytes()], false);
    let server = || (Kind::Http, Talk::new(site()).services, start());
    check_every_cut(server, script.as_bytes(), &expected);
}

#[test]
fn a_request_before_close_notify_gets_its_response_and_close_notify() {
    for version in [0, 1] {
        for window in [0, 1, 1000, 1 << 30] {
            let mut simulation = http();
            let peer = simulation.join_and_shake(version);
            simulation.peers[0].wire.borrow_mut().window = window;
            let script =
                b"GET /disk.bin HTTP/1.1\r\nHost: h\r\n\r\nGET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n";
            simulation.client(peer).write(script, 20);
            simulation.client(peer).close();
            simulation.exchange(peer);
            while !simulation.is_closed(peer) {
                simulation.open_window(peer, 50_000);
            }
            simulation.process(peer);
            assert!(without_dates(&simulation.client(peer).plain) == converse_with_disk(script, true));
            assert!(simulation.client(peer).has_ended, "no close_notify");
            assert_eq!(simulation.ended(CloseReason::PeerClosed), 1);
        }
    }
}

#[test]
fn fin_without_close_notify_stores_no_upload() {
    for version in [0, 1] {
        let mut simulation = http();
        let peer = simulation.join_and_shake(version);
        simulation.say(peer, GET);
        simulation.fin(peer);
        assert_eq!(simulation.ended(CloseReason::NoCloseNotify), 1);
        // Plain connections store the second one at EOF: `##` is the end of an upload if nothing follows.
        for (dialect, upload) in [
            (Dialect::Lines, "P new\nline\n"),
            (Dialect::Listed, "hello##"),
            (Dialect::Lines, "PUT 9 new\nhello"),
        ] {
            for closes in [false, true] {
                let (folder, mut simulation) = files(dialect);
                let peer = simulation.join_and_shake(version);
                if dialect == Dialect::Listed {
                    simulation.say(peer, "P new");
                }
                simulation.say(peer, upload);
                if closes {
                    simulation.client(peer).close();
                    simulation.exchange(peer);
                }
                simulation.fin(peer);
                let names: Vec<_> =
                    fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
                let is_stored = closes && dialect == Dialect::Listed;
                assert_eq!(names.contains(&"new".into()), is_stored, "{upload:?} closes: {closes}");
                assert_eq!(simulation.ended(CloseReason::NoCloseNotify), u64::from(!closes), "{upload:?}");
                assert_eq!(simulation.event_loop.connections(), 0);
            }
        }
    }
}

#[test]
fn close_notify_ends_the_input_without_a_fin() {
    for (record, count) in [(16_384, 1), (1, 100), (1000, 70)] {
        for version in [0, 1] {
            let mut simulation = Simulation::over_tls(Kind::Ack, 1, Limits::default());
            let peer = simulation.join_and_shake(version);
            let content = vec![b'x'; record * count];
            simulation.client(peer).write(&content, record);
            simulation.client(peer).close();
            simulation.exchange(peer);
            (0..9).for_each(|_| simulation.turn(Vec::new()));
            simulation.process(peer);
            assert!(simulation.client(peer).plain == content);
            assert!(simulation.is_closed(peer) && simulation.client(peer).has_ended, "{record} x {count}");
        }
    }
}

#[test]
fn a_pause_begins_when_the_records_were_acknowledged() {
    let pace = Limits::default().pace;
    for version in [0, 1] {
        let (_folder, mut simulation) = files(Dialect::Listed);
        let peer = simulation.join_and_shake(version);
        simulation.peers[0].wire.borrow_mut().window = 10;
        simulation.say(peer, "G a");
        simulation.now = simulation.now + 3 * pace;
        simulation.turn(Vec::new());
        assert_eq!(simulation.client(peer).plain, b"", "the record has not left");
        simulation.peers[0].wire.borrow_mut().unacknowledged = 1;
        simulation.open_window(peer, 1 << 20);
        for _ in 0..5 {
            simulation.now = simulation.now + pace;
            simulation.turn(Vec::new());
            simulation.process(peer);
            assert_eq!(simulation.client(peer).plain, b"OK");
        }
        simulation.peers[0].wire.borrow_mut().unacknowledged = 0;
        for (wait, plain) in [
            (ACKNOWLEDGED_RETRY, "OK"),
            (pace - Duration::from_millis(1), "OK"),
            (Duration::from_millis(1), "OKtwelve bytes"),
            (pace, "OKtwelve bytes##"),
        ] {
            simulation.now = simulation.now + wait;
            simulation.turn(Vec::new());
            simulation.process(peer);
            assert_eq!(String::from_utf8_lossy(&simulation.client(peer).plain), plain);
        }
    }
}

#[test]
fn no_window_loses_or_repeats_output() {
    for version in [0, 1] {
        for (script, window) in [
            ("GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n", 1),
            ("GET /disk.bin HTTP/1.1\r\nHost: h\r\n\r\n", 23),
            (
                "GET /disk.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=1-200000\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n",
                1371,
            ),
            ("GET /words.txt HTTP/1.1\r\nHost: h\r\n\r\nGET /disk.bin HTTP/1.1\r\nHost: h\r\n\r\n", 16_384),
            ("GET /disk.bin HTTP/1.1\r\nHost: h\r\n\r\nGET /many/ HTTP/1.1\r\nHost: h\r\n\r\n", 65_536),
        ] {
            let mut simulation = http();
            let peer = simulation.join_and_shake(version);
            simulation.peers[0].wire.borrow_mut().window = 0;
            let expected = converse_with_disk(script.as_bytes(), false);
            simulation.say(peer, script);
            let sent =
                |simulation: &Simulation| simulation.event_loop.services().statistics.sent_bytes as usize;
            while without_dates(&simulation.client(peer).plain).len() < expected.len() {
                assert!(sent(&simulation) < expected.len() + 2 * 37, "sent before the records have left");
                simulation.now = simulation.now + Duration::from_millis(1);
                simulation.open_window(peer, window);
                assert!(simulation.event_loop.connections() == 1);
            }
            simulation.turn(Vec::new());
            assert!(without_dates(&simulation.client(peer).plain) == expected);
            assert_eq!(sent(&simulation), simulation.client(peer).plain.len());
            assert_eq!(simulation.event_loop.buffered(), 0);
        }
    }
}

#[test]
fn the_write_timeout_cuts_off_a_peer_that_accepts_nothing_and_no_slow_one() {
    let timeout = Limits::default().timeouts.write;
    for version in [0, 1] {
        for (path, window) in [("large.bin", 0), ("large.bin", 20_000), ("disk.bin", 50_001)] {
            let mut simulation = http();
            let peer = simulation.join_and_shake(version);
            simulation.peers[0].wire.borrow_mut().window = window;
            simulation.say(peer, format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n"));
            for _ in 0..10 {
                simulation.now = simulation.now + (timeout - Duration::from_millis(1));
                simulation.open_window(peer, 1500);
            }
            assert_eq!(simulation.event_loop.connections(), 1, "{path} {window}");
            simulation.now = simulation.now + timeout;
            simulation.turn(Vec::new());
            simulation.process(peer);
            assert_eq!(simulation.ended(CloseReason::WriteTimeout), 1, "{path} {window}");
            assert!(!simulation.client(peer).has_ended, "close_notify after a part of the output");
        }
    }
}

#[test]
fn the_last_record_and_close_notify_leave_before_the_close() {
    const REQUEST: &str = "GET /a.txt HTTP/1.1\r\nConnection: close\r\nHost: h\r\n\r\n";
    for (version, script) in [(0, REQUEST), (1, REQUEST), (0, "bad\r\n\r\n")] {
        // The network blocks within the last records, at each of their bytes.
        let mut length = usize::MAX;
        for left in 0..80 {
            let mut simulation = http();
            let peer = simulation.join_and_shake(version);
            simulation.peers[0].wire.borrow_mut().window = if left > 0 { length - left } else { length };
            let before = simulation.peers[0].wire.borrow().received.len();
            simulation.say(peer, script);
            if left == 0 {
                length = simulation.peers[0].wire.borrow().received.len() - before;
            } else {
                assert!(
                    !simulation.client(peer).has_ended && !simulation.is_closed(peer),
                    "{left} bytes left"
                );
                assert!(!simulation.peers[0].wire.borrow().server_ended, "{left} bytes left");
                simulation.open_window(peer, left);
            }
            assert!(simulation.client(peer).has_ended, "{left} bytes left");
            assert_eq!(simulation.is_closed(peer), script == REQUEST);
        }
    }
}
