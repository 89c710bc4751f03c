//! `/healthz`, and the host names under which the other paths answer. To add a name, add it to the table.

use std::collections::BTreeMap;

use rustix::process::Signal;

use super::{Admin, begin_download, counted};
use crate::process::wait_for;

#[test]
fn the_server_is_healthy_under_every_name() {
    let admin = Admin::start(&[]);
    for host in ["Host: localhost\r\n", "Host: probe.example\r\n", "Host: 10.1.2.3:80\r\n", "Host: \r\n"] {
        let mut client = admin.connect();
        client.send(format!("GET /healthz HTTP/1.1\r\n{host}\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "ok\n"), "{host}");
    }
    // Balancers of HTTP/1.0 send no Host.
    let mut client = admin.connect();
    client.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!((client.response().status, client.rest()), (200, Vec::new()));
    let mut client = admin.connect();
    client.send("HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(client.rest().starts_with(b"HTTP/1.1 200 "));
    let post = admin.request("POST", "/healthz", "Content-Length: 0\r\n");
    assert_eq!((post.status, post.field("Allow")), (405, Some("GET, HEAD")));
}

#[test]
fn a_server_that_drains_is_not_healthy_and_answers_until_its_end() {
    let mut admin = Admin::start(&["--drain-timeout", "60s"]);
    let slow = begin_download(&admin.server, "slow.bin");
    admin.connection(&slow, "sending");
    assert_eq!(admin.get("/healthz").status, 200);
    admin.server.signal(Signal::TERM);
    let draining = wait_for("503", || Some(admin.get("/healthz")).filter(|response| response.status == 503));
    assert_eq!(draining.text(), "draining\n");
    let state = admin.state("");
    assert_eq!((&state["draining"], &state["open"]["http"]), (&true.into(), &1.into()));
    // The turns are still numbered without a gap.
    assert_eq!(state["turn"], counted(&state["turns"]["time_us"]));
    assert!(admin.get("/metrics").text().contains("\nevserve_draining 1\n"));
    drop(slow);
    assert!(admin.server.ended().success());
}

/// Host names, and whether the admin interface answers under them with `--host Admin.Example`.
const HOSTS: [(&str, bool); 18] = [
    ("localhost", true),
    ("LOCALHOST", true),
    ("localhost:7891", true),
    ("127.0.0.1", true),
    ("127.0.0.1:80", true),
    ("192.0.2.7:7891", true),
    ("[::1]", true),
    ("[::1]:7891", true),
    ("[2001:db8::1]", true),
    ("admin.example", true),
    ("ADMIN.example:7891", true),
    ("evil.example", false),
    ("evil.example:7891", false),
    ("localhost.evil.example", false),
    ("127.0.0.1.evil.example", false),
    ("admin.example.evil.example", false),
    ("xadmin.example", false),
    ("", false),
];

#[test]
fn other_paths_answer_only_under_the_names_of_the_server() {
    let admin = Admin::start(&["--host", "Admin.Example"]);
    let paths =
        ["GET /", "GET /page.js", "GET /loop.json", "GET /metrics", "HEAD /events", "DELETE /connections/1"];
    for (host, is_own) in HOSTS {
        let mut statuses = BTreeMap::new();
        for path in paths {
            let mut client = admin.connect();
            client.send(format!("{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
            let received = String::from_utf8(client.rest()).unwrap();
            statuses.insert(path, received["HTTP/1.1 ".len()..][..3].to_owned());
            let is_refused = received.contains("only if --host names it");
            // A HEAD has no body that says why.
            assert_eq!(is_refused, !is_own && !path.starts_with("HEAD"), "{host} {path}: {received}");
        }
        // The write has no token.
        let expected = |path: &str| if is_own && !path.starts_with("DELETE") { "200" } else { "403" };
        assert!(statuses.iter().all(|(path, status)| status == expected(path)), "{host}: {statuses:?}");
    }
    // Without --host, a name is unknown.
    let admin = Admin::start(&[]);
    let mut client = admin.connect();
    client.send("GET /loop.json HTTP/1.1\r\nHost: admin.example\r\n\r\n");
    assert_eq!(client.response().status, 403);
}
