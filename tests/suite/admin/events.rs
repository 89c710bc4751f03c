//! `/events`: frames as server-sent events. To add a case, start a `Viewer` and take its frames.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use serde_json::Value;

use super::Admin;
use crate::process::wait_for;

/// A client that receives frames.
struct Viewer(BufReader<TcpStream>);

/// A frame: its number and its JSON.
type Frame = (u64, String);

impl Viewer {
    /// Asks for frames, and checks the head of the response.
    fn new(admin: &Admin) -> Viewer {
        let mut client = admin.connect();
        client.send("GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
        let mut viewer = Viewer(BufReader::new(client.stream));
        let head: Vec<String> =
            std::iter::from_fn(|| Some(viewer.line()).filter(|line| !line.is_empty())).collect();
        assert_eq!(head[0], "HTTP/1.1 200 OK");
        for field in
            ["Content-Type: text/event-stream", "Cache-Control: no-store", "Transfer-Encoding: chunked"]
        {
            assert!(head.iter().any(|line| line == field), "{head:?}");
        }
        viewer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the end instead of a line");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// Receives the next frame, which is one chunk.
    fn frame(&mut self) -> Frame {
        let length = usize::from_str_radix(&self.line(), 16).unwrap();
        let lines: Vec<String> = (0..4).map(|_| self.line()).collect();
        assert_eq!(lines.iter().map(|line| line.len() + 1).sum::<usize>(), length, "{lines:?}");
        assert_eq!((lines[0].as_str(), lines[3].as_str(), self.line().as_str()), ("event: frame", "", ""));
        let id = lines[1].strip_prefix("id: ").unwrap().parse().unwrap();
        (id, lines[2].strip_prefix("data: ").unwrap().to_owned())
    }
}

fn parse((id, text): &Frame) -> Value {
    let frame: Value = serde_json::from_str(text).unwrap();
    assert_eq!((&frame["turn"], &frame["version"]), (&(*id).into(), &1.into()));
    frame
}

#[test]
fn frames_are_in_order_and_at_most_ten_a_second() {
    let admin = Admin::start(&[]);
    let mut viewer = Viewer::new(&admin);
    let frames: Vec<Value> = (0..15).map(|_| parse(&viewer.frame())).collect();
    for pair in frames.windows(2) {
        let of = |member: &str| [&pair[0], &pair[1]].map(|frame| frame[member].as_u64().unwrap());
        let ([before, after], [earlier, later]) = (of("turn"), of("uptime_ms"));
        assert!(before < after);
        // Each tenth of a second since the start has at most one frame.
        assert!(earlier / 100 < later / 100, "{earlier} ms, {later} ms");
        assert_turns_between(&pair[0], &pair[1]);
    }
    assert_eq!(frames[0]["interval_ms"], 100);
}

/// Asserts that a frame lists all turns since the one before, or the last 128.
#[track_caller]
fn assert_turns_between(before: &Value, after: &Value) {
    let turns: Vec<Vec<u64>> = serde_json::from_value(after["turns"]["recent"].clone()).unwrap();
    let numbers: Vec<u64> = turns.iter().map(|turn| turn[0]).collect();
    let [before, after] = [before, after].map(|frame| frame["turn"].as_u64().unwrap());
    let first = (before + 1).max((after + 1).saturating_sub(128));
    assert_eq!(numbers, (first..=after).collect::<Vec<_>>());
}

#[test]
fn new_viewers_take_no_turns_from_the_frames_of_others() {
    let admin = Admin::start(&[]);
    let mut steady = Viewer::new(&admin);
    let mut last = parse(&steady.frame());
    for _ in 0..8 {
        // It comes between two frames.
        let mut new = Viewer::new(&admin);
        admin.server.get("/1k.txt");
        let frame = parse(&steady.frame());
        assert_turns_between(&last, &frame);
        new.frame();
        last = frame;
    }
}

#[test]
fn the_map_of_a_frame_has_a_letter_for_every_slot() {
    let admin = Admin::start(&["--file", "0", "--ack-udp", "127.0.0.1:0"]);
    let (_idle, mut half) = (admin.server.connect(), admin.server.connect());
    half.send("GET /");
    let half = admin.connection(&half, "request")["slot"].as_u64().unwrap() as usize;
    let mut viewer = Viewer::new(&admin);
    let frame = parse(&viewer.frame());
    let [protocols, phases] =
        ["protocols", "phases"].map(|name| frame["slots"][name].as_str().unwrap().to_owned());
    assert_eq!((protocols.len(), &phases[half..=half]), (phases.len(), "q"));
    let mut letters: Vec<char> = protocols.chars().filter(|letter| *letter != '.').collect();
    letters.sort_unstable();
    // Connections of the admin interface, of HTTP, listeners, and a datagram socket.
    assert_eq!(letters.into_iter().collect::<String>(), "dhhlllu");
    assert!(frame.get("connections").is_none() && frame.get("matched").is_none());
    let state = admin.state("");
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let common = |value: &Value| {
        members(value)
            .into_iter()
            .filter(|name| !["slots", "matched", "connections"].contains(&name.as_str()))
            .collect::<Vec<_>>()
    };
    assert_eq!(common(&frame), common(&state));
}

#[test]
fn viewers_get_the_same_frames() {
    let admin = Admin::start(&[]);
    let seen: Vec<Vec<Frame>> = std::thread::scope(|scope| {
        let viewers: Vec<_> = (0..4)
            .map(|_| {
                let mut viewer = Viewer::new(&admin);
                // The viewers arrive at different times.
                let (first, _) = viewer.frame();
                (viewer, first)
            })
            .collect();
        // All of them get the frames after the first one of the last viewer.
        let begin = viewers[viewers.len() - 1].1;
        let threads = viewers.into_iter().map(|(mut viewer, _)| {
            scope.spawn(move || {
                let frames = std::iter::repeat_with(|| viewer.frame());
                frames.filter(|(turn, _)| *turn > begin).take(8).collect()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|frames| *frames == seen[0]), "{seen:?}");
}

#[test]
fn the_connection_of_a_viewer_that_leaves_is_closed() {
    let admin = Admin::start(&[]);
    let mut staying = Viewer::new(&admin);
    let leaving: Vec<Viewer> = (0..5).map(|_| Viewer::new(&admin)).collect();
    let open = |viewer: &mut Viewer| parse(&viewer.frame())["open"]["admin"].as_u64().unwrap();
    wait_for("six viewers", || (open(&mut staying) == 6).then_some(()));
    drop(leaving);
    wait_for("one viewer", || (open(&mut staying) == 1).then_some(()));
}

#[test]
fn a_viewer_sees_what_happens() {
    let admin = Admin::start(&[]);
    let mut viewer = Viewer::new(&admin);
    let mut frame = || parse(&viewer.frame());
    assert_eq!(frame()["counters"]["requests"], 0);
    for _ in 0..7 {
        admin.server.get("/1k.txt");
    }
    let turn = admin.state("")["turn"].as_u64();
    // The frames that were received meanwhile are older.
    let newer = wait_for("a newer frame", || Some(frame()).filter(|frame| frame["turn"].as_u64() >= turn));
    assert_eq!(newer["counters"]["requests"], 7);
}
