//! `/loop.json`: its query, its connections, and that it is valid JSON whatever clients send. To add a parameter, add it
//! to the test of the filters or of the orders.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Admin, connections};
use crate::process::{Client, wait_for};

/// Returns these members of the connections that a query lists.
fn listed(admin: &Admin, query: &str, member: &str) -> Vec<Value> {
    connections(&admin.state(query)).iter().map(|connection| connection[member].clone()).collect()
}

/// A server with an idle connection, one with half a head, and a session of the file protocol.
fn with_clients() -> (Admin, Vec<Client>) {
    let admin = Admin::start(&["--file", "0", "--idle-timeout", "600s", "--head-timeout", "600s"]);
    let mut idle = admin.server.connect();
    idle.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3));
    (0..3).for_each(|_| assert_eq!(idle.response().status, 200));
    let mut half = admin.server.connect();
    half.send("GET /");
    let mut session = admin.server.connect_to("file");
    session.send("HELP\r\n");
    session.line();
    admin.connection(&half, "request");
    (admin, vec![idle, half, session])
}

#[test]
fn filters_select_connections() {
    let (admin, clients) = with_clients();
    let addresses = clients.iter().map(|client| client.stream.local_addr().unwrap().to_string());
    let [idle, half, session] = &addresses.collect::<Vec<_>>()[..] else { unreachable!() };
    let all = [idle, half, session];
    let id = admin.find(&clients[1].stream).unwrap()["id"].as_u64().unwrap();
    let slot = admin.find(&clients[2].stream).unwrap()["slot"].as_u64().unwrap();
    let port = idle.rsplit(':').next().unwrap();
    for (query, expected) in [
        ("protocol=http", &[idle, half][..]),
        ("protocol=file", &[session]),
        ("protocol=ack", &[]),
        ("phase=request", &[half]),
        ("phase=idle", &[idle, session]),
        ("phase=idle&protocol=file", &[session]),
        ("phase=disk", &[]),
        (&format!("id={id}"), &[half]),
        (&format!("slot={slot}"), &[session]),
        (&format!("peer={idle}"), &[idle]),
        (&format!("peer=127.0.0.1%3A{port}"), &[idle]),
        ("peer=127.0.0.1&protocol=http&", &[idle, half]),
        ("peer=192.0.2.1", &[]),
        // An empty value is no filter, as the page sends it for an empty field.
        ("peer=&phase=request", &[half]),
    ] {
        let found = listed(&admin, query, "peer");
        let found: BTreeSet<&str> = found.iter().map(|peer| peer.as_str().unwrap()).collect();
        assert_eq!(found, expected.iter().map(|peer| peer.as_str()).collect(), "{query}");
        assert_eq!(admin.state(query)["matched"], expected.len(), "{query}");
    }
    let everything = admin.state("");
    assert_eq!(connections(&everything).len(), all.len() + 1);
    assert_eq!(listed(&admin, "protocol=admin", "phase"), ["responding"]);
}

#[test]
fn connections_are_sorted_and_limited() {
    let (admin, clients) = with_clients();
    for key in ["id", "age", "inactive", "in", "out", "queued", "requests", "deadline"] {
        let member = match key {
            "age" | "inactive" | "deadline" => format!("{key}_ms"),
            _ => key.to_owned(),
        };
        for order in ["asc", "desc"] {
            let state = admin.state(&format!("sort={key}&order={order}"));
            let values: Vec<u64> =
                connections(&state).iter().map(|connection| connection[&member].as_u64().unwrap()).collect();
            let is_sorted =
                values.windows(2).all(|pair| (pair[0] <= pair[1]) == (order == "asc") || pair[0] == pair[1]);
            assert!(is_sorted && values.len() == 4, "{key} {order}: {values:?}");
        }
        // Descending is the default.
        let ids = |query: &str| listed(&admin, query, "id");
        let most = ids(&format!("sort={key}&protocol=http"));
        assert_eq!(most, ids(&format!("sort={key}&protocol=http&order=desc")));
        for limit in 0..4 {
            let query = format!("sort={key}&protocol=http&limit={limit}");
            assert_eq!(ids(&query), most[..most.len().min(limit)], "{query}");
            // The number of those that match is that before the limit.
            assert_eq!(admin.state(&query)["matched"], 2);
        }
    }
    let most = listed(&admin, "sort=requests&limit=1", "peer");
    assert_eq!(most, [clients[0].stream.local_addr().unwrap().to_string()]);
    assert_eq!(listed(&admin, "limit=2", "id").len(), 2);
}

#[test]
fn a_bad_query_is_rejected() {
    let admin = Admin::start(&[]);
    for query in [
        "protocol=https",
        "protocol=",
        "phase=sleeping",
        "id=x",
        "id=-1",
        "id=",
        "slot=1.5",
        "sort=name",
        "sort=",
        "order=up",
        "limit=-1",
        "limit=all",
        "limit=99999999999999999999",
        "colour=red",
        "peer",
        "x",
        "peer=%zz",
        "peer=%ff",
        "=1",
    ] {
        let response = admin.get(&format!("/loop.json?{query}"));
        let is_empty_peer = query == "peer";
        assert_eq!(response.status, if is_empty_peer { 200 } else { 400 }, "{query}: {}", response.text());
    }
    let response = admin.request("GET", "/loop.json?order=up", "Accept: application/json\r\n");
    assert!(response.text().contains("order (asc, desc)"), "{}", response.text());
    let post = admin.request("POST", "/loop.json", "Content-Length: 0\r\n");
    assert_eq!((post.status, post.field("Allow")), (405, Some("GET, HEAD")));
}

#[test]
fn five_hundred_connections_are_listed_completely() {
    let admin = Admin::start(&["--idle-timeout", "600s", "--head-timeout", "600s"]);
    let clients: Vec<Client> = (0..500).map(|_| admin.server.connect()).collect();
    let state = wait_for("all connections", || {
        let response = admin.get("/loop.json");
        assert_eq!(response.field("Transfer-Encoding"), Some("chunked"));
        let state: Value = serde_json::from_slice(&response.body).unwrap();
        (state["open"]["http"] == clients.len()).then_some(state)
    });
    let found = connections(&state);
    assert_eq!((found.len(), state["matched"].as_u64()), (501, Some(501)));
    let ids: BTreeSet<u64> = found.iter().map(|connection| connection["id"].as_u64().unwrap()).collect();
    let slots: BTreeSet<u64> = found.iter().map(|connection| connection["slot"].as_u64().unwrap()).collect();
    assert_eq!((ids.len(), slots.len()), (501, 501));
    let peers: BTreeSet<&str> = found.iter().map(|connection| connection["peer"].as_str().unwrap()).collect();
    let is_listed =
        |client: &Client| peers.contains(client.stream.local_addr().unwrap().to_string().as_str());
    assert!(clients.iter().all(is_listed));
}

#[test]
fn the_last_request_is_valid_json_whatever_it_is() {
    let admin = Admin::start(&["--file", "0"]);
    // From now on, requests are noted for ten seconds.
    admin.state("");
    let mut http = admin.server.connect();
    http.send("GET /\"<script>\\'?\u{e9}\u{1f600} HTTP/1.1\r\nHost: h\r\n\r\n");
    http.response();
    let mut session = admin.server.connect_to("file");
    session.send(b"STAT \"a\\\x01\x1b[2J\x7f\xfe\xfd\xc2\x85\t\r\n");
    session.line();
    let last_request = |client: &Client| admin.find(&client.stream).unwrap()["last_request"].clone();
    // The server replaces what is not UTF-8.
    assert_eq!(last_request(&http), "GET /\"<script>\\'?\u{e9}\u{1f600} HTTP/1.1");
    assert_eq!(last_request(&session), "STAT \"a\\\u{1}\u{1b}[2J\u{7f}\u{fffd}\u{fffd}\u{85}\t");
    // It is cut, also within a character.
    let mut long = admin.server.connect();
    long.send(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "\u{e9}".repeat(1000)));
    long.response();
    let cut = last_request(&long);
    let cut = cut.as_str().unwrap();
    assert!(cut.starts_with("GET /\u{e9}") && cut.len() <= 203, "{cut}");
    let text = admin.get("/loop.json");
    assert!(text.text().chars().all(|letter| letter == '\n' || !letter.is_control()), "{}", text.text());
}

#[test]
fn requests_are_noted_only_while_a_client_looks() {
    let admin = Admin::start(&[]);
    let mut client = admin.server.connect();
    let mut get = |path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.response();
    };
    // Metrics are scraped all the time, and do not show requests.
    admin.get("/metrics");
    get("/1k.txt");
    assert_eq!(listed(&admin, "protocol=http", "last_request"), [Value::Null]);
    get("/1k.txt");
    assert_eq!(listed(&admin, "protocol=http", "last_request"), ["GET /1k.txt HTTP/1.1"]);
    get("/missing");
    assert_eq!(listed(&admin, "protocol=http", "last_request"), ["GET /missing HTTP/1.1"]);
}
