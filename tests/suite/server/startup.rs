//! What a start reports: usage errors, and the addresses and folders in the log. To add a usage error, add a row
//! (arguments, text) to its table; to check the log, start a `Server` and `wait_for_line`.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use rustix::process::Signal;

use crate::process::{Client, PROGRAM, Server, output, run, small_site, tool, wait_for};

/// Starts a server and returns the log of its start.
fn started(arguments: &[&str]) -> (Server, Vec<String>) {
    // The listener of --ack-udp is the last one in the log.
    let server = Server::start(&[&["--ack-udp", "0"], arguments].concat());
    server.wait_for_line("listening ack-udp");
    let lines = server.lines();
    (server, lines)
}

/// Ends the server and returns its complete log.
fn ended(server: Server) -> Vec<String> {
    server.signal(Signal::TERM);
    server.wait_for_line("requests on");
    server.lines()
}

/// Returns the address in a line such as `listening http http://127.0.0.1:80/`.
fn address_in(line: &str) -> SocketAddr {
    line.rsplit_once("//").unwrap().1.trim_end_matches('/').parse().unwrap()
}

#[test]
fn unknown_arguments_are_shown_with_the_nearest_option() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    for (argument, expected) in [
        (".", "unknown argument \".\"; did you mean --html \".\"?"),
        ("..", "unknown argument \"..\"; did you mean --html \"..\"?"),
        (folder, &format!("unknown argument {folder:?}; did you mean --html {folder:?}?")),
        ("nowhere.", "unknown argument \"nowhere.\";"),
        ("8080", "unknown argument \"8080\"; did you mean --http 8080?"),
        ("--htp", "unknown argument \"--htp\"; did you mean --http?"),
        ("--acces-log=x", "unknown argument \"--acces-log\"; did you mean --access-log?"),
        ("--nonsense", "unknown argument \"--nonsense\";"),
    ] {
        let expected = format!("evserve: {expected} evserve --help lists the options\n");
        assert_eq!(run(&[argument]), (2, String::new(), expected));
    }
}

#[test]
#[cfg(feature = "client")]
fn evclient_names_the_nearest_option_too() {
    let run = |argument| Command::new(env!("CARGO_BIN_EXE_evclient")).arg(argument).output().unwrap();
    for (argument, expected) in [
        ("--dialct", "unknown argument \"--dialct\"; did you mean --dialect?"),
        ("--udp=1", "--udp takes no value, but was given \"1\";"),
        ("--x.", "unknown argument \"--x.\";"),
    ] {
        let output = run(argument);
        let expected = format!("evclient: {expected} evclient --help lists the commands\n");
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(2), expected));
    }
}

#[test]
fn sizes_and_times_may_have_fractions_and_long_units() {
    let library = tempfile::tempdir().unwrap();
    let server = Server::start(&[
        "--files",
        library.path().to_str().unwrap(),
        "--max-upload",
        "1.5KiB",
        "--idle-timeout",
        "0.2s",
    ]);
    let mut client = server.connect();
    let mut put = |name: &str, length: usize| {
        let body = "x".repeat(length);
        client.send(format!(
            "PUT /files/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        client.response().status
    };
    assert_eq!((put("a", 1536), put("b", 1537)), (201, 413));
    // An idle connection is closed by its timeout.
    let mut idle = server.connect();
    idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    idle.expect_end();
}

#[test]
fn a_start_that_fails_announces_no_listener() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let taken_udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken_udp = taken_udp.local_addr().unwrap().to_string();
    let site = small_site();
    for (option, address) in [("--file", &taken), ("--ack", &taken), ("--ack-udp", &taken_udp)] {
        let html = site.path().to_str().unwrap();
        let (code, out, err) = run(&["--html", html, "--http", "0", option, address]);
        let expected = format!(
            "evserve: cannot listen on {address}: the address is in use; stop the other server, or choose another address with {option}\n"
        );
        assert_eq!((code, out.as_str(), err), (1, "", expected));
    }
}

#[test]
fn listeners_are_announced_in_order_and_in_a_fixed_format() {
    let (_server, lines) = started(&["--file", "0", "--ack", "0"]);
    let lines: Vec<&str> = lines.iter().filter_map(|line| Some(line.split_once("[INFO] ")?.1)).collect();
    let port = |line: &str| address_in(line).port();
    let (http, file, ack, udp) = (port(lines[0]), port(lines[2]), port(lines[3]), port(lines[4]));
    assert_eq!(
        lines[..5],
        [
            format!("listening http http://127.0.0.1:{http}/"),
            format!("only this machine can connect; --http :{http} opens it to the network"),
            format!("listening file tcp://127.0.0.1:{file}"),
            format!("listening ack tcp://127.0.0.1:{ack}"),
            format!("listening ack-udp udp://127.0.0.1:{udp}"),
        ]
    );
}

#[test]
fn localhost_listens_on_both_loopback_addresses() {
    let (server, lines) = started(&["--http", "localhost:0", "--file", "off"]);
    let listening: Vec<&String> = lines.iter().filter(|line| line.contains("listening http")).collect();
    let addresses: Vec<SocketAddr> = listening.iter().map(|line| address_in(line)).collect();
    assert_eq!(addresses[0], SocketAddr::from(([127, 0, 0, 1], server.address.port())));
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    assert_eq!(addresses.len(), 1 + usize::from(has_ipv6), "{lines:?}");
    for address in &addresses {
        assert!(address.ip().is_loopback() && address.port() == server.address.port(), "{address}");
        let mut client = Client::new(TcpStream::connect(address).unwrap());
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.response().status, 200, "{address}");
    }
    assert_eq!(lines.iter().filter(|line| line.contains("only this machine")).count(), 1, "{lines:?}");
}

#[test]
fn a_listener_on_all_interfaces_names_the_addresses_that_reach_it() {
    // The kernel chooses the source address of a datagram to another network; nothing is sent.
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.99:9")?;
        socket.local_addr()
    });
    let Some(own) = own.ok().map(|own| own.ip()).filter(|own| !own.is_loopback()) else {
        eprintln!("left out: this machine has no other address than loopback");
        return;
    };
    let (server, lines) = started(&["--http", ":0", "--file", "0.0.0.0:0"]);
    let reachable: Vec<&str> =
        lines.iter().filter_map(|line| Some(line.split_once("reachable at ")?.1)).collect();
    let urls: Vec<&str> = reachable[0].split(' ').collect();
    assert!(urls.contains(&format!("http://{own}:{}/", server.address.port()).as_str()), "{lines:?}");
    assert!((1..=8).contains(&urls.len()), "{urls:?}");
    for url in urls {
        let address = address_in(url);
        assert!(!address.ip().is_loopback(), "{url}");
        let mut client = Client::new(TcpStream::connect(address).unwrap());
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().status, 200, "{url}");
    }
    assert!(reachable[1].starts_with(&format!("tcp://{own}:")) && !reachable[1].contains('['), "{lines:?}");
    // The line comes after the one that programs parse.
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    assert_eq!(at("reachable at http"), at("listening http http://") + 1);
}

#[test]
fn a_taken_default_port_of_the_file_protocol_is_an_info_line() {
    // The bind fails if another program has the port, which is as good, unless that is the server of another test
    // and ends.
    let (server, lines, line) = wait_for("a taken port", || {
        let _taken = TcpListener::bind("127.0.0.1:8888");
        let (server, lines) = started(&[]);
        let line = lines.iter().find(|line| line.contains("127.0.0.1:8888 is in use")).cloned()?;
        Some((server, lines, line))
    });
    assert!(line.contains("[INFO] ") && line.contains("--file PORT gives it another port"), "{line}");
    assert!(!lines.iter().any(|line| line.contains("[WARN]")), "{lines:?}");
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn entries_that_the_library_does_not_show_are_counted_at_start() {
    let library = tempfile::tempdir().unwrap();
    let path = |name: &str| library.path().join(name);
    let start = || {
        let server = Server::start(&["--files", library.path().to_str().unwrap(), "--file", "off"]);
        ended(server).into_iter().filter(|line| line.contains("not shown")).collect::<Vec<_>>()
    };
    fs::write(path("a.txt"), "a").unwrap();
    fs::create_dir(path(".evserve-partial")).unwrap();
    assert_eq!(start(), [""; 0]);
    fs::create_dir(path("sub")).unwrap();
    fs::create_dir(path("sub2")).unwrap();
    fs::write(path(".hidden"), "h").unwrap();
    fs::write(library.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "c").unwrap();
    std::os::unix::fs::symlink("a.txt", path("link")).unwrap();
    let lines = start();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let counts = format!(
        "not shown in {}: 5 (subfolders: 2, symbolic links: 1, dot files: 1, names that are not UTF-8: 1)",
        library.path().display()
    );
    assert!(lines[0].contains("[INFO] ") && lines[0].ends_with(&counts), "{lines:?}");
}

#[test]
fn tls_on_the_plain_port_is_logged_once() {
    let server = Server::start(&[]);
    // The beginning of a ClientHello.
    for _ in 0..3 {
        let mut client = server.connect();
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        assert_eq!(client.response().status, 400);
    }
    // Other garbage is no TLS.
    let mut client = server.connect();
    client.send(b"\x16\x02\x01");
    assert_eq!(client.response().status, 400);
    drop(client);
    let lines = ended(server);
    let tls = lines.iter().filter(|line| line.contains("spoke TLS to the plain HTTP listener"));
    assert!(tls.clone().count() == 1 && tls.clone().all(|line| line.contains("[WARN] ")), "{lines:?}");
}

#[test]
fn https_of_curl_is_logged_as_tls() {
    let Some(curl) = tool("curl") else { return };
    let server = Server::start(&[]);
    let url = format!("https://{}/", server.address);
    assert!(!Command::new(&curl).args(["-sS", "-k", &url]).output().unwrap().status.success());
    server.wait_for_line("spoke TLS to the plain HTTP listener");
    assert_eq!(output(&curl, &["-sS", &url.replace("https", "http")]), "<p>front");
}

#[test]
fn an_argument_that_is_not_utf_8_is_a_usage_error() {
    let argument = std::ffi::OsStr::from_bytes(b"--h\xff");
    let output = Command::new(PROGRAM).arg(argument).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let expected = "evserve: \"--h\\xFF\" is not UTF-8; evserve --help lists the options\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}
