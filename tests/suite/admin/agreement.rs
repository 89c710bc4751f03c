//! `/loop.json`, `/metrics` and the trace agree with each other and with what clients did. To add a case, add it to
//! `Load` and to what it is expected to count.

use std::fs::{self, File};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::exposition::Exposition;
use super::{Admin, OPTION, counted, sum};
use crate::process::{Client, PROGRAM, Server, small_site, wait_for};

/// A server with a library and a trace, and clients that have done a known amount of work.
struct Load {
    admin: Admin,
    folder: TempDir,
    /// Clients whose connections stay open.
    open: Vec<Client>,
    sent: usize,
    received: usize,
}

const REQUESTS: usize = 20;
const CONNECTIONS: usize = 4;

/// Sends a script and receives until `count` responses are complete. Returns the received bytes.
fn exchange(client: &mut Client, script: &str, count: usize) -> usize {
    client.send(script);
    let responses = (0..count).map(|_| client.response());
    responses.map(|response| wire_length(&response)).sum()
}

/// Returns the length of a response as it was received.
fn wire_length(response: &crate::reading::Response) -> usize {
    let fields: usize = response.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let reason = match response.status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        status => panic!("{status}"),
    };
    "HTTP/1.1 200 ".len() + reason.len() + 4 + fields + response.body.len()
}

impl Load {
    /// Makes [`REQUESTS`] requests on [`CONNECTIONS`] connections of which half are closed, an upload and a deletion on
    /// another connection, half a request, and a session of the file protocol with one command.
    fn new() -> Load {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("library")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.stdout(File::create(folder.path().join("trace")).unwrap());
        let library = folder.path().join("library");
        let library = ["--files", library.to_str().unwrap(), "--allow-delete", "--file", "0"];
        let options =
            [&library[..], &OPTION, &["--trace", "--idle-timeout", "600s", "--head-timeout", "600s"]];
        let admin = Admin::of(Server::start_with(command, small_site(), &options.concat()));
        let mut load = Load { admin, folder, open: Vec::new(), sent: 0, received: 0 };
        load.run();
        load
    }

    fn run(&mut self) {
        let get = "GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n";
        let each = REQUESTS / CONNECTIONS;
        for index in 0..CONNECTIONS {
            let client = self.converse(&get.repeat(each), each);
            self.open.extend((index % 2 == 0).then_some(client));
        }
        let put = "PUT /files/a.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
        let delete = "DELETE /files/a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let writer = self.converse(&format!("{put}{delete}"), 2);
        self.open.push(writer);
        let mut half = self.admin.server.connect();
        half.send(&get[..10]);
        self.sent += 10;
        let mut session = self.admin.server.connect_to("file");
        session.send("STAT nothing\r\n");
        self.sent += "STAT nothing\r\n".len();
        self.received += session.line().len() + 2;
        self.open.extend([half, session]);
    }

    fn converse(&mut self, script: &str, responses: usize) -> Client {
        let mut client = self.admin.server.connect();
        self.sent += script.len();
        self.received += exchange(&mut client, script, responses);
        client
    }

    /// Waits until the server has seen everything. Returns its state.
    fn settled(&self) -> Value {
        wait_for("the end of the load", || {
            let state = self.admin.state("");
            let is_seen = state["counters"]["received_bytes"] == self.sent
                && state["counters"]["closed"]["peer_closed"] == CONNECTIONS / 2;
            is_seen.then_some(state)
        })
    }
}

#[test]
fn the_state_counts_what_clients_did() {
    let load = Load::new();
    let state = load.settled();
    assert_eq!(
        state["counters"],
        json!({
            "accepted": CONNECTIONS + 3,
            "rejected": 0,
            "requests": REQUESTS + 3,
            "received_bytes": load.sent,
            "sent_bytes": load.received,
            "datagrams_received": 0,
            "datagrams_answered": 0,
            "closed": {"peer_closed": CONNECTIONS / 2},
        })
    );
    let http = CONNECTIONS / 2 + 2;
    assert_eq!(state["open"], json!({"http": http, "file": 1, "ack": 0, "admin": 1}));
    let phases = &state["phases"];
    // The connection of the admin interface is responding to this request.
    assert_eq!(
        (&phases["idle"], &phases["request"], &phases["responding"]),
        (&json!(http), &json!(1), &json!(1))
    );
    assert_eq!((sum(phases), state["matched"].as_u64()), (http as u64 + 2, Some(http as u64 + 2)));
    let library = &state["library"];
    assert_eq!(
        (&library["uploads"], &library["upload_bytes"], &library["deleted"]),
        (&json!(1), &json!(5), &json!(1))
    );
    // Every connection has a deadline.
    let timers = &state["timers"];
    assert!(timers["count"].as_u64().unwrap() > http as u64, "{timers}");
    assert_eq!(sum(&timers["due"]), timers["count"].as_u64().unwrap());
    let of = |key: &str| -> u64 {
        let all = super::connections(&state).iter().filter(|connection| connection["protocol"] != "admin");
        all.map(|connection| connection[key].as_u64().unwrap()).sum()
    };
    let closed = (REQUESTS / 2) as u64;
    assert_eq!(of("requests"), REQUESTS as u64 + 3 - closed);
    assert!(of("in") < load.sent as u64 && of("out") < load.received as u64);
    // The half request is 10 bytes long.
    assert_eq!((of("queued"), of("unread")), (0, 10));
}

#[test]
fn the_turns_of_the_state_add_up() {
    let load = Load::new();
    let state = load.settled();
    let turns = &state["turns"];
    let count = state["turn"].as_u64().unwrap();
    assert_eq!(turns["count"], count);
    for histogram in ["time_us", "events_per_turn"] {
        let histogram = &turns[histogram];
        assert_eq!(counted(histogram), count, "{histogram}");
        let length = |key: &str| histogram[key].as_array().unwrap().len();
        assert_eq!(length("counts"), length("bounds") + 1);
    }
    let recent: Vec<Vec<u64>> = serde_json::from_value(turns["recent"].clone()).unwrap();
    let first = count.saturating_sub(128) + 1;
    let numbers: Vec<u64> = recent.iter().map(|turn| turn[0]).collect();
    assert_eq!(numbers, (first..=count).collect::<Vec<_>>());
    if first == 1 {
        for (column, name) in
            [(1, "events"), (2, "driven"), (3, "poll_us"), (4, "work_us"), (5, "budget_hits")]
        {
            assert_eq!(recent.iter().map(|turn| turn[column]).sum::<u64>(), turns[name], "{name}");
        }
    }
}

#[test]
fn the_metrics_agree_with_the_state() {
    let load = Load::new();
    let before = load.settled();
    let metrics = Exposition::parse(load.admin.get("/metrics").text(), false);
    let after = load.admin.state("");
    for (metric, path) in [
        ("evserve_connections_max", "/max_connections"),
        ("evserve_connections_accepted_total", "/counters/accepted"),
        ("evserve_connections_rejected_total", "/counters/rejected"),
        ("evserve_requests_total", "/counters/requests"),
        ("evserve_received_bytes_total", "/counters/received_bytes"),
        ("evserve_sent_bytes_total", "/counters/sent_bytes"),
        ("evserve_cache_files", "/cache/files"),
        ("evserve_cache_bytes", "/cache/bytes"),
        ("evserve_cache_max_bytes", "/cache/max_bytes"),
        ("evserve_cache_hits_total", "/cache/hits"),
        ("evserve_cache_misses_total", "/cache/misses"),
        ("evserve_watches", "/watches/count"),
        ("evserve_uploads_total", "/library/uploads"),
        ("evserve_upload_bytes_total", "/library/upload_bytes"),
        ("evserve_deletions_total", "/library/deleted"),
        ("evserve_open_files_max", "/library/max_open_files"),
        ("evserve_budgets_exhausted_total", "/turns/budget_hits"),
    ] {
        // The cache may have dropped an entry meanwhile.
        let [old, new] = [&before, &after].map(|state| state.pointer(path).unwrap().as_u64().unwrap());
        assert!([old, new].contains(&metrics.number(metric)), "{metric}: {old}, {new}");
    }
    let open: Value = serde_json::to_value(metrics.by("evserve_connections", "protocol")).unwrap();
    assert_eq!(open, before["open"]);
    let phases: Value = serde_json::to_value(metrics.by("evserve_connection_phases", "phase")).unwrap();
    assert_eq!(phases, before["phases"]);
    let mut closed = metrics.by("evserve_connections_closed_total", "reason");
    closed.retain(|_, count| *count > 0);
    assert_eq!(serde_json::to_value(closed).unwrap(), before["counters"]["closed"]);
    // These grow with every request to the admin interface.
    for (metric, path) in [
        ("evserve_turns_total", "/turns/count"),
        ("evserve_turn_seconds_count", "/turns/count"),
        ("evserve_turn_events_count", "/turns/count"),
        ("evserve_turn_events_sum", "/turns/events"),
        ("evserve_sources_driven_total", "/turns/driven"),
    ] {
        let of = |state: &Value| state.pointer(path).unwrap().as_u64().unwrap();
        let number = metrics.number(metric);
        assert!((of(&before)..of(&after)).contains(&number), "{metric}: {number}");
    }
    assert_eq!(metrics.number("evserve_turns_total"), metrics.number("evserve_turn_seconds_count"));
    let stalls = metrics.by("evserve_stalls_total", "call").values().sum::<u64>();
    assert!((before["stalls"]["count"].as_u64()..=after["stalls"]["count"].as_u64()).contains(&Some(stalls)));
}

/// A turn in a trace: how many sources were driven, and the numbers in their lines.
#[derive(Default)]
struct Traced {
    driven: u64,
    accepted: u64,
    answered: u64,
    received: u64,
    sent: u64,
    closed: u64,
}

fn parse_trace(text: &str) -> Vec<Traced> {
    let mut turns: Vec<Traced> = Vec::new();
    for line in text.lines() {
        if let Some(turn) = line.strip_prefix("turn ") {
            let (number, rest) = turn.split_once(": slept ").unwrap();
            assert_eq!(number.parse(), Ok(turns.len() + 1));
            let driven = rest.rsplit_once(", ").unwrap().1.strip_suffix(" ready").unwrap();
            turns.push(Traced { driven: driven.parse().unwrap(), ..Traced::default() });
            continue;
        }
        let turn = turns.last_mut().unwrap();
        // The columns are the key, the source, the cause, the outcome and the time.
        let columns: Vec<&str> =
            line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        let outcome = match columns[..] {
            // The state does not count the traffic of the admin interface.
            [_, source, ..] if source.starts_with("admin ") => "",
            [_, _, _, outcome, _] => outcome,
            _ => line.trim().strip_prefix("background: ").unwrap_or_default(),
        };
        for part in outcome.split(", ") {
            let number = || part.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
            match part.split(' ').next().unwrap() {
                "accepted" => turn.accepted += number(),
                "answered" => turn.answered += number(),
                "received" => turn.received += number(),
                "sent" => turn.sent += number(),
                "closed:" => turn.closed += 1,
                _ => {}
            }
        }
    }
    turns
}

#[test]
fn the_trace_agrees_with_the_state() {
    let load = Load::new();
    let state = load.settled();
    let count = state["turn"].as_u64().unwrap() as usize;
    // The line of a turn is written before a client can have its result, but for the last one.
    let turns = wait_for("the trace", || {
        let text = fs::read_to_string(load.folder.path().join("trace")).unwrap();
        let complete = text.rsplit_once("turn ")?.0;
        Some(parse_trace(complete)).filter(|turns| turns.len() >= count)
    });
    let turns = &turns[..count];
    let recent: Vec<Vec<u64>> = serde_json::from_value(state["turns"]["recent"].clone()).unwrap();
    for turn in recent {
        assert_eq!(turns[turn[0] as usize - 1].driven, turn[2], "turn {}", turn[0]);
    }
    let counters = &state["counters"];
    let total = |of: fn(&Traced) -> u64| turns.iter().map(of).sum::<u64>();
    assert_eq!(total(|turn| turn.accepted), counters["accepted"]);
    assert_eq!(total(|turn| turn.answered), counters["requests"]);
    assert_eq!(total(|turn| turn.received), counters["received_bytes"]);
    assert_eq!(total(|turn| turn.sent), counters["sent_bytes"]);
    assert_eq!(total(|turn| turn.closed), sum(&counters["closed"]));
}
