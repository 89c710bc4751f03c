//! The program over real sockets, with peers that send and receive as they like: fast, slowly, not at all. To
//! add a case, start a `Server` and let a `Client` behave badly.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::process::{Client, Server, large_file, uninterrupted, wait_for, wait_until_read};

pub const GET: &str = "GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n";
pub const GET_LARGE: &str = "GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_thousand_pipelined_requests() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let mut sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(GET.repeat(1000).as_bytes()).unwrap());
    for _ in 0..1000 {
        let response = client.response();
        assert_eq!((response.status, response.body.len()), (200, 1024));
    }
    sending.join().unwrap();
    client.end_output();
    client.expect_end();
}

#[test]
fn a_half_close_behind_a_large_pipelined_answer_loses_nothing() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(format!("{}{GET}", GET_LARGE.repeat(5)));
    client.end_output();
    for _ in 0..5 {
        assert!(client.response().body == large_file());
    }
    assert_eq!(client.response().body.len(), 1024);
    client.expect_end();
}

#[test]
fn many_large_files_at_once() {
    let server = Server::start(&[]);
    let clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let expected = large_file();
    std::thread::scope(|scope| {
        for mut client in clients {
            let expected = &expected;
            scope.spawn(move || {
                client.send(GET_LARGE.repeat(3));
                for _ in 0..3 {
                    assert!(client.response().body == *expected);
                }
            });
        }
    });
}

/// A connection on which one request was answered.
pub fn served(server: &Server) -> Client {
    let mut client = server.connect();
    client.send(GET);
    assert_eq!(client.response().status, 200);
    client
}

#[test]
fn dripping_heads_are_ended_and_nobody_waits_for_them() {
    let server = Server::start(&["--head-timeout", "600ms"]);
    let mut slow: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    let mut silent = server.connect();
    let mut script = GET.trim_end().bytes().chain(std::iter::repeat(b'x'));
    wait_for("the end of the slow", || {
        // A byte for each, which puts off nothing.
        let byte = [script.next().unwrap()];
        slow.iter_mut().for_each(|client| drop(client.stream.write_all(&byte)));
        assert_eq!(server.get("/1k.txt").status, 200);
        (server.descriptors() < 30).then_some(())
    });
    for client in &mut slow {
        assert_eq!(client.response().status, 408);
    }
    silent.expect_end();
}

#[test]
fn a_peer_that_never_reads_is_ended() {
    let server = Server::start(&["--write-timeout", "500ms"]);
    let idle = server.descriptors();
    let mut stuck: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    for client in &mut stuck {
        client.send(GET_LARGE.repeat(20));
    }
    // Each is served by now; whether all are so at once depends on how fast we are.
    for client in &stuck {
        wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
    }
    assert_eq!(server.get("/1k.txt").status, 200);
    wait_for("their end", || (server.descriptors() == idle).then_some(()));
}

#[test]
fn an_upload_that_is_refused_still_hears_the_answer() {
    let server = Server::start(&[]);
    for _ in 0..5 {
        let mut client = server.connect();
        client.send("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n");
        let piece = vec![b'x'; 100_000];
        // A close with unread input would be a reset, and the answer lost.
        for _ in 0..200 {
            if client.stream.write_all(&piece).is_err() {
                break;
            }
        }
        let response = client.response();
        assert_eq!((response.status, response.closes()), (405, true));
        client.expect_end();
    }
}

#[test]
fn who_goes_on_sending_after_an_answer_is_heard_out() {
    let server = Server::start(&[]);
    for request in
        ["PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n", "GET / HTTP/1.1\r\nX : y\r\n\r\n"]
    {
        let mut client = server.connect();
        client.send(request);
        assert!(client.response().closes());
        // Had the server closed, the first of these would get a reset and the others fail.
        for _ in 0..5 {
            client.send([b'x'; 1000]);
            assert_eq!(uninterrupted(|| client.stream.read(&mut [0])).unwrap(), 0);
        }
    }
}

#[test]
fn a_close_behind_a_large_answer_does_not_destroy_it() {
    let server = Server::start(&[]);
    fs::write(server.site.path().join("300k"), vec![b'x'; 300_000]).unwrap();
    for stray in ["\r\n", GET] {
        // The server lingers for 5 s of silence: a try that took longer has shown nothing.
        let in_time = (0..20).any(|_| {
            let mut client = server.connect();
            client.send("GET /300k HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
            let begun = Instant::now();
            // All of the answer is in the socket by now. What comes after the last request would be
            // answered by a reset, had the server closed.
            client.send(stray);
            wait_until_read(&client.stream);
            client.send(stray);
            if begun.elapsed() > Duration::from_secs(4) {
                return false;
            }
            assert_eq!(client.response().body.len(), 300_000);
            client.expect_end();
            true
        });
        assert!(in_time, "no try took less than 4 s");
    }
}

#[test]
fn an_upload_is_taken_while_its_answer_goes_out() {
    // Longer than a client of ours waits until it can send.
    let server = Server::start(&["--write-timeout", "60s"]);
    let mut client = server.connect();
    client.send("GET /large.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 30000000\r\n\r\n");
    // A peer that sends all before it reads anything.
    for _ in 0..300 {
        client.send(vec![b'x'; 100_000]);
    }
    let response = client.response();
    assert!(response.closes() && response.body == large_file());
}

#[test]
#[cfg(all(target_os = "linux", not(evserve_portable)))]
fn a_slow_but_steady_reader_gets_all_of_it() {
    use crate::process::{PATIENCE, starved};

    let server = Server::start(&["--write-timeout", "500ms"]);
    let begun = Instant::now();
    loop {
        let mut client = server.connect();
        client.send("GET /large.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        // 1 MB/s: the socket's buffer of megabytes has no room again for longer than the timeout.
        let (mut received, mut buffer) = (Vec::new(), vec![0; 50_000]);
        let (opened, mut longest) = (Instant::now(), Duration::ZERO);
        while let Ok(count @ 1..) = uninterrupted(|| client.stream.read(&mut buffer)) {
            received.extend_from_slice(&buffer[..count]);
            // Behind several timeouts what is left may come faster.
            if opened.elapsed() < Duration::from_millis(2500) {
                let (asleep, waited) = (Instant::now(), starved());
                std::thread::sleep(Duration::from_millis(50));
                longest = longest.max(asleep.elapsed()).max(starved() - waited);
            }
        }
        if received.ends_with(&large_file()) {
            return;
        }
        // A reader whom the machine did not let read proves nothing.
        let is_late = longest > Duration::from_millis(200) && begun.elapsed() < 3 * PATIENCE;
        assert!(is_late, "it got {} bytes, and paused for {longest:?} at most", received.len());
    }
}
