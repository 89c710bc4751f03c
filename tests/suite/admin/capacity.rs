//! The places of the admin interface: it answers while the site has none left, and its own are shared fairly. To add a
//! case, fill the places and ask.

use std::time::Duration;

use super::{Admin, begin_download, connections};
use crate::process::{Client, PATIENCE, wait_for};

const PLACES: usize = 16;

/// The number of viewers that leave places to others.
const VIEWERS_MAX: usize = 12;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Returns whether a client has received nothing for a while.
fn is_silent(client: &Client) -> bool {
    client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let is_silent = client.stream.peek(&mut [0]).is_err();
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    is_silent
}

#[test]
fn the_admin_interface_answers_when_the_site_is_full_and_busy() {
    let admin = Admin::start(&["--max-connections", "4", "--write-timeout", "600s"]);
    let busy: Vec<Client> =
        (0..4).map(|index| begin_download(&admin.server, &format!("{index}.bin"))).collect();
    for client in &busy {
        admin.connection(client, "sending");
    }
    let mut waiting = admin.server.connect();
    waiting.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(is_silent(&waiting), "it was served over the limit");
    for path in ["/", "/healthz", "/metrics", "/loop.json"] {
        assert_eq!(admin.get(path).status, 200, "{path}");
    }
    let state = admin.state("protocol=http");
    assert_eq!((&state["open"]["http"], &state["max_connections"]), (&4.into(), &4.into()));
    // Closing a connection makes a place for the one that waits.
    let id = &connections(&state)[0]["id"];
    let token = format!("X-Evserve-Token: {}\r\n", admin.token());
    assert_eq!(admin.request("DELETE", &format!("/connections/{id}"), &token).status, 204);
    assert_eq!(waiting.response().status, 200);
    drop(busy);
}

#[test]
fn connections_of_the_admin_interface_take_no_place_of_the_site() {
    let admin = Admin::start(&["--max-connections", "2", "--max-per-client", "2"]);
    let viewers: Vec<Client> = (0..PLACES - 1).map(|_| admin.connect()).collect();
    wait_for("the viewers", || (admin.state("")["open"]["admin"] == PLACES).then_some(()));
    let mut clients = [admin.server.connect(), admin.server.connect()];
    for client in &mut clients {
        client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    assert!(admin.state("")["counters"]["closed"].get("evicted").is_none());
    drop(viewers);
}

#[test]
fn the_least_recently_active_of_sixteen_idle_connections_is_evicted() {
    let admin = Admin::start(&[]);
    let mut clients: Vec<Client> = (0..PLACES).map(|_| admin.connect()).collect();
    for client in &mut clients {
        client.send(HEALTH);
        assert_eq!(client.response().status, 200);
    }
    clients[0].send(HEALTH);
    clients[0].response();
    let mut new = admin.connect();
    new.send(HEALTH);
    assert_eq!(new.response().status, 200);
    // The second one is the least recently active.
    clients.remove(1).expect_end();
    for client in &mut clients {
        client.send(HEALTH);
        assert_eq!(client.response().status, 200);
    }
    // It is not counted among the evictions of the site.
    clients[0].send("GET /loop.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let state: serde_json::Value = serde_json::from_slice(&clients[0].response().body).unwrap();
    assert_eq!(
        (&state["open"]["admin"], &state["counters"]["closed"]),
        (&PLACES.into(), &serde_json::json!({}))
    );
}

#[test]
fn viewers_leave_places_to_health_checks() {
    let admin = Admin::start(&[]);
    let watch = || {
        let mut viewer = admin.connect();
        viewer.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        viewer
    };
    let mut viewers: Vec<Client> = (0..VIEWERS_MAX).map(|_| watch()).collect();
    for viewer in &mut viewers {
        assert!(viewer.line().starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(watch().response().status, 503);
    // Idle connections take the other places, and are evicted by one that asks.
    let idle: Vec<Client> = (VIEWERS_MAX..PLACES).map(|_| admin.connect()).collect();
    let mut probe = admin.connect();
    probe.send(HEALTH);
    assert_eq!(probe.response().status, 200);
    drop(idle);
    // A viewer that leaves makes place for another one.
    viewers.pop();
    wait_for("a place for a viewer", || watch().line().starts_with("HTTP/1.1 200 ").then_some(()));
}
