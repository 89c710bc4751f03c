//! The acknowledging services over real sockets and with common clients. To add a case, start
//! `ack_server(options)`, and call `exchange` with a stream or `exchange_datagram` with a socket.

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
    Client, PATIENCE, PROGRAM, Server, raise_descriptor_limit, retry_interrupted, run, small_site, tool,
    wait_for,
};

/// Starts a server and returns the address of its first acknowledging listener.
fn ack_server(arguments: &[&str]) -> (Server, SocketAddr) {
    let server = Server::start(&[&["--file", "off"], arguments].concat());
    let address = address(&server, "listening ack");
    (server, address)
}

fn address(server: &Server, banner: &str) -> SocketAddr {
    let line = server.wait_for_line(banner);
    line.split_once("://").unwrap().1.parse().unwrap()
}

/// Connects a stream with a read timeout.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a message and returns the reply.
fn exchange(stream: &mut (impl Read + Write), message: &str) -> String {
    stream.write_all(message.as_bytes()).unwrap();
    let mut buffer = [0; 1024];
    let count = retry_interrupted(|| stream.read(&mut buffer)).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

/// Returns a UDP socket that is connected to `peer`.
fn udp_socket(peer: SocketAddr) -> UdpSocket {
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(peer).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn exchange_datagram(socket: &UdpSocket, message: &[u8]) -> String {
    socket.send(message).unwrap();
    let mut buffer = [0; 70_000];
    let count = retry_interrupted(|| socket.recv(&mut buffer)).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

#[test]
fn tcp_messages_are_acknowledged_one_by_one() {
    let (server, address) = ack_server(&["--ack", "0", "--ack-reply", "{count}: {bytes} of {peer}"]);
    let mut stream = connect(address);
    let own = stream.local_addr().unwrap();
    assert_eq!(exchange(&mut stream, "hello"), format!("1: 5 of {own}"));
    assert_eq!(exchange(&mut stream, "收到"), format!("2: 6 of {own}"));
    // A message that is followed by EOF is acknowledged, too.
    stream.write_all(b"bye").unwrap();
    let mut client = Client::new(stream);
    client.end_output();
    assert_eq!(String::from_utf8(client.rest()).unwrap(), format!("3: 3 of {own}"));
    drop(server);
}

#[test]
fn the_default_reply_is_the_chinese_acknowledgement() {
    let (_server, address) = ack_server(&["--ack", "0"]);
    assert_eq!(exchange(&mut connect(address), "x"), "收到了你的消息");
}

#[test]
fn draining_closes_connections_that_keep_sending() {
    let mut talk = Talk::with_library(Kind::Ack, site(), no_library());
    talk.services.core.draining_since = Some(talk.now.monotonic);
    // Messages within the grace period are acknowledged.
    talk.input(b"one");
    assert_eq!(talk.outcome.ending, None);
    talk.now = talk.now + DRAIN_GRACE;
    talk.services.core.clock.advance(talk.now);
    talk.input(b"two");
    assert_eq!(talk.outcome.ending, Some(CloseReason::ServerClosed));
    assert_eq!(talk.outcome.output, "收到了你的消息".repeat(2).as_bytes());
}

#[test]
fn the_message_placeholder_echoes_every_byte() {
    let (_server, address) = ack_server(&["--ack", ":0", "--ack-reply", "{message}"]);
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
fn a_client_that_never_reads_costs_less_than_2_mib() {
    let (server, address) = ack_server(&["--ack", "0", "--ack-reply", &"{message}".repeat(16)]);
    let before = server.status("VmRSS");
    let mut stream = connect(address);
    stream.set_nonblocking(true).unwrap();
    // Sends until the socket buffers of both sides have been full for a second.
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
fn thousands_of_connections_are_acknowledged() {
    // Leaves descriptors for the test in `server::capacity` that may run at the same time.
    let count = raise_descriptor_limit().saturating_sub(12_000).min(10_000) as usize;
    if count < 1000 {
        eprintln!("left out: RLIMIT_NOFILE is too small");
        return;
    }
    let (_server, address) = ack_server(&["--ack", "0", "--ack-reply", "{count}"]);
    let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(address)).collect();
    for round in ["1", "2"] {
        streams.iter_mut().for_each(|stream| stream.write_all(b"x").unwrap());
        for stream in &mut streams {
            let mut answer = [0; 16];
            let length = retry_interrupted(|| stream.read(&mut answer)).unwrap();
            assert_eq!(&answer[..length], round.as_bytes());
        }
    }
}

#[test]
fn messages_are_acknowledged_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ack");
    let server = Server::start(&["--file", "off", "--ack", &format!("unix:{}", path.display())]);
    server.wait_for_line("listening ack unix:");
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(exchange(&mut stream, "x"), "收到了你的消息");
}

#[test]
fn datagrams_are_acknowledged_from_the_address_they_were_sent_to() {
    let reply = "在{time}接收到消息";
    let (server, address) = ack_server(&["--ack-udp", ":0", "--ack-reply", reply]);
    for host in ["127.0.0.1", "::1", "127.0.0.7"] {
        // The portable build replies from 127.0.0.1, which a socket connected to 127.0.0.7 does not receive.
        if host == "127.0.0.7" && cfg!(any(evserve_portable, not(target_os = "linux"))) {
            continue;
        }
        let socket = udp_socket(SocketAddr::new(host.parse().unwrap(), address.port()));
        let answer = exchange_datagram(&socket, b"hello");
        let year = answer.strip_prefix("在").and_then(|rest| rest.strip_suffix("接收到消息")).unwrap();
        assert!(year.len() == 24, "{answer}");
    }
    drop(server);
}

#[test]
fn empty_and_maximum_size_datagrams_are_acknowledged() {
    let (_server, address) = ack_server(&["--ack-udp", "0", "--ack-reply", "{message}{bytes}"]);
    let socket = udp_socket(address);
    assert_eq!(exchange_datagram(&socket, b""), "0");
    let largest = vec![b'x'; 65_507];
    assert!(exchange_datagram(&socket, &largest).as_bytes() == largest);
    assert_eq!(exchange_datagram(&socket, b"hello"), "hello5");
}

#[test]
fn broadcast_datagrams_are_not_acknowledged() {
    let (mut server, address) = ack_server(&["--ack-udp", "0.0.0.0:0"]);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_broadcast(true).unwrap();
    // 127.255.255.255 is the broadcast address of the loopback network.
    if cfg!(any(evserve_portable, not(target_os = "linux")))
        || socket.send_to(b"hello", ("127.255.255.255", address.port())).is_err()
    {
        return;
    }
    socket.send_to(b"hello", ("127.0.0.1", address.port())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    retry_interrupted(|| socket.recv(&mut [0; 64])).unwrap();
    server.signal(rustix::process::Signal::TERM);
    assert!(server.ended().success());
    server.wait_for_line("answered 1 of 2 datagrams");
}

#[test]
fn an_empty_datagram_is_echoed_as_an_empty_datagram() {
    let (_server, address) = ack_server(&["--ack-udp", "0", "--ack-reply", "{message}"]);
    assert_eq!(exchange_datagram(&udp_socket(address), b""), "");
}

#[test]
fn udp_rate_limits_the_replies_to_a_peer() {
    let (mut server, address) = ack_server(&["--ack-udp", "0", "--udp-rate", "50"]);
    let socket = udp_socket(address);
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
fn netcat_is_acknowledged_over_tcp_and_udp() {
    let Some(nc) = tool("nc") else { return };
    let (server, tcp) = ack_server(&["--ack", "0", "--ack-udp", "0", "--ack-reply", "got {bytes}\n"]);
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
fn evclient_say_is_acknowledged_over_tcp_and_udp() {
    let (server, tcp) = ack_server(&["--ack", "0", "--ack-udp", "0", "--ack-reply", "Receive your msg"]);
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
fn a_failed_ack_udp_bind_names_the_address_and_the_option() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, said) = run(&["--html", "html", "--http", "off", "--file", "off", "--ack-udp", &address]);
    assert_eq!((code, said.lines().filter(|line| line.starts_with("evserve:")).count()), (1, 1));
    assert!(said.contains(&address) && said.contains("--ack-udp"), "{said}");
    // An acknowledging listener alone is enough to start.
    let mut command = Command::new(PROGRAM);
    command
        .args(["--http", "off", "--file", "off", "--admin", "off", "--ack", "0", "--html", "html"])
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let _server = Server::adopt(child, ([0, 0, 0, 0], 0).into(), small_site());
    let mut banner = String::new();
    stderr.read_line(&mut banner).unwrap();
    assert!(banner.contains("listening ack tcp://127.0.0.1:"), "{banner}");
}
