//! The clients that people have: curl, netcat, wrk, ab.

use std::fs;
use std::process::{Command, Stdio};

use crate::process::{Server, large_file, output, tool};

#[test]
fn curl() {
    let Some(curl) = tool("curl") else { return };
    let server = Server::start(&[]);
    let url = |path: &str| format!("http://{}{path}", server.address);
    assert_eq!(output(&curl, &["-sS", "--fail", &url("/")]), "<p>front");
    let copy = server.site.path().join("copy");
    output(&curl, &["-sS", "--fail", "-o", copy.to_str().unwrap(), &url("/large.bin")]);
    assert!(fs::read(copy).unwrap() == large_file());
    // Two requests, one connection.
    let connects = ["-sS", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} "];
    assert_eq!(output(&curl, &[&connects[..], &[&url("/1k.txt"), &url("/")]].concat()), "1 0 ");
    assert!(output(&curl, &["-sSI", &url("/")]).contains("Content-Length: 8\r\n"));
    assert!(output(&curl, &["-sSi", "-X", "OPTIONS", &url("/")]).contains("Allow: GET, HEAD, OPTIONS"));
    // An upload is refused without being sent, or with; both end well.
    let large = server.site.path().join("large.bin");
    for expect in ["Expect: 100-continue", "Expect:"] {
        let code = output(
            &curl,
            &[
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-H",
                expect,
                "-T",
                large.to_str().unwrap(),
                &url("/x"),
            ],
        );
        assert_eq!(code, "405");
    }
    assert_eq!(
        output(&curl, &["-sSL", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}", &url("/sub")]),
        "404 1"
    );
}

#[test]
fn netcat() {
    let Some(nc) = tool("nc") else { return };
    let server = Server::start(&[]);
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\n\n"] {
        let mut child = Command::new(&nc)
            .args(["127.0.0.1", &server.address.port().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), request.as_bytes()).unwrap();
        let printed = child.wait_with_output().unwrap().stdout;
        assert!(printed.starts_with(b"HTTP/1.1 200 OK\r\n") && printed.ends_with(b"<p>front"));
    }
}

#[test]
fn wrk() {
    let Some(wrk) = tool("wrk") else { return };
    let server = Server::start(&[]);
    for path in ["1k.txt", "large.bin", "nowhere"] {
        let url = format!("http://{}/{path}", server.address);
        let printed = output(&wrk, &["-t1", "-c64", "-d1s", "--timeout", "20s", &url]);
        assert!(printed.contains("requests in"), "{printed}");
        assert!(!printed.contains("Socket errors"), "{printed}");
        assert_eq!(printed.contains("Non-2xx"), path == "nowhere", "{printed}");
    }
}

#[test]
fn ab() {
    let Some(ab) = tool("ab") else { return };
    let server = Server::start(&[]);
    let url = format!("http://{}/1k.txt", server.address);
    for (keep_alive, expected) in
        [("-k", "Keep-Alive requests:    5000"), ("-d", "Complete requests:      5000")]
    {
        let printed = output(&ab, &["-q", keep_alive, "-n", "5000", "-c", "50", &url]);
        assert!(printed.contains("Failed requests:        0") && printed.contains(expected), "{printed}");
    }
}
