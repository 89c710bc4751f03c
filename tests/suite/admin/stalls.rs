//! Stalls of the running program. To add a case, make a call that takes longer the more there is to do, and let it grow
//! until the server reports it.

use std::fs::File;

use super::exposition::Exposition;
use super::{Admin, sum};
use crate::process::{folder_in_memory, wait_for};

/// Files that are added at a time to a library whose size is counted at the next upload.
const STEP: usize = 20_000;

#[test]
fn a_turn_that_counts_a_huge_folder_is_logged_with_its_call_and_connection() {
    let library = folder_in_memory();
    let path = library.path().to_str().unwrap();
    let admin = Admin::start(&["--files", path, "--max-library", "1G", "--keep-free", "1"]);
    let mut count = 0;
    let (state, stall, line) = wait_for("a logged stall", || {
        let files = (count..count + STEP).map(|index| library.path().join(index.to_string()));
        files.for_each(|path| drop(File::create(path).unwrap()));
        count += STEP;
        // Another program has changed the folder, so the server counts it in one turn.
        let mut client = admin.server.connect();
        client.send(format!("PUT /files/x{count} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"));
        assert_eq!(client.response().status, 201);
        // The log has at most one line a second, so that of the last stall may be missing.
        let state = admin.state("");
        let stalls = state["stalls"]["recent"].as_array().unwrap();
        let lines =
            admin.server.lines().into_iter().filter(|line| line.contains(" of it in list for connection "));
        let mut found = lines.filter_map(|line| {
            Some((stalls.iter().find(|stall| stall["turn"] == turn_of(&line))?.clone(), line))
        });
        let (stall, line) = found.next_back()?;
        Some((state, stall, line))
    });
    let stalls = &state["stalls"];
    assert_eq!(Some(sum(&stalls["causes"])), stalls["count"].as_u64());
    let number = |member: &str| stall[member].as_u64().unwrap();
    assert_eq!(stall["call"], "list");
    assert!(number("ms") >= 50 && (25..=number("ms")).contains(&number("call_ms")), "{stall}");
    let connection = line.split("for connection ").nth(1).unwrap().split(';').next().unwrap();
    assert_eq!(connection.parse(), Ok(number("connection")), "{line}");
    let metrics = Exposition::parse(admin.get("/metrics").text(), false);
    let by_call = metrics.by("evserve_stalls_total", "call");
    assert!(Some(by_call["list"]) >= stalls["causes"]["list"].as_u64());
}

/// Returns the number of the turn in a line such as `[WARN] turn 12 took 61.2ms, 58.1ms of it in list for connection 5`.
fn turn_of(line: &str) -> u64 {
    line.split_once("[WARN] turn ").unwrap().1.split(' ').next().unwrap().parse().unwrap()
}
