//! Startup, listeners, signals and shutdown. To add a case, add a row (arguments, exit code, word) to
//! `startup_errors_are_reported_in_one_line`, or send a signal to a `Server`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::process::{Client, PROGRAM, Server, run, small_site, wait_for};

const GET: &str = "GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn help_and_version_are_printed_to_stdout() {
    let (code, out, err) = run(&["--help"]);
    assert!(code == 0 && out.contains("--html") && err.is_empty());
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, out.as_str()), (0, concat!("evserve ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn startup_errors_are_reported_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let site = small_site();
    let html = site.path().to_str().unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--prot", "80"], 2, "--prot"),
        (&["--http"], 2, "--http"),
        (&["--html", html, "--http", "x"], 1, "--http \"x\""),
        (&["--html", html, "--http", "off"], 1, "no listener is configured"),
        (&["--html", html, "--idle-timeout=0"], 1, "--idle-timeout"),
        (&["--html", html, "--file", "x"], 1, "--file"),
        (&["--html", html, "--cache-control", "*.js=sometimes"], 1, "--cache-control"),
        (&["--html", html, "--header", "Content-Length: 5"], 1, "--header"),
        (&["--html", html, "--mime", "x3d"], 1, "--mime"),
        (&["--html", &format!("{html}/sub"), "--spa"], 1, "--spa"),
        (&["--html", "/nowhere"], 1, "/nowhere"),
        (&["--html", "/etc/passwd"], 1, "/etc/passwd"),
        (&["--html", html, "--http", &taken], 1, &taken),
        (&["--html", html, "--http", "192.0.2.1:80"], 1, "192.0.2.1:80"),
        (&["--html", html, "--http", "unix:/nowhere/socket"], 1, "unix:/nowhere/socket"),
    ];
    for (arguments, expected, named) in cases {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (*expected, ""), "{arguments:?}: {err}");
        let lines: Vec<&str> = err.lines().filter(|line| !line.contains("[WARN]")).collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with("evserve: ") && lines[0].contains(named),
            "{arguments:?}: {err}"
        );
    }
}

#[test]
fn a_small_descriptor_limit_is_logged() {
    let server = Server::start_within(100, &[]);
    server.wait_for_line("RLIMIT_NOFILE is 100");
}

#[test]
fn the_soft_descriptor_limit_is_raised_to_the_hard_limit() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -S -n 100; exec \"$0\" \"$@\"", PROGRAM]);
    let server = Server::start_with(shell, small_site(), &[]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{line}");
}

#[test]
fn several_listeners_serve_ipv4_and_ipv6() {
    let server = Server::start(&["--http", "0", "--http", ":0"]);
    let banner = server.wait_for_line("listening http http://[::]:");
    let port: u16 = banner.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let addresses = [
        server.address,
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ];
    for address in addresses {
        let mut client = Client::new(TcpStream::connect(address).unwrap());
        client.send(GET);
        assert_eq!(client.response().status, 200, "{address}");
    }
    server.wait_for_line("only this machine can connect");
}

#[test]
fn a_single_ipv6_listener_serves_requests() {
    let server = Server::start(&["--http=[::1]:0"]);
    assert!(server.address.is_ipv6());
    assert_eq!(server.get("/1k.txt").status, 200);
}

#[test]
fn a_stale_unix_socket_is_replaced_and_removed_at_exit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let address = format!("unix:{}", path.display());
    // A closed listener leaves its socket file behind.
    drop(UnixListener::bind(&path).unwrap());
    let mut server = Server::start(&["--http", &address]);
    server.wait_for_line(&format!("listening http {address}"));
    let file = fs::symlink_metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("<p>front"), "{response}");

    // A socket in use is not replaced, and neither is an ordinary file.
    let site = small_site();
    let html = site.path().to_str().unwrap();
    let (code, _, err) = run(&["--html", html, "--http", &address]);
    assert!(code == 1 && err.contains("in use"), "{err}");
    let other = folder.path().join("file");
    fs::write(&other, "mine").unwrap();
    let (code, ..) = run(&["--html", html, "--http", &format!("unix:{}", other.display())]);
    assert_eq!((code, fs::read_to_string(&other).unwrap().as_str()), (1, "mine"));

    server.signal(Signal::TERM);
    assert!(server.ended().success());
    assert!(!path.exists());
}

#[test]
fn the_time_page_shows_local_time() {
    // A rule such as CST-8 needs no zoneinfo, the name of a zone does.
    for (zone, named) in [("CST-8", false), ("Asia/Shanghai", true)] {
        if named && !std::path::Path::new("/usr/share/zoneinfo").join(zone).exists() {
            eprintln!("left out: no table of time zones is installed");
            continue;
        }
        let mut command = Command::new(PROGRAM);
        command.env("TZ", zone);
        let server = Server::start_with(command, small_site(), &[]);
        let response = server.get("/time");
        let date = httpdate::parse_http_date(response.field("Date").unwrap()).unwrap();
        let local = httpdate::fmt_http_date(date + std::time::Duration::from_secs(8 * 3600));
        // The formats are `Sat, 21 Nov 2026 16:58:54 GMT` and `Sat Nov 21 16:58:54 2026`.
        let time = response.text().split_whitespace().nth(3).unwrap().to_owned();
        assert!(local.contains(&time), "{zone}: {local} and {time}");
    }
}

#[test]
fn sigterm_and_sigint_drain_and_exit_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&[]);
        let mut idle = server.connect();
        idle.send(GET);
        idle.response();
        server.signal(signal);
        idle.expect_end();
        assert_eq!(server.ended().code(), Some(0));
        assert!(TcpStream::connect(server.address).is_err());
    }
}

#[test]
fn draining_completes_requests_in_progress() {
    let mut server = Server::start(&[]);
    let mut begun = server.connect();
    begun.send(&GET[..10]);
    let mut large = server.connect();
    large.send("GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for("the first bytes", || large.stream.peek(&mut [0; 1]).ok());
    let mut both = server.connect();
    both.send(format!("{GET}{}", &GET[..10]));
    both.response();
    server.signal(Signal::TERM);
    server.wait_for_line("draining");
    for client in [&mut begun, &mut both] {
        client.send(&GET[10..]);
        let response = client.response();
        assert_eq!((response.status, response.closes()), (200, true));
        client.expect_end();
    }
    assert!(large.response().body == crate::process::large_file());
    // The server lingers for clients that stay connected.
    drop((begun, both, large));
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_second_signal_or_the_drain_timeout_ends_the_drain() {
    let stuck = |server: &Server| {
        let mut client = server.connect();
        client.send("GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20));
        wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
        client
    };
    let mut server = Server::start(&[]);
    let _client = stuck(&server);
    server.signal(Signal::TERM);
    server.wait_for_line("draining 1 connections");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(128 + 15));

    let mut server = Server::start(&["--drain-timeout", "300ms"]);
    let _client = stuck(&server);
    server.signal(Signal::INT);
    server.wait_for_line("closing 1 connections");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn sigterm_under_load_breaks_no_response() {
    for _ in 0..5 {
        let mut server = Server::start_with(Command::new(PROGRAM), small_site(), &[]);
        let address = server.address;
        let (answered, ending) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Ok(stream) = TcpStream::connect(address) {
                        let mut client = Client::new(stream);
                        // A request sent before the listener closed gets a complete response; later
                        // clients cannot connect.
                        while client.stream.write_all(GET.as_bytes()).is_ok() {
                            let Some(response) = client.try_response() else {
                                assert!(ending.load(Ordering::SeqCst), "closed without an answer");
                                break;
                            };
                            assert_eq!((response.status, response.body.len()), (200, 1024));
                            answered.fetch_add(1, Ordering::SeqCst);
                            if response.closes() {
                                break;
                            }
                        }
                    }
                });
            }
            wait_for("load", || (answered.load(Ordering::SeqCst) > 500).then_some(()));
            ending.store(true, Ordering::SeqCst);
            server.signal(Signal::TERM);
            assert_eq!(server.ended().code(), Some(0));
        });
    }
}
