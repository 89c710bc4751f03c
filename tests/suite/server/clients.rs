//! Runs common clients against the server: curl, netcat, telnet, wrk, ab. To add a client, find it with
//! `tool` and run it with `output`. `documents.rs` runs the examples in the documents.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use std::path::Path;

use crate::process::{Server, at_once, large_file, output, tool};

#[test]
fn curl_gets_files_headers_and_errors() {
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
    // The upload is rejected whether or not curl waits for 100 Continue.
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
fn netcat_requests_may_end_lines_with_crlf_or_lf() {
    let Some(nc) = tool("nc") else { return };
    let server = Server::start(&[]);
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\n\n"] {
        let mut child = Command::new(&nc)
            .args(["127.0.0.1", &server.address.port().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
        let printed = child.wait_with_output().unwrap().stdout;
        assert!(printed.starts_with(b"HTTP/1.1 200 OK\r\n") && printed.ends_with(b"<p>front"));
    }
}

#[test]
fn the_telnet_session_in_the_documents_works() {
    let Some(telnet) = tool("telnet") else { return };
    let library = tempfile::tempdir().unwrap();
    let server = Server::start(&["--files", library.path().to_str().unwrap(), "--file", "0"]);
    let port = server.wait_for_line("listening file").rsplit(':').next().unwrap().to_owned();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/library.md")).unwrap();
    let (_, talk) = page.split_once("$ telnet 127.0.0.1 8888\n").unwrap();
    let (talk, _) = talk.split_once("```").unwrap();
    let mut child = Command::new(&telnet)
        .args(["127.0.0.1", &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(screen.any(|line| line.starts_with("Escape character")));
    for line in talk.lines() {
        match line.starts_with("OK ") {
            true => assert_eq!(screen.next().unwrap().trim_end(), line),
            false => writeln!(keyboard, "{line}").unwrap(),
        }
    }
    child.wait().unwrap();
    assert_eq!(fs::read(library.path().join("note.txt")).unwrap(), b"milk, bread\n");
}

#[test]
fn wrk_reports_no_socket_errors() {
    let Some(wrk) = tool("wrk") else { return };
    let server = Server::start(&[]);
    at_once(["1k.txt", "large.bin", "nowhere"], |path| {
        let url = format!("http://{}/{path}", server.address);
        let printed = output(&wrk, &["-t1", "-c64", "-d1s", "--timeout", "20s", &url]);
        assert!(printed.contains("requests in"), "{printed}");
        assert!(!printed.contains("Socket errors"), "{printed}");
        assert_eq!(printed.contains("Non-2xx"), path == "nowhere", "{printed}");
    });
}

#[test]
fn ab_reports_no_failed_requests() {
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

#[test]
fn curl_resumes_decompresses_and_revalidates_downloads() {
    let Some(curl) = tool("curl") else { return };
    let server = Server::start(&[]);
    let url = |path: &str| format!("http://{}{path}", server.address);
    let copy = server.site.path().join("copy");
    fs::write(&copy, &large_file()[..1_234_567]).unwrap();
    output(&curl, &["-sS", "--fail", "-C", "-", "-o", copy.to_str().unwrap(), &url("/large.bin")]);
    assert!(fs::read(&copy).unwrap() == large_file());
    fs::write(server.site.path().join("page.html"), "<p>words ".repeat(40_000)).unwrap();
    let printed = output(&curl, &["-sS", "--compressed", "-w", "%{size_download}", &url("/page.html")]);
    let (page, size) = printed.split_at("<p>words ".len() * 40_000);
    assert!(page == "<p>words ".repeat(40_000) && size.parse::<usize>().unwrap() < 5000, "{size} bytes");
    // A part is one of the page itself, although curl accepts a compressed one.
    let whole = "<p>words ".repeat(40_000);
    let end = output(&curl, &["-sS", "--compressed", "-r", "-1000", &url("/page.html")]);
    assert!(end == whole[whole.len() - 1000..]);
    fs::write(&copy, &whole[..100_000]).unwrap();
    let resumed = ["-sS", "--compressed", "-C", "-", "-o", copy.to_str().unwrap(), &url("/page.html")];
    output(&curl, &resumed);
    assert!(fs::read_to_string(&copy).unwrap() == whole);
    // With -z, curl sends If-Modified-Since.
    let newer = ["-sS", "-z", copy.to_str().unwrap(), "-w", "%{http_code}", &url("/page.html")];
    output(&curl, &["-sS", "-R", "-o", copy.to_str().unwrap(), &url("/page.html")]);
    assert_eq!(output(&curl, &newer), "304");
}

#[test]
fn files_over_4_gib_are_served_with_ranges() {
    let Some(curl) = tool("curl") else { return };
    let server = Server::start(&[]);
    let file = fs::File::create(server.site.path().join("huge")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"the end", (5 << 30) - 7).unwrap();
    let url = format!("http://{}/huge", server.address);
    assert!(output(&curl, &["-sSI", &url]).contains("Content-Length: 5368709120\r\n"));
    assert_eq!(output(&curl, &["-sS", "-r", "5368709113-", &url]), "the end");
    let two = output(&curl, &["-sS", "-r", "5368709113-5368709115,5368709117-", &url]);
    assert!(two.contains("\r\n\r\nthe\r\n--") && two.contains("\r\n\r\nend\r\n--"), "{two}");
}
