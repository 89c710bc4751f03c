//! `evserve top` with a server of the test. To add a wrong server, add a row to `WRONG`; to add a case for the
//! terminal, press keys and wait for a text.

mod mock;
mod terminal;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use crate::process::{at_once, run, wait_for};
use mock::{Mock, Reply, frame, response};

#[test]
fn top_prints_one_report_without_a_terminal() {
    let mock = Mock::evserve();
    let address = mock.address.to_string();
    for arguments in [&["top", &address][..], &["top", "--once", &address], &["top", &address, "--sort=age"]]
    {
        let (code, printed, errors) = run(arguments);
        assert_eq!((code, &*errors), (0, ""), "{printed}");
        let lines: Vec<&str> = printed.lines().collect();
        assert!(lines[0].starts_with(&format!("evserve 0.1.0  {address}  up ")), "{printed}");
        assert!(
            lines.contains(&"open     2 of 16000: http 2, file 0, ack 0, admin 1; rejected 0"),
            "{printed}"
        );
        assert!(printed.contains("\ntraffic  40 requests/s,"), "{printed}");
        let row = "17  http      idle    127.0.0.1:50000            0ms       0ms   0  2.0K       0         0  waits \
                   for the next request";
        assert!(lines.contains(&row), "{printed}");
        assert!(printed.contains("127.0.0.1:50001?]0;title?  "), "{printed}");
        assert!(!printed.contains(|letter: char| letter.is_control() && letter != '\n'), "{printed:?}");
    }
    let mut targets = mock.targets();
    targets.drain(..4);
    assert_eq!(targets, ["/loop.json?sort=age&order=desc&limit=1", "/loop.json?sort=age&order=desc"]);
}

/// Replies to every request, and a part of the error.
const WRONG: &[(&str, &str)] = &[
    ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered with 404; give the address of --admin"),
    ("HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "answered with 301"),
    ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "--host NAME"),
    ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "the server answers 503"),
    ("HTTP/1.1 200 OK\r\n\r\n<html>\x1b[2J", "is not its JSON"),
    ("HTTP/1.1 200 OK\r\n\r\n{\"version\":\"\x1b[2J\"}", "is not its JSON"),
    ("HTTP/1.1 200 OK\r\n\r\n{\"version\":7}", "version 7 of the admin interface"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "the server closed the connection"),
    ("SSH-2.0-OpenSSH_9.2\r\n", "it does not answer in HTTP"),
    ("", "the server closed the connection"),
];

#[test]
fn top_explains_in_one_line_that_a_server_is_not_evserve() {
    at_once(WRONG, |(reply, named)| {
        let mock = Mock::start(|_, _| Reply::End(reply.as_bytes().to_vec()));
        let (code, printed, errors) = run(&["top", "--once", &mock.address.to_string()]);
        assert_eq!((code, &*printed, errors.lines().count()), (1, "", 1), "{errors}");
        assert!(
            errors.starts_with("evserve top: ") && errors.contains(&mock.address.to_string()),
            "{errors}"
        );
        assert!(errors.contains(named), "{named:?} is not in {errors}");
        assert!(!errors.contains('\x1b'), "{errors:?}");
    });
}

/// Binds a socket that does not listen: it rejects connections, and keeps the port from other programs.
fn bound_port() -> (OwnedFd, SocketAddr) {
    let bound = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = SocketAddr::try_from(getsockname(&bound).unwrap()).unwrap();
    (bound, address)
}

#[test]
fn top_says_what_to_do_if_no_server_listens() {
    let (_bound, address) = bound_port();
    for given in [address.to_string(), address.port().to_string(), format!("localhost:{}", address.port())] {
        let (code, printed, errors) = run(&["top", &given]);
        assert_eq!((code, &*printed, errors.lines().count()), (1, "", 1), "{errors}");
        assert!(errors.contains(&format!(":{}", address.port())), "{errors}");
        assert!(errors.contains("is evserve running there with --admin?"), "{errors}");
    }
}

#[test]
fn top_tries_every_address_of_a_name() {
    // The port is listened on over IPv6, and only bound over IPv4.
    let (bound, listener) = wait_for("a port that is free over both", || {
        let (bound, address) = bound_port();
        Some((bound, TcpListener::bind(("::1", address.port())).ok()?))
    });
    let mock =
        Mock::start_on(listener, |_, uptime| Reply::Keep(response("application/json", &frame(uptime))));
    let (code, printed, errors) = run(&["top", &format!("localhost:{}", mock.address.port())]);
    assert_eq!((code, &*errors), (0, ""), "{printed}");
    drop(bound);
}

#[test]
fn top_reports_to_a_server_that_ends_each_connection() {
    let mock = Mock::start(|_, uptime| Reply::End(response("application/json", &frame(uptime))));
    let (code, printed, errors) = run(&["top", &mock.address.to_string()]);
    assert_eq!((code, &*errors), (0, ""), "{printed}");
}

#[test]
fn top_rejects_a_wrong_command_line() {
    for (arguments, named) in [
        (&["top", "a b"][..], "\"a b\""),
        (&["top", "--sort", "size"], "\"size\""),
        (&["top", "--spa"], "--spa"),
    ] {
        let (code, printed, errors) = run(arguments);
        assert_eq!((code, &*printed, errors.lines().count()), (2, "", 1), "{errors}");
        assert!(errors.starts_with("evserve top: ") && errors.contains(named), "{errors}");
    }
}
