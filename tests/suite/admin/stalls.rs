//! Stalls of the running program. To add a case, make a call that takes longer the more there is to do, and let it grow
//! until the server reports it.

use std::fs::File;

use serde_json::Value;

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
    let state: Value = wait_for("a stall", || {
        (0..STEP)
            .for_each(|index| drop(File::create(library.path().join(format!("{}", count + index))).unwrap()));
        count += STEP;
        // Another program has changed the folder, so the server counts it in one turn.
        let mut client = admin.server.connect();
        client.send(format!("PUT /files/x{count} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"));
        assert_eq!(client.response().status, 201);
        let state = admin.state("");
        // The log has at most one line a second, so that of this stall may be missing.
        let is_logged = admin.server.count_lines("of it in list for connection ") > 0;
        (state["stalls"]["causes"]["list"].is_u64() && is_logged).then_some(state)
    });
    let stalls = &state["stalls"];
    assert_eq!(Some(sum(&stalls["causes"])), stalls["count"].as_u64());
    let recent = stalls["recent"].as_array().unwrap();
    let line = admin.server.wait_for_line("of it in list for connection ");
    // WARN turn 12 took 61.2ms, 58.1ms of it in list for connection 5
    let rest = line.split_once("[WARN] turn ").unwrap().1;
    let turn: u64 = rest.split(' ').next().unwrap().parse().unwrap();
    let stall = recent.iter().find(|stall| stall["turn"] == turn);
    let stall = stall.unwrap_or_else(|| panic!("{line} is not among {recent:?}"));
    let number = |member: &str| stall[member].as_u64().unwrap();
    assert_eq!(stall["call"], "list");
    assert!(number("ms") >= 50 && (25..=number("ms")).contains(&number("call_ms")), "{stall}");
    let after = line.split("for connection ").nth(1).unwrap();
    assert_eq!(after.split(';').next().unwrap().parse(), Ok(number("connection")));
    let metrics = Exposition::parse(admin.get("/metrics").text(), false);
    let by_call = metrics.by("evserve_stalls_total", "call");
    assert!(Some(by_call["list"]) >= stalls["causes"]["list"].as_u64());
}
