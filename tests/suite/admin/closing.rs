//! `DELETE /connections/ID`: which requests close a connection, and what its peer sees. To add a request that is refused, add
//! it to the table of the test.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Admin, create_file};
use crate::process::{Client, wait_for};
use crate::reading::Response;

impl Admin {
    /// Asks to close a connection, with these header fields.
    fn delete(&self, id: impl std::fmt::Display, fields: &str) -> Response {
        self.request("DELETE", &format!("/connections/{id}"), fields)
    }

    fn delete_with(&self, id: impl std::fmt::Display, token: &str) -> Response {
        self.delete(id, &format!("X-Evserve-Token: {token}\r\n"))
    }

    fn id_of(&self, client: &Client) -> u64 {
        wait_for("the connection", || self.find(&client.stream))["id"].as_u64().unwrap()
    }
}

#[test]
fn a_request_without_the_token_closes_nothing() {
    let admin = Admin::start(&[]);
    let mut client = admin.server.connect();
    let (id, token) = (admin.id_of(&client), admin.token());
    let zeros = "0".repeat(32);
    let longer = format!("{token}0");
    let cross_site =
        "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n";
    for fields in [
        String::new(),
        "X-Evserve-Token: \r\n".to_owned(),
        format!("X-Evserve-Token: {zeros}\r\n"),
        format!("X-Evserve-Token: {}\r\n", &token[1..]),
        format!("X-Evserve-Token: {longer}\r\n"),
        format!(
            "X-Evserve-Token: {}\r\n",
            token.to_uppercase().replace(|letter: char| letter.is_ascii_digit(), "a")
        ),
        format!("Cookie: X-Evserve-Token={token}\r\nToken: {token}\r\n"),
        cross_site.to_owned(),
        "Origin: null\r\n".to_owned(),
    ] {
        let response = admin.delete(id, &fields);
        assert_eq!(response.status, 403, "{fields}");
        assert!(response.text().contains("X-Evserve-Token"), "{}", response.text());
    }
    // A page of another origin may not send the field: the preflight does not allow it.
    let preflight = format!(
        "{cross_site}Access-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: x-evserve-token\r\n"
    );
    let response = admin.request("OPTIONS", &format!("/connections/{id}"), &preflight);
    assert_eq!(response.status, 405);
    assert!(response.fields.iter().all(|(name, _)| !name.to_lowercase().starts_with("access-control")));
    client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert!(admin.state("")["counters"]["closed"].get("admin_closed").is_none());
}

#[test]
fn a_connection_is_closed_and_its_peer_sees_the_end() {
    let admin = Admin::start(&["--file", "0"]);
    let token = admin.token();
    let mut idle = admin.server.connect();
    let mut half = admin.server.connect();
    half.send("GET / HT");
    let mut clients = [idle_after_a_request(&admin), admin.server.connect_to("file")];
    for client in [&mut idle, &mut half].into_iter().chain(&mut clients) {
        let id = admin.id_of(client);
        let response = admin.delete_with(id, &token);
        assert_eq!((response.status, response.body.len()), (204, 0));
        client.expect_end();
        // Its number is not used again.
        assert_eq!(admin.delete_with(id, &token).status, 404);
    }
    let state = admin.state("");
    assert_eq!(state["counters"]["closed"]["admin_closed"], 4);
    assert_eq!((&state["open"]["http"], &state["open"]["file"]), (&0.into(), &0.into()));
    assert!(admin.get("/metrics").text().contains("{reason=\"admin_closed\"} 4\n"));
}

fn idle_after_a_request(admin: &Admin) -> Client {
    let mut client = admin.server.connect();
    client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client
}

#[test]
fn an_unknown_connection_is_not_found() {
    let admin = Admin::start(&[]);
    let token = admin.token();
    // The first number is that of a listener.
    for id in
        ["0", "1", "999999", "18446744073709551615", "18446744073709551616", "-1", "x", "1x", "", "1/", "1?x"]
    {
        assert_eq!(admin.delete_with(id, &token).status, 404, "{id:?}");
    }
    assert_eq!(admin.server.get("/1k.txt").status, 200);
}

#[test]
fn the_only_method_is_delete() {
    let admin = Admin::start(&[]);
    let client = admin.server.connect();
    let path = format!("/connections/{}", admin.id_of(&client));
    let token = format!("X-Evserve-Token: {}\r\nContent-Length: 0\r\n", admin.token());
    for method in ["GET", "POST", "PUT", "PATCH", "OPTIONS"] {
        let response = admin.request(method, &path, &token);
        assert_eq!((response.status, response.field("Allow")), (405, Some("DELETE")), "{method}");
    }
    assert!(admin.find(&client.stream).is_some());
}

#[test]
fn a_connection_of_the_admin_interface_can_close_itself_and_others() {
    let admin = Admin::start(&[]);
    let token = admin.token();
    let mut own = admin.connect();
    let id = admin.id_of(&own);
    own.send(format!(
        "DELETE /connections/{id} HTTP/1.1\r\nHost: localhost\r\nX-Evserve-Token: {token}\r\n\r\n"
    ));
    own.expect_end();
    let mut viewer = admin.connect();
    viewer.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(admin.delete_with(admin.id_of(&viewer), &token).status, 204);
    viewer.rest();
    let state = admin.state("");
    // They are not counted as connections of the site.
    assert_eq!((&state["open"]["admin"], &state["counters"]["closed"]), (&1.into(), &serde_json::json!({})));
}

#[test]
fn busy_connections_are_closed_in_the_middle_of_their_responses() {
    let admin = Admin::start(&[]);
    let token = admin.token();
    create_file(&admin.server, "busy.bin");
    const CLIENTS: usize = 8;
    let cut = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (admin, cut) = (&admin, &cut);
            scope.spawn(move || {
                let client = admin.server.connect();
                let mut stream = client.stream;
                let request = "GET /busy.bin HTTP/1.1\r\nHost: h\r\n\r\n";
                // Reads as fast as it can, so that the connection has output in nearly every turn.
                let mut buffer = vec![0; 256 * 1024];
                // The connection may be closed before all requests are sent.
                let _ = stream.write_all(request.repeat(1000).as_bytes());
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
                cut.fetch_add(1, Ordering::SeqCst);
            });
        }
        wait_for("the end of all downloads", || {
            let state = admin.state("protocol=http");
            // Only those that have begun to respond.
            let connections = super::connections(&state).iter();
            for connection in connections.filter(|connection| connection["out"] != 0) {
                let status = admin.delete_with(&connection["id"], &token).status;
                assert!(matches!(status, 204 | 404), "{status}");
            }
            (cut.load(Ordering::SeqCst) == CLIENTS).then_some(())
        });
    });
    let state = admin.state("");
    assert_eq!(state["counters"]["closed"]["admin_closed"], CLIENTS);
    assert_eq!(admin.server.get("/1k.txt").status, 200);
}
