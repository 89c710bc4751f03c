//! Acknowledging, over real sockets and with the clients that people have. To add a case, start
//! `acknowledging(options)` and `say` a message over a stream or `say_datagram` over a socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use evserve::close_reason::CloseReason;
use evserve::limits::DRAIN_GRACE;
use evserve::protocol::Kind;

use crate::conversation::{Talk, no_library, site};
use crate::process::{
    Client, PATIENCE, PROGRAM, Server, more_descriptors, run, small_site, tool, uninterrupted, wait_for,
};

/// A server with these arguments, and where it acknowledges.
fn acknowledging(arguments: &[&str]) -> (Server, SocketAddr) {
    let server = Server::start(&[&["--file", "off"], arguments].concat());
    let address = address(&server, "listening ack");
    (server, address)
}

fn address(server: &Server, banner: &str) -> SocketAddr {
    let line = server.wait_for_line(banner);
    line.split_once("://").unwrap().1.parse().unwrap()
}

/// A stream that does not wait for ever.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a message and returns what comes back.
fn say(stream: &mut (impl Read + Write), message: &str) -> String {
    stream.write_all(message.as_bytes()).unwrap();
    let mut buffer = [0; 1024];
    let count = uninterrupted(|| stream.read(&mut buffer)).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

/// A socket that talks to `peer`.
fn datagrams(peer: SocketAddr) -> UdpSocket {
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(peer).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn say_datagram(socket: &UdpSocket, message: &[u8]) -> String {
    socket.send(message).unwrap();
    let mut buffer = [0; 70_000];
    let count = uninterrupted(|| socket.recv(&mut buffer)).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

#[test]
fn tcp_messages_are_acknowledged_one_by_one() {
    let (server, address) = acknowledging(&["--ack", "0", "--ack-reply", "{count}: {bytes} of {peer}"]);
    let mut stream = connect(address);
    let own = stream.local_addr().unwrap();
    assert_eq!(say(&mut stream, "hello"), format!("1: 5 of {own}"));
    assert_eq!(say(&mut stream, "收到"), format!("2: 6 of {own}"));
    // Its last message is answered, too, behind the end of its output.
    stream.write_all(b"bye").unwrap();
    let mut client = Client::new(stream);
    client.end_output();
    assert_eq!(String::from_utf8(client.rest()).unwrap(), format!("3: 3 of {own}"));
    drop(server);
}

#[test]
fn what_nothing_is_said_of_is_as_the_contract_says() {
    let (_server, address) = acknowledging(&["--ack", "0"]);
    assert_eq!(say(&mut connect(address), "x"), "收到了你的消息");
}

#[test]
fn who_goes_on_and_on_does_not_hold_up_the_end() {
    let mut talk = Talk::with_library(Kind::Ack, site(), no_library());
    talk.services.core.draining_since = Some(talk.now.monotonic);
    // What was under way is answered.
    talk.input(b"one");
    assert_eq!(talk.outcome.ending, None);
    talk.now = talk.now + DRAIN_GRACE;
    talk.services.core.clock.advance(talk.now);
    talk.input(b"two");
    assert_eq!(talk.outcome.ending, Some(CloseReason::LastAnswer));
    assert_eq!(talk.outcome.output, "收到了你的消息".repeat(2).as_bytes());
}

#[test]
fn an_echo_gives_every_byte_back() {
    let (_server, address) = acknowledging(&["--ack", ":0", "--ack-reply", "{message}"]);
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(|index| index.wrapping_mul(77).to_le_bytes()).collect();
    for host in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((host.parse::<IpAddr>().unwrap(), address.port())).unwrap();
        let mut sender = stream.try_clone().unwrap();
        let mut client = Client::new(stream);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sender.write_all(&bytes).unwrap();
                sender.shutdown(std::net::Shutdown::Write).unwrap();
            });
            assert!(client.rest() == bytes, "over {host}");
        });
    }
}

#[test]
fn who_reads_nothing_holds_no_more_than_its_share() {
    let (server, address) = acknowledging(&["--ack", "0", "--ack-reply", &"{message}".repeat(16)]);
    let before = server.status("VmRSS");
    let mut stream = connect(address);
    stream.set_nonblocking(true).unwrap();
    // Until the system's buffers are full on both sides, and stay so.
    let (mut sent, mut full_since) = (0, Instant::now());
    while full_since.elapsed() < Duration::from_secs(1) {
        match stream.write(&[b'x'; 64 * 1024]) {
            Ok(count) => (sent, full_since) = (sent + count, Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(3));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent > 256 * 1024, "{sent}");
    assert!(server.status("VmRSS").saturating_sub(before) < 2048);
}

#[test]
fn thousands_at_once_are_acknowledged() {
    // Another test has as many beside this one.
    let count = more_descriptors().saturating_sub(12_000).min(10_000) as usize;
    if count < 1000 {
        eprintln!("left out: RLIMIT_NOFILE is too small");
        return;
    }
    let (_server, address) = acknowledging(&["--ack", "0", "--ack-reply", "{count}"]);
    let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(address)).collect();
    for round in ["1", "2"] {
        streams.iter_mut().for_each(|stream| stream.write_all(b"x").unwrap());
        for stream in &mut streams {
            let mut answer = [0; 16];
            let length = uninterrupted(|| stream.read(&mut answer)).unwrap();
            assert_eq!(&answer[..length], round.as_bytes());
        }
    }
}

#[test]
fn over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ack");
    let server = Server::start(&["--file", "off", "--ack", &format!("unix:{}", path.display())]);
    server.wait_for_line("listening ack unix:");
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(say(&mut stream, "x"), "收到了你的消息");
}

#[test]
fn datagrams_are_acknowledged_from_the_address_that_was_asked() {
    let reply = "在{time}接收到消息";
    let (server, address) = acknowledging(&["--ack-udp", ":0", "--ack-reply", reply]);
    for host in ["127.0.0.1", "::1", "127.0.0.7"] {
        // The kernel passes a connected socket nothing from elsewhere.
        if host == "127.0.0.7" && cfg!(any(evserve_portable, not(target_os = "linux"))) {
            continue;
        }
        let socket = datagrams(SocketAddr::new(host.parse().unwrap(), address.port()));
        let answer = say_datagram(&socket, b"hello");
        let year = answer.strip_prefix("在").and_then(|rest| rest.strip_suffix("接收到消息")).unwrap();
        assert!(year.len() == 24, "{answer}");
    }
    drop(server);
}

#[test]
fn large_and_empty_datagrams() {
    let (_server, address) = acknowledging(&["--ack-udp", "0", "--ack-reply", "{message}{bytes}"]);
    let socket = datagrams(address);
    assert_eq!(say_datagram(&socket, b""), "0");
    let largest = vec![b'x'; 65_507];
    assert!(say_datagram(&socket, &largest).as_bytes() == largest);
    assert_eq!(say_datagram(&socket, b"hello"), "hello5");
}

#[test]
fn who_asks_everyone_is_not_answered() {
    let (mut server, address) = acknowledging(&["--ack-udp", "0.0.0.0:0"]);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_broadcast(true).unwrap();
    // The broadcast address of the loopback's network.
    if cfg!(any(evserve_portable, not(target_os = "linux")))
        || socket.send_to(b"hello", ("127.255.255.255", address.port())).is_err()
    {
        return;
    }
    socket.send_to(b"hello", ("127.0.0.1", address.port())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    uninterrupted(|| socket.recv(&mut [0; 64])).unwrap();
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().success());
    server.wait_for_line("answered 1 of 2 datagrams");
}

#[test]
fn an_empty_echo_is_one() {
    let (_server, address) = acknowledging(&["--ack-udp", "0", "--ack-reply", "{message}"]);
    assert_eq!(say_datagram(&datagrams(address), b""), "");
}

#[test]
fn a_peer_has_so_many_answers_a_second() {
    let (mut server, address) = acknowledging(&["--ack-udp", "0", "--udp-rate", "50"]);
    let socket = datagrams(address);
    let begun = Instant::now();
    (0..500).for_each(|_| drop(socket.send(b"x")));
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().success());
    let elapsed = begun.elapsed().as_secs() as usize;
    socket.set_nonblocking(true).unwrap();
    let answers = std::iter::repeat_with(|| socket.recv(&mut [0; 64])).take_while(Result::is_ok).count();
    assert!((50..=50 * (elapsed + 1)).contains(&answers), "{answers}");
    let line = server.wait_for_line("datagrams");
    assert!(line.contains(&format!("answered {answers} of ")), "{line}");
}

#[test]
fn netcat_is_acknowledged_over_both() {
    let Some(nc) = tool("nc") else { return };
    let (server, tcp) = acknowledging(&["--ack", "0", "--ack-udp", "0", "--ack-reply", "got {bytes}\n"]);
    let udp = address(&server, "listening ack-udp");
    let ask = |arguments: &[&str]| {
        let (input, output) = (Stdio::piped(), Stdio::piped());
        let mut child = Command::new(&nc).args(arguments).stdin(input).stdout(output).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
        let mut answer = [0; 64];
        let count = child.stdout.take().unwrap().read(&mut answer).unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        String::from_utf8(answer[..count].to_vec()).unwrap()
    };
    assert_eq!(ask(&["-N", "-w", "20", "127.0.0.1", &tcp.port().to_string()]), "got 6\n");
    assert_eq!(ask(&["-u", "-w", "20", "127.0.0.1", &udp.port().to_string()]), "got 6\n");
}

#[test]
#[cfg(feature = "client")]
fn the_message_clients_of_the_documents_are_acknowledged() {
    let (server, tcp) = acknowledging(&["--ack", "0", "--ack-udp", "0", "--ack-reply", "Receive your msg"]);
    let udp = address(&server, "listening ack-udp");
    for (address, option) in [(tcp, None), (udp, Some("--udp"))] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_evclient"))
            .args(["say", &address.to_string()])
            .args(option)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"one\ntwo\n\n").unwrap();
        let ended = wait_for("the client's end", || child.try_wait().unwrap());
        assert!(ended.success());
        let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(printed.matches("Receive your msg\n").count(), 2, "{printed}");
    }
}

#[test]
fn a_listener_that_cannot_be_had_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, said) = run(&["--html", "html", "--http", "off", "--file", "off", "--ack-udp", &address]);
    assert_eq!((code, said.lines().filter(|line| line.starts_with("evserve:")).count()), (1, 1));
    assert!(said.contains(&address) && said.contains("--ack-udp"), "{said}");
    // Acknowledging alone is something to listen for.
    let mut command = Command::new(PROGRAM);
    command.args(["--http", "off", "--file", "off", "--ack", "0", "--html", "html"]).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let _server = Server::adopt(child, ([0, 0, 0, 0], 0).into(), small_site());
    let mut banner = String::new();
    stderr.read_line(&mut banner).unwrap();
    assert!(banner.contains("listening ack tcp://127.0.0.1:"), "{banner}");
}
