//! Clients that speak the wrong protocol, and failed handshakes as the log names them.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};

use super::server::{Https, address_in, printed, warnings};
use crate::process::{Client, output, tool, wait_for};

#[test]
fn plain_http_on_the_tls_port_gets_a_readable_400() {
    let https = Https::start(&[]);
    let plain = |request: &str| {
        let mut client = Client::new(TcpStream::connect(https.address).unwrap());
        client.send(request);
        let response = client.response();
        client.expect_end();
        assert_eq!((response.status, response.closes()), (400, true), "{request:?}");
        assert_eq!(response.text(), "This port needs TLS: use https://.\r\n");
        assert_eq!(response.field("Strict-Transport-Security"), None);
    };
    plain("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    plain("GET / HTTP/1.0\r\n\r\n");
    plain("\r\nGET / HTTP/1.1\r\n\r\n");
    plain("x");
    let Some(curl) = tool("curl") else { return };
    let url = https.url("/").replace("https", "http");
    let text = output(&curl, &["-sS", "-w", "%{http_code}", &url]);
    assert_eq!(text, "This port needs TLS: use https://.\r\n400");
}

#[test]
fn a_large_plain_upload_to_the_tls_port_gets_the_400_too() {
    let https = Https::start(&[]);
    for _ in 0..20 {
        let mut client = Client::new(TcpStream::connect(https.address).unwrap());
        // The server may close before it has received everything.
        let head = "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n";
        let _ = client.stream.write_all(&[head.as_bytes(), &[0; 200_000]].concat());
        assert_eq!(client.response().status, 400);
    }
}

#[test]
fn a_plain_file_client_on_the_tls_port_gets_an_error_line() {
    let Some(nc) = tool("nc") else { return };
    let https = Https::start(&["--file-tls", "0"]);
    let address = address_in(&https.server.wait_for_line("listening file-tls"));
    let mut command = Command::new(nc);
    command.args(["127.0.0.1", &address.port().to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"LIST\r\n").unwrap();
    let shown = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(shown.starts_with("ERR ") && shown.contains("TLS") && shown.lines().count() == 1, "{shown:?}");
}

#[test]
fn tls_on_the_plain_port_is_logged_once_in_words() {
    let Some(curl) = tool("curl") else { return };
    let https = Https::start(&[]);
    let url = format!("https://{}/", https.server.address);
    for _ in 0..3 {
        assert!(!Command::new(&curl).args(["-sS", "-k", &url]).output().unwrap().status.success());
    }
    let line = https.server.wait_for_line("spoke TLS to the plain HTTP listener");
    assert!(line.contains("[WARN]"), "{line}");
    // A request that is answered later shows that the log is complete.
    assert_eq!(https.server.get("/").status, 200);
    assert_eq!(https.server.count_lines("spoke TLS"), 1);
}

#[test]
fn the_log_distinguishes_a_failed_handshake_from_a_peer_that_left() {
    if tool("curl").is_none() {
        return;
    }
    let https = Https::start(&["--log-level", "debug"]);
    let closed = |reason: &str| https.server.count_lines(reason);
    // The client does not trust the certificate, and says so.
    let mut command = Command::new(tool("curl").unwrap());
    let rejected = command.args(["-sS", &https.url("/")]).output().unwrap();
    assert_eq!(rejected.status.code(), Some(60), "{}", printed(&rejected));
    let line = https.server.wait_for_line("TLS: ");
    assert!(line.contains("[DEBUG]") && line.contains("UnknownCA"), "{line}");
    wait_for("the close", || (closed("the TLS handshake failed") == 1).then_some(()));
    assert_eq!(closed("the peer closed before"), 0);
    // Clients that connect and leave, before and within the ClientHello.
    for (bytes, number) in [(&b""[..], 1), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 2)] {
        let mut stream = TcpStream::connect(https.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        wait_for("the close", || (closed("the peer closed before its request") == number).then_some(()));
    }
    assert_eq!((closed("the TLS handshake failed"), closed("TLS: ")), (1, 1));
    // Garbage is a failed handshake.
    let mut client = Client::new(TcpStream::connect(https.address).unwrap());
    client.send(b"\x16\x03\x01\x00\x05hello");
    client.rest();
    wait_for("the close", || (closed("the TLS handshake failed") == 2).then_some(()));
    // The debug lines are all at that level.
    assert_eq!(warnings(&https.server.lines()), [""; 0]);
}

#[test]
fn failed_handshakes_are_not_logged_at_the_usual_level() {
    let https = Https::start(&[]);
    for _ in 0..20 {
        let mut client = Client::new(TcpStream::connect(https.address).unwrap());
        client.send(b"\x16\x03\x01\x00\x05hello");
        client.rest();
    }
    assert_eq!(https.server.get("/").status, 200);
    let is_of_tls = |line: &String| line.contains("TLS") || line.contains("closed");
    assert!(!https.server.lines().iter().any(is_of_tls), "{:?}", https.server.lines());
}

#[test]
fn a_slow_handshake_ends_at_the_head_timeout() {
    let https = Https::start(&["--head-timeout", "300ms", "--log-level", "debug"]);
    let mut client = Client::new(TcpStream::connect(https.address).unwrap());
    client.send(b"\x16\x03\x01\x02\x00");
    client.rest();
    https.server.wait_for_line("TLS handshake timeout");
}
