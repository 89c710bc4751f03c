//! Limits of connections and descriptors: which connections are evicted, which wait, and what idle ones cost.
//! To add a case, start the server with a limit and fill it with `connect_and_get`.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};
use socket2::{Domain, Socket, Type};

use super::sockets::{GET, connect_and_get};
use crate::process::{Client, PATIENCE, Server, large_file, raise_descriptor_limit, wait_for};

#[test]
fn ten_thousand_idle_connections_cost_at_most_1_kib_each() {
    let count = raise_descriptor_limit().saturating_sub(2000).min(10_000) as usize;
    if count < 1000 {
        eprintln!("left out: RLIMIT_NOFILE is too small");
        return;
    }
    // Long enough for all of them to connect.
    let server = Server::start(&["--idle-timeout", "600s"]);
    let mut clients: Vec<Client> = (0..100).map(|_| connect_and_get(&server)).collect();
    let before = server.status("VmRSS");
    while clients.len() < count {
        clients.push(connect_and_get(&server));
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

#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_half_requests_is_returned_to_the_system() {
    let count = raise_descriptor_limit().saturating_sub(2000).min(4000);
    if count < 1000 {
        eprintln!("left out: RLIMIT_NOFILE is too small");
        return;
    }
    let server = Server::start(&["--head-timeout", "300s"]);
    let before = server.status("VmRSS");
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n", "x".repeat(15_000));
    // Each connection is accepted after the head of the one before was received, so that their memory mixes.
    let connect = |_| {
        let mut client = server.connect();
        client.send(&head);
        client
    };
    let mut clients: Vec<Client> = (0..count).map(connect).collect();
    wait_for("the heads", || (server.status("VmRSS") > before + count * 14).then_some(()));
    // Half of them complete their request.
    clients.truncate(count as usize / 2);
    for client in &mut clients {
        client.send("\r\n");
        assert_eq!(client.response().status, 200);
    }
    drop(clients);
    wait_for("the return of the memory", || (server.status("VmRSS") < before + count * 3).then_some(()));
}

#[test]
fn at_the_limit_the_least_recently_active_connection_is_evicted() {
    let server = Server::start(&["--max-connections", "4"]);
    let mut clients: Vec<Client> = (0..4).map(|_| connect_and_get(&server)).collect();
    clients[0].send(GET);
    clients[0].response();
    let mut fifth = connect_and_get(&server);
    // The second one is the least recently active.
    clients.remove(1).expect_end();
    for client in clients.iter_mut().chain([&mut fifth]) {
        client.send(GET);
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn at_the_limit_new_connections_wait_while_all_others_are_busy() {
    let server = Server::start(&["--max-connections", "3", "--write-timeout", "60s"]);
    let mut busy = vec![begin_download(&server, "1.bin"), begin_download(&server, "2.bin")];
    busy.push(begin_download(&server, "3.bin"));
    let mut waiting = server.connect();
    waiting.send(GET);
    waiting.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(waiting.stream.peek(&mut [0]).is_err(), "it was served over the limit");
    waiting.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let before = server.ticks();
    busy.pop();
    assert_eq!(waiting.response().status, 200);
    assert!(server.ticks() - before < 50, "it spins");
    assert_eq!(busy[1].response().body.len(), 30_000_000);
}

#[test]
fn silent_and_half_requests_delay_no_other_client_at_the_limit() {
    // Without eviction, places become free at the head timeout and at the idle timeout.
    let timeouts = ["--head-timeout", "300s", "--idle-timeout", "300s", "--file-idle-timeout", "300s"];
    let limit = ["--max-connections", "200", "--file", "0"];
    let server = Server::start(&[&timeouts[..], &limit].concat());
    let line = server.wait_for_line("listening file");
    let file: SocketAddr = line.split_once("tcp://").unwrap().1.parse().unwrap();
    let mut person = Client::new(TcpStream::connect(file).unwrap());
    person.send("HELP\r\n");
    assert!(person.line().starts_with("OK "));
    let mut flood = Vec::new();
    for index in 0..300 {
        let target = if index % 3 == 0 { file } else { server.address };
        let mut stream = connect_from(if index % 2 == 0 { 2 } else { 3 }, target);
        if index % 2 == 0 {
            // The server may have closed it already.
            let _ = stream.write_all(&GET.as_bytes()[..20]);
        }
        flood.push(stream);
        if index % 50 == 0 {
            assert_eq!(server.get("/1k.txt").status, 200);
        }
    }
    for _ in 0..20 {
        assert_eq!(server.get("/1k.txt").status, 200);
    }
    let mut other = Client::new(TcpStream::connect(file).unwrap());
    for client in [&mut person, &mut other] {
        client.send("HELP\r\n");
        assert!(client.line().starts_with("OK "));
    }
}

/// Connects from 127.0.0.`host`; elsewhere than on Linux from the only local address.
fn connect_from(host: u8, target: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if cfg!(target_os = "linux") {
        socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).unwrap();
    }
    socket.connect(&target.into()).unwrap();
    socket.into()
}

#[test]
fn connections_over_max_per_client_are_closed() {
    let server = Server::start(&["--max-per-client", "2"]);
    let mut clients = [connect_and_get(&server), connect_and_get(&server)];
    server.connect().expect_end();
    clients[0].send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(clients[0].response().status, 200);
    clients[0].expect_end();
    assert_eq!(server.get("/1k.txt").status, 200);
}

/// Requests a file of 30 MB with this name from a server whose site is a folder, and reads only the first
/// bytes.
fn begin_download(server: &Server, name: &str) -> Client {
    File::create(server.site.path().join(name)).unwrap().set_len(30_000_000).unwrap();
    let mut client = server.connect();
    client.send(format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
    wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
    client
}

#[test]
fn uploads_and_large_files_leave_descriptors_for_connections() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path().to_str().unwrap();
    // Of the 200, 80 are reserved, 100 are for connections, and 20 for files.
    let server = Server::start_within(200, &["--files", folder, "--file", "0", "--max-connections", "100"]);
    let line = server.wait_for_line("listening file");
    let file: SocketAddr = line.split_once("tcp://").unwrap().1.parse().unwrap();
    let mut held: Vec<Client> =
        (0..10).map(|index| begin_download(&server, &format!("{index}.bin"))).collect();
    // Returns the connection if the server wants the body, and its response otherwise.
    let begin_upload = || {
        let mut client = server.connect();
        let head = "PUT /files/up HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n";
        client.send(format!("{head}Expect: 100-continue\r\n\r\n"));
        let line = client.line();
        if line == "HTTP/1.1 100 Continue" {
            return Ok(client);
        }
        client.end_output();
        Err(format!("{line}\n{}", String::from_utf8_lossy(&client.rest())))
    };
    let mut uploads = 0;
    let refused = loop {
        match begin_upload() {
            Ok(client) => held.push(client),
            Err(response) => break response,
        }
        uploads += 1;
    };
    assert_eq!(uploads, 10);
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("Retry-After: 1\r\n"), "{refused}");
    let large = server.get("/large.bin");
    assert_eq!((large.status, large.field("Retry-After")), (503, Some("1")));
    let mut person = Client::new(TcpStream::connect(file).unwrap());
    for command in ["PUT 3 name\r\nabc", "G name\r\n", "L\r\n"] {
        person.send(command);
        let line = person.line();
        assert!(
            line.starts_with(if command == "G name\r\n" { "ERR not-found" } else { "ERR busy" }),
            "{line}"
        );
    }
    // Every place for a connection can be taken, and small files are served.
    while held.len() < 99 {
        held.push(connect_and_get(&server));
    }
    assert_eq!(server.get("/1k.txt").status, 200);
    assert!(server.descriptors() < 200);
    drop(held);
    wait_for("service again", || Some(()).filter(|()| server.get("/large.bin").status == 200));
    assert!(begin_upload().is_ok());
}

#[test]
fn the_start_message_states_how_many_connections_fit() {
    let server = Server::start_within(200, &["--idle-timeout", "300s"]);
    let line = server.wait_for_line("RLIMIT_NOFILE is 200");
    assert!(line.contains("at most 105 concurrent connections, and 15 uploads and large files"), "{line}");
    let mut held: Vec<Client> =
        (0..15).map(|index| begin_download(&server, &format!("{index}.bin"))).collect();
    while held.len() < 105 {
        held.push(connect_and_get(&server));
    }
    for client in &mut held[15..] {
        client.send(GET);
        assert_eq!(client.response().status, 200);
    }
    // One more evicts one of them.
    held.push(connect_and_get(&server));
    held[15].expect_end();
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_survives_running_out_of_descriptors() {
    let server = Server::start(&[]);
    // It has shared out more, as if other parts of the program had taken them.
    let limit = Rlimit { current: Some(40), maximum: Some(40) };
    prlimit(Some(server.pid()), Resource::Nofile, limit).unwrap();
    let mut stuck = Vec::new();
    let told = wait_for("the last descriptor", || {
        stuck.push(begin_download(&server, &format!("large{}.bin", stuck.len())));
        // The next client gets a 503, for lack of a descriptor for its file or its connection.
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
