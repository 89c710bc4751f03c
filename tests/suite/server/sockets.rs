//! The program over real sockets, with peers good and bad.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use crate::process::{Client, PROGRAM, Server, large_file, more_descriptors, small_site, wait_for};

const GET: &str = "GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n";
const GET_LARGE: &str = "GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n";

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

#[test]
fn ten_thousand_idle_connections() {
    let count = more_descriptors().saturating_sub(2000).min(10_000) as usize;
    if count < 1000 {
        eprintln!("left out: RLIMIT_NOFILE is too small");
        return;
    }
    let server = Server::start(&[]);
    let mut clients: Vec<Client> = (0..100).map(|_| served(&server)).collect();
    let before = server.status("VmRSS");
    while clients.len() < count {
        clients.push(served(&server));
    }
    let each = (server.status("VmRSS").saturating_sub(before)) * 1024 / (count as u64 - 100);
    assert!(each <= 1024, "{each} bytes of memory for each idle connection");
    assert_eq!(server.get("/1k.txt").status, 200);
    // All of them are alive.
    for client in clients.iter_mut().step_by(97) {
        client.send(GET);
        assert_eq!(client.response().status, 200);
    }
}

/// A connection on which one request was answered.
fn served(server: &Server) -> Client {
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
    wait_for("the stuck connections", || (server.descriptors() > idle + 5).then_some(()));
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
            assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
        }
    }
}

#[test]
fn a_close_behind_a_large_answer_does_not_destroy_it() {
    let server = Server::start(&[]);
    fs::write(server.site.path().join("300k"), vec![b'x'; 300_000]).unwrap();
    for stray in ["\r\n", GET] {
        let mut client = server.connect();
        client.send("GET /300k HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
        // All of the answer is in the socket by now. What comes after the last request would be
        // answered by a reset, had the server closed.
        client.send(stray);
        std::thread::sleep(Duration::from_millis(50));
        client.send(stray);
        assert_eq!(client.response().body.len(), 300_000);
        client.expect_end();
    }
}

#[test]
fn an_upload_is_taken_while_its_answer_goes_out() {
    let server = Server::start(&["--write-timeout", "2s"]);
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
    let server = Server::start(&["--write-timeout", "500ms"]);
    let mut client = server.connect();
    client.send("GET /large.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    // 1 MB/s: the socket's buffer of megabytes has no room again for longer than the timeout.
    let mut received = Vec::new();
    let mut buffer = vec![0; 50_000];
    loop {
        match client.stream.read(&mut buffer).unwrap() {
            0 => break,
            count => received.extend_from_slice(&buffer[..count]),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(received.ends_with(&large_file()), "it got {} bytes", received.len());
}

#[test]
fn at_the_connection_limit_the_longest_idle_makes_room() {
    let server = Server::start(&["--max-connections", "4"]);
    let mut clients: Vec<Client> = (0..4).map(|_| served(&server)).collect();
    clients[0].send(GET);
    clients[0].response();
    let mut fifth = served(&server);
    // The second was idle for longest.
    clients.remove(1).expect_end();
    for client in clients.iter_mut().chain([&mut fifth]) {
        client.send(GET);
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn at_the_connection_limit_new_ones_wait_while_all_are_busy() {
    let server = Server::start(&["--max-connections", "3"]);
    let mut busy: Vec<Client> = (0..3).map(|_| served(&server)).collect();
    busy.iter_mut().for_each(|client| client.send(&GET[..10]));
    // Whatever is seen of this request, the others are busy by then.
    busy[0].send(&GET[10..]);
    busy[0].response();
    busy[0].send(&GET[..10]);
    let mut waiting = server.connect();
    waiting.send(GET);
    waiting.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(waiting.stream.peek(&mut [0]).is_err(), "it was served over the limit");
    waiting.stream.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
    let before = server.ticks();
    busy.pop();
    assert_eq!(waiting.response().status, 200);
    assert!(server.ticks() - before < 50, "it spins");
    busy[1].send(&GET[10..]);
    assert_eq!(busy[1].response().status, 200);
}

#[test]
fn one_connection_over_a_client_s_number_is_closed_at_once() {
    let server = Server::start(&["--max-per-client", "2"]);
    let mut clients = [served(&server), served(&server)];
    server.connect().expect_end();
    clients[0].send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(clients[0].response().status, 200);
    clients[0].expect_end();
    assert_eq!(server.get("/1k.txt").status, 200);
}

#[test]
fn without_descriptors_the_server_stays_in_service() {
    // Half of the 40 may be connections, and each one's own large file takes one more descriptor.
    let server = Server::start_within(40, &[]);
    let mut stuck = Vec::new();
    let told = wait_for("the last descriptor", || {
        let name = format!("large{}.bin", stuck.len());
        File::create(server.site.path().join(&name)).unwrap().set_len(30_000_000).unwrap();
        let mut client = server.connect();
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
        wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
        stuck.push(client);
        // Somebody who comes then is told, either for want of a file or of a connection.
        (server.descriptors() >= 40).then(|| server.get("/1k.txt"))
    });
    assert_eq!((told.status, told.field("Retry-After")), (503, Some("1")));
    let before = server.ticks();
    for _ in 0..100 {
        let mut client = server.connect();
        let _ = client.stream.write_all(GET.as_bytes());
        stuck.push(client);
    }
    std::thread::sleep(Duration::from_millis(500));
    assert!(server.ticks() - before < 40, "it spins: {} ticks", server.ticks() - before);
    drop(stuck);
    let response = wait_for("service again", || {
        Some(server.get("/large.bin")).filter(|response| response.status == 200)
    });
    assert!(response.body == large_file());
}

#[test]
fn special_files_are_not_found_and_block_nobody() {
    let site = small_site();
    let fifo = site.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = UnixListener::bind(site.path().join("socket")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", site.path().join("zero")).unwrap();
    std::os::unix::fs::symlink("fifo", site.path().join("link")).unwrap();
    // A writer that waits for a reader of the FIFO must go on waiting.
    let writer = std::thread::spawn({
        let fifo = fifo.clone();
        move || File::options().write(true).open(fifo).map(|mut fifo| fifo.write_all(b"secret"))
    });
    let server = Server::start_with(Command::new(PROGRAM), site, &[]);
    for path in ["/fifo", "/socket", "/zero", "/link", "/fifo/", "/fifo"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert!(!writer.is_finished(), "the writer was woken");
    let mut secret = String::new();
    File::open(fifo).unwrap().read_to_string(&mut secret).unwrap();
    assert_eq!(secret, "secret");
    writer.join().unwrap().unwrap().unwrap();
}

#[test]
fn odd_paths_are_not_found_and_never_an_error_of_the_server() {
    let site = small_site();
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(from, site.path().join(to)).unwrap();
    link("circle", "circle");
    link("nowhere", "dangling");
    link("1k.txt", "inside");
    link("sub", "folder");
    fs::write(site.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9 \x01.txt")), "coffee").unwrap();
    let server = Server::start_with(Command::new(PROGRAM), site, &[]);
    for (path, status) in [
        ("/circle", 404),
        ("/circle/x", 404),
        ("/dangling", 404),
        ("/1k.txt/", 404),
        ("/1k.txt/x", 404),
        ("/1k.txt/..", 404),
        ("/sub/../1k.txt", 200),
        ("/inside", 200),
        ("/folder", 308),
        ("/caf%E9%20%01.txt", 200),
        ("/caf%C3%A9%20%01.txt", 404),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    assert_eq!(server.get(&format!("/{}", "a".repeat(300))).status, 404);
    assert_eq!(server.get(&format!("/{}", "a/".repeat(3000))).status, 404);
    assert_eq!(server.get(&format!("/{}", "../".repeat(2000))).status, 404);
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    let site = small_site();
    let open = |path: &str, mode| {
        fs::set_permissions(site.path().join(path), fs::Permissions::from_mode(mode)).unwrap()
    };
    fs::write(site.path().join("sub/x"), "x").unwrap();
    open("1k.txt", 0);
    open("sub", 0);
    open("", 0o755);
    // Root may read everything: then the program runs as nobody, from a place where that may.
    let program = site.path().join("evserve");
    fs::copy(PROGRAM, &program).unwrap();
    let mut command = Command::new(program);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let server = Server::start_with(command, site, &[]);
    for path in ["/1k.txt", "/sub/x", "/sub/"] {
        assert_eq!(server.get(path).status, 403, "{path}");
    }
    assert_eq!(server.get("/").status, 200);
    fs::set_permissions(server.site.path().join("sub"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_file_that_shrinks_ends_early_and_one_that_grows_ends_in_time() {
    let server = Server::start(&[]);
    let path = server.site.path().join("large.bin");
    let length = large_file().len();
    let whole = |client: &mut Client| {
        client.send(GET_LARGE);
        client.end_output();
    };
    let mut client = server.connect();
    whole(&mut client);
    wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
    File::options().append(true).open(&path).unwrap().write_all(&[7; 1000]).unwrap();
    assert!(client.response().body == large_file());
    client.expect_end();

    fs::write(&path, vec![b'x'; 60_000_000]).unwrap();
    let mut client = server.connect();
    whole(&mut client);
    wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
    File::options().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
    let rest = client.rest();
    assert!(rest.len() < 60_000_000, "it was padded");
    assert_eq!(server.get("/1k.txt").status, 200);
}

#[test]
fn an_edit_is_seen_at_once() {
    let server = Server::start(&[]);
    let path = server.site.path().join("page.html");
    for version in 0..20 {
        fs::write(&path, format!("version {version}")).unwrap();
        wait_for("the new version", || {
            (server.get("/page.html").text() == format!("version {version}")).then_some(())
        });
    }
    fs::remove_file(path).unwrap();
    wait_for("its end", || (server.get("/page.html").status == 404).then_some(()));
}
