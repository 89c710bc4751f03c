//! The program over real sockets, with peers that are fast, slow or silent. To add a case, start a `Server`
//! and let a `Client` misbehave.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::process::{Client, Server, large_file, retry_interrupted, wait_for, wait_until_read};

pub const GET: &str = "GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n";
pub const GET_LARGE: &str = "GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_thousand_pipelined_requests_are_answered() {
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
fn a_half_close_after_pipelined_requests_loses_no_response() {
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
fn large_files_are_sent_to_many_clients_at_once() {
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

/// Connects and completes one request.
pub fn connect_and_get(server: &Server) -> Client {
    let mut client = server.connect();
    client.send(GET);
    assert_eq!(client.response().status, 200);
    client
}

#[test]
fn slow_heads_time_out_and_delay_no_other_client() {
    let server = Server::start(&["--head-timeout", "600ms"]);
    let mut slow: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    let mut silent = server.connect();
    let mut script = GET.trim_end().bytes().chain(std::iter::repeat(b'x'));
    wait_for("the end of the slow", || {
        // Another byte on each connection does not extend its deadline.
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
fn connections_to_peers_that_never_read_are_closed() {
    let server = Server::start(&["--write-timeout", "500ms"]);
    let idle = server.descriptors();
    let mut stuck: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    for client in &mut stuck {
        client.send(GET_LARGE.repeat(20));
    }
    // On a slow machine the first may time out before the last is served.
    for client in &stuck {
        wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
    }
    assert_eq!(server.get("/1k.txt").status, 200);
    wait_for("their end", || (server.descriptors() == idle).then_some(()));
}

#[test]
fn the_client_of_a_rejected_upload_receives_the_response() {
    let server = Server::start(&[]);
    for _ in 0..5 {
        let mut client = server.connect();
        client.send("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n");
        let piece = vec![b'x'; 100_000];
        // A close with unread input would cause a reset and destroy the response.
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
fn input_after_a_closing_response_does_not_cause_a_reset() {
    let server = Server::start(&[]);
    for request in
        ["PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n", "GET / HTTP/1.1\r\nX : y\r\n\r\n"]
    {
        let mut client = server.connect();
        client.send(request);
        assert!(client.response().closes());
        // If the server had closed, the first of these would cause a reset, and the others would fail.
        for _ in 0..5 {
            client.send([b'x'; 1000]);
            assert_eq!(retry_interrupted(|| client.stream.read(&mut [0])).unwrap(), 0);
        }
    }
}

#[test]
fn stray_input_does_not_destroy_a_large_closing_response() {
    let server = Server::start(&[]);
    fs::write(server.site.path().join("300k"), vec![b'x'; 300_000]).unwrap();
    for stray in ["\r\n", GET] {
        // The server lingers for 5 s of silence, so a slower attempt proves nothing.
        let in_time = (0..20).any(|_| {
            let mut client = server.connect();
            client.send("GET /300k HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
            let begun = Instant::now();
            // The whole response is in the socket by now. If the server had closed, this input would cause a
            // reset.
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
fn a_client_may_send_its_whole_body_before_it_reads() {
    // Longer than the write timeout of `Client`.
    let server = Server::start(&["--write-timeout", "60s"]);
    let mut client = server.connect();
    client.send("GET /large.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 30000000\r\n\r\n");
    for _ in 0..300 {
        client.send(vec![b'x'; 100_000]);
    }
    let response = client.response();
    assert!(response.closes() && response.body == large_file());
}

#[test]
#[cfg(all(target_os = "linux", not(evserve_portable)))]
fn slow_but_steady_readers_get_the_whole_response() {
    use crate::process::{PATIENCE, cpu_wait_time};

    let server = Server::start(&["--write-timeout", "500ms"]);
    let begun = Instant::now();
    loop {
        let mut client = server.connect();
        client.send("GET /large.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        // At 1 MB/s, a socket buffer of several megabytes stays full for longer than the timeout.
        let (mut received, mut buffer) = (Vec::new(), vec![0; 50_000]);
        let (opened, mut longest) = (Instant::now(), Duration::ZERO);
        while let Ok(count @ 1..) = retry_interrupted(|| client.stream.read(&mut buffer)) {
            received.extend_from_slice(&buffer[..count]);
            // After several timeouts, the rest may be read faster.
            if opened.elapsed() < Duration::from_millis(2500) {
                let (asleep, waited) = (Instant::now(), cpu_wait_time());
                std::thread::sleep(Duration::from_millis(50));
                longest = longest.max(asleep.elapsed()).max(cpu_wait_time() - waited);
            }
        }
        if received.ends_with(&large_file()) {
            return;
        }
        // A reader that was not scheduled in time proves nothing.
        let is_late = longest > Duration::from_millis(200) && begun.elapsed() < 3 * PATIENCE;
        assert!(is_late, "it got {} bytes, and paused for {longest:?} at most", received.len());
    }
}
