//! Why a connection waits, in the words of `/loop.json`. To add a reason, bring a client's connection into that state and
//! call `assert_waits`.

use std::fs;

use serde_json::Value;

use super::{Admin, begin_download};
use crate::process::{Client, wait_for};

/// Waits until the connection of a client has this phase and a reason that begins with `why`. Returns its state.
#[track_caller]
fn assert_waits(admin: &Admin, client: &Client, phase: &str, why: &str) -> Value {
    let mut last = None;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for(why, || {
            last = admin.find(&client.stream);
            last.clone().filter(|one| one["phase"] == *phase && one["why"].as_str().unwrap().starts_with(why))
        })
    }));
    found.unwrap_or_else(|_| panic!("{phase}, {why}: {last:?}"))
}

/// Checks the end of a reason, and that it agrees with the deadline.
#[track_caller]
fn assert_closes(connection: &Value) {
    let why = connection["why"].as_str().unwrap();
    let seconds = why.rsplit_once("; closes in ").and_then(|(_, end)| end.strip_suffix(" s"));
    let seconds: f64 = seconds.unwrap_or_else(|| panic!("{why}")).parse().unwrap();
    let deadline = connection["deadline_ms"].as_f64().unwrap() / 1000.0;
    assert!((seconds - deadline).abs() < 0.1, "{why}, {deadline}");
}

#[test]
fn http_connections_say_what_they_wait_for() {
    let library = tempfile::tempdir().unwrap();
    let admin = Admin::start(&["--files", library.path().to_str().unwrap(), "--write-timeout", "600s"]);
    let mut client = admin.server.connect();
    let first = assert_waits(&admin, &client, "idle", "waits for the first request");
    assert_closes(&first);
    assert_eq!((&first["version"], &first["in"], &first["requests"]), (&Value::Null, &0.into(), &0.into()));
    client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    client.response();
    let next = assert_waits(&admin, &client, "idle", "waits for the next request");
    assert_closes(&next);
    assert_eq!((&next["version"], &next["tls"]), (&"HTTP/1.1".into(), &false.into()));
    client.send("GET /1k.txt HTTP/1.0\r\nHost: h");
    let half = assert_waits(&admin, &client, "request", "waits for the rest of a request head");
    assert_closes(&half);
    assert_eq!(half["unread"], 29);

    let mut upload = admin.server.connect();
    upload.send("PUT /files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhal");
    assert_closes(&assert_waits(&admin, &upload, "body", "waits for the rest of an upload"));
    upload.send("f a body");
    assert_eq!(upload.response().status, 201);

    // The server responds after a pause of 300 ms, which may be over before the state is read.
    let body = wait_for("an unused body", || {
        let mut client = admin.server.connect();
        client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
        let state = admin.find(&client.stream).filter(|state| state["phase"] == "body")?;
        let why = state["why"].as_str().unwrap();
        why.starts_with("waits for the rest of a request body that it does not use; continues in")
            .then_some(client)
    });
    // After a pause the response is sent, and the rest of the body is still read.
    assert_closes(&assert_waits(&admin, &body, "body", "has responded, and waits for the rest"));

    let download = begin_download(&admin.server, "blocked.bin");
    let blocked = assert_waits(
        &admin,
        &download,
        "sending",
        "waits for the client to receive: its socket accepts no more",
    );
    assert_closes(&blocked);
    let number = |member: &str| blocked[member].as_u64().unwrap();
    assert!(number("queued") > 20_000_000 && number("out") > 0, "{blocked}");
    assert!((30_000_000..30_001_000).contains(&(number("queued") + number("out"))), "{blocked}");

    let mut rejected = admin.server.connect();
    rejected.send("GARBAGE\r\n\r\n");
    assert_eq!(rejected.response().status, 400);
    assert_closes(&assert_waits(
        &admin,
        &rejected,
        "lingering",
        "has sent everything, and drops what the client still sends",
    ));
}

#[test]
fn connections_of_the_admin_interface_say_what_they_wait_for() {
    let admin = Admin::start(&[]);
    let idle = admin.connect();
    assert_closes(&assert_waits(&admin, &idle, "idle", "waits for the first request"));
    let mut viewer = admin.connect();
    viewer.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_waits(
        &admin,
        &viewer,
        "streaming",
        "waits until the next part of a live response is due; continues in 0.",
    );
    let own = admin.state("phase=responding");
    assert_eq!(super::connections(&own)[0]["why"], "continues its response in the next turn");
}

#[test]
fn file_sessions_say_what_they_wait_for() {
    let library = tempfile::tempdir().unwrap();
    let admin = Admin::start(&["--files", library.path().to_str().unwrap(), "--file", "0"]);
    let mut session = admin.server.connect_to("file");
    assert_closes(&assert_waits(&admin, &session, "idle", "waits for the first command"));
    session.send("HELP\r\n");
    session.line();
    let idle = assert_waits(&admin, &session, "idle", "waits for a command");
    assert_closes(&idle);
    assert_eq!(idle["version"], "lines");
    session.send("PUT 10 ");
    assert_waits(&admin, &session, "request", "waits for the rest of a command line");
    session.send("a.txt\r\nhalf");
    assert_waits(&admin, &session, "body", "waits for the rest of an upload");
}

#[test]
fn a_pause_for_a_legacy_client_is_no_wait_for_the_client() {
    let library = tempfile::tempdir().unwrap();
    fs::write(library.path().join("a.txt"), "hello").unwrap();
    let library = library.path().to_str().unwrap();
    let admin = Admin::start(&["--files", library, "--file", "0", "--dialect", "joined", "--pace", "8s"]);
    let mut client = admin.server.connect_to("file");
    client.send("G a.txt");
    let pause = assert_waits(
        &admin,
        &client,
        "pause",
        "pauses, since pauses separate messages to this client; continues in ",
    );
    assert!(pause["queued"].as_u64().unwrap() > 0, "{pause}");
    assert_eq!(pause["version"], "joined");
}

#[cfg(feature = "tls")]
#[test]
fn a_tls_handshake_that_is_pending_says_so() {
    let state = tempfile::tempdir().unwrap();
    let options = ["--https", "127.0.0.1:0", "--self-signed", "--state", state.path().to_str().unwrap()];
    let admin = Admin::start(&options);
    let silent = admin.server.connect_to("https");
    let waiting =
        assert_waits(&admin, &silent, "handshake", "waits for the client to continue the TLS handshake");
    assert_closes(&waiting);
    assert_eq!((&waiting["tls"], &waiting["protocol"]), (&true.into(), &"http".into()));
}
