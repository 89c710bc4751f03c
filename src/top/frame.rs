//! The JSON of the admin interface as values. Unknown members are ignored, and missing ones are empty. The server is
//! untrusted, so texts and lists are bounded.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::INTERFACE_VERSION;

/// The most characters of a text that are kept.
const TEXT_CHARS_MAX: usize = 4096;

/// The most elements of a list in a frame that are kept. The longest list of the server has 128.
const ELEMENTS_MAX: usize = 1024;

/// The most buckets of a histogram that are kept: more than a server has. Every frame of the last second keeps them.
const BUCKETS_MAX: usize = 64;

/// The most connections of a table that are kept: more than fit in the longest body that is read.
const CONNECTIONS_MAX: usize = 1 << 18;

/// A text of the server. It is untrusted, so characters that control a terminal are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SafeText(String);

impl SafeText {
    pub(super) fn new(text: &str) -> SafeText {
        SafeText(
            text.chars()
                .take(TEXT_CHARS_MAX)
                .map(|letter| if is_safe(letter) { letter } else { '?' })
                .collect(),
        )
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SafeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SafeText, D::Error> {
        String::deserialize(deserializer).map(|text| SafeText::new(&text))
    }
}

/// Returns whether a character neither controls a terminal nor changes the order or the lines of a text.
fn is_safe(letter: char) -> bool {
    let is_invisible = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !letter.is_control() && !is_invisible
}

/// Numbers by name, in the order of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NamedCounts(pub(super) Vec<(SafeText, u64)>);

impl NamedCounts {
    /// Returns a number, or 0 if there is none of this name.
    pub(super) fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| known.as_str() == name).map_or(0, |(_, count)| *count)
    }
}

impl<'de> Deserialize<'de> for NamedCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NamedCounts, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = NamedCounts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers by name")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<NamedCounts, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    push_bounded(&mut entries, entry, ELEMENTS_MAX);
                }
                Ok(NamedCounts(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Deserializes a list, of which the first `MAX` elements are kept.
fn bounded_list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Elements<T, const MAX: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Vec<T>, S::Error> {
            let mut elements = Vec::new();
            while let Some(element) = list.next_element()? {
                push_bounded(&mut elements, element, MAX);
            }
            Ok(elements)
        }
    }
    deserializer.deserialize_seq(Elements::<T, MAX>(PhantomData))
}

fn push_bounded<T>(elements: &mut Vec<T>, element: T, max: usize) {
    if elements.len() < max {
        elements.push(element);
    }
}

/// The state of the server at the end of a turn.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoopFrame {
    pub(super) program: SafeText,
    pub(super) turn: u64,
    pub(super) uptime_ms: u64,
    pub(super) draining: bool,
    /// Open connections by protocol.
    pub(super) open: NamedCounts,
    pub(super) max_connections: u64,
    /// Open connections by phase.
    pub(super) phases: NamedCounts,
    pub(super) counters: FrameCounters,
    pub(super) turns: FrameTurns,
    pub(super) timers: FrameTimers,
    pub(super) stalls: FrameStalls,
    pub(super) cache: FrameCache,
}

/// The counters since the server's start.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FrameCounters {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) requests: u64,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) datagrams_received: u64,
}

/// The turns of the event loop since its start.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FrameTurns {
    pub(super) count: u64,
    pub(super) work_us: u64,
    /// How long the turns worked.
    pub(super) time_us: FrameHistogram,
    /// The last turns, oldest first: turn, events, driven, poll_us, work_us, budget_hits.
    #[serde(deserialize_with = "bounded_list::<_, _, ELEMENTS_MAX>")]
    pub(super) recent: Vec<(u64, u64, u64, u64, u64, u64)>,
}

/// Counts by size: `counts[i]` are those up to `bounds[i]`, and the last ones are above all bounds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FrameHistogram {
    #[serde(deserialize_with = "bounded_list::<_, _, BUCKETS_MAX>")]
    pub(super) bounds: Vec<u64>,
    #[serde(deserialize_with = "bounded_list::<_, _, BUCKETS_MAX>")]
    pub(super) counts: Vec<u64>,
}

/// The deadlines that the loop waits for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FrameTimers {
    pub(super) count: u64,
    pub(super) next_ms: Option<u64>,
}

/// The turns that took too long.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FrameStalls {
    pub(super) count: u64,
    /// Oldest first.
    #[serde(deserialize_with = "bounded_list::<_, _, ELEMENTS_MAX>")]
    pub(super) recent: Vec<FrameStall>,
}

/// A turn that took too long.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FrameStall {
    pub(super) time: SafeText,
    pub(super) ms: u64,
    /// The kind of call that took most of the turn.
    pub(super) call: SafeText,
    pub(super) call_ms: u64,
    pub(super) connection: Option<u64>,
}

/// The files in memory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FrameCache {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

/// The connections that a query selects.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConnectionTable {
    /// The number before the limit.
    pub(super) matched: u64,
    #[serde(deserialize_with = "bounded_list::<_, _, CONNECTIONS_MAX>")]
    pub(super) connections: Vec<ConnectionRow>,
}

/// An open connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConnectionRow {
    pub(super) id: u64,
    pub(super) slot: u64,
    pub(super) protocol: SafeText,
    /// The version or dialect of the protocol, once it is known.
    pub(super) version: Option<SafeText>,
    pub(super) tls: bool,
    pub(super) peer: SafeText,
    pub(super) phase: SafeText,
    pub(super) age_ms: u64,
    pub(super) inactive_ms: u64,
    #[serde(rename = "in")]
    pub(super) received: u64,
    #[serde(rename = "out")]
    pub(super) sent: u64,
    /// Bytes of output that the socket has not accepted.
    pub(super) queued: u64,
    /// Received bytes that the protocol has not consumed.
    pub(super) unread: u64,
    pub(super) requests: u64,
    pub(super) last_request: Option<SafeText>,
    pub(super) deadline_ms: Option<u64>,
    /// What the connection waits for.
    pub(super) why: SafeText,
}

/// Why an answer is not used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadJson {
    /// It is not the JSON of the interface.
    Foreign,
    /// It has another version of the interface.
    Version(u64),
}

/// Parses a frame, the members of which a table has, too.
pub(super) fn parse_frame(json: &[u8]) -> Result<LoopFrame, BadJson> {
    /// The member that every version has.
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    // The error of serde is not shown: it may contain text of the server.
    let versioned: Versioned = serde_json::from_slice(json).map_err(|_| BadJson::Foreign)?;
    if versioned.version != INTERFACE_VERSION {
        return Err(BadJson::Version(versioned.version));
    }
    serde_json::from_slice(json).map_err(|_| BadJson::Foreign)
}

/// Parses the part of a table that a frame does not have.
pub(super) fn parse_connections(json: &[u8]) -> Result<ConnectionTable, BadJson> {
    serde_json::from_slice(json).map_err(|_| BadJson::Foreign)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A table as the server sends it.
    pub(in super::super) const TABLE: &str = r#"{"version":1,"program":"evserve 0.1.0","turn":81234,
        "time":"2026-11-27T15:40:01Z","uptime_ms":123456,"draining":false,"interval_ms":100,
        "open":{"http":3,"file":1,"ack":0,"admin":1},"max_connections":16000,
        "phases":{"handshake":0,"idle":2,"request":1,"sending":1,"streaming":1},
        "counters":{"accepted":10,"rejected":0,"requests":4000,"received_bytes":400000,"sent_bytes":9000000,
            "datagrams_received":0,"datagrams_answered":0,"closed":{"peer_closed":3,"idle_timeout":1}},
        "turns":{"count":81234,"work_us":12345678,"poll_us":99999,"events":90000,"driven":91000,"budget_hits":12,
            "time_us":{"bounds":[10,20,50,100,200,500,1000,2000,5000,10000,50000],
                "counts":[81000,100,100,20,10,1,1,1,0,0,0,1]},
            "recent":[[81233,1,1,900,12,0],[81234,2,3,100,4000,0]]},
        "timers":{"count":5,"next_ms":812,"due":{"1s":1,"10s":2,"60s":2,"later":0}},
        "stalls":{"count":1,"causes":{"open":1},"recent":[{"turn":500,"time":"2026-11-27T15:39:00Z","ms":82,
            "call":"open","call_ms":80,"connection":17}]},
        "cache":{"files":3,"bytes":12345,"max_bytes":67108864,"hits":3990,"misses":10},
        "watches":{"count":4},"library":{"uploads":1,"partial":2,"bytes":null},"matched":4,
        "connections":[
            {"id":17,"slot":6,"protocol":"http","version":"HTTP/1.1","tls":true,"peer":"127.0.0.1:50000",
             "phase":"idle","age_ms":12000,"inactive_ms":340,"in":1234,"out":56789,"queued":0,"unread":0,"requests":3,
             "last_request":"GET / HTTP/1.1","deadline_ms":59660,
             "why":"waits for the next request; closes in 59.7 s"},
            {"id":18,"slot":7,"protocol":"file","version":null,"tls":false,"peer":"[2001:db8::1]:50001",
             "phase":"request","age_ms":100,"inactive_ms":100,"in":0,"out":0,"queued":0,"unread":0,"requests":0,
             "last_request":null,"deadline_ms":null,"why":"waits for a command"}]}"#;

    #[test]
    fn a_table_is_parsed() {
        let frame = parse_frame(TABLE.as_bytes()).expect("a frame");
        assert_eq!((frame.turn, frame.open.get("file"), frame.timers.next_ms), (81234, 1, Some(812)));
        assert_eq!(frame.turns.recent.last(), Some(&(81234, 2, 3, 100, 4000, 0)));
        assert_eq!(frame.stalls.recent[0].connection, Some(17));
        let table = parse_connections(TABLE.as_bytes()).expect("a table");
        assert_eq!((table.matched, table.connections.len()), (4, 2));
        assert_eq!((table.connections[0].sent, table.connections[0].tls), (56789, true));
        assert_eq!(table.connections[1].version, None);
    }

    #[test]
    fn unknown_members_are_ignored_and_missing_ones_empty() {
        let frame = parse_frame(br#"{"version":1,"new":{"a":[1]},"open":{"quic":2}}"#).expect("a frame");
        assert_eq!((frame.open.get("quic"), frame.max_connections), (2, 0));
    }

    #[test]
    fn other_answers_are_rejected() {
        for (json, expected) in [
            ("<html>", BadJson::Foreign),
            ("", BadJson::Foreign),
            ("{}", BadJson::Foreign),
            (r#"{"version":1,"turn":-1}"#, BadJson::Foreign),
            (r#"{"version":1,"turn":"#, BadJson::Foreign),
            (r#"{"version":2,"turn":"x"}"#, BadJson::Version(2)),
        ] {
            assert_eq!(parse_frame(json.as_bytes()).err(), Some(expected), "{json}");
        }
        let cut = |end: usize| parse_frame(&TABLE.as_bytes()[..end]).err();
        assert!((0..TABLE.len()).all(|end| cut(end) == Some(BadJson::Foreign)));
        assert_eq!(parse_frame(b"{\"version\":1,\"program\":\"\xff\"}").err(), Some(BadJson::Foreign));
    }

    #[test]
    fn lists_are_bounded() {
        let list = |element: &str, count| format!("[{}]", vec![element; count].join(","));
        let names: Vec<String> = (0..2000).map(|at| format!("\"{at}\":1")).collect();
        let (numbers, turns, stalls) = (list("1", 2000), list("[1,2,3,4,5,6]", 2000), list("{}", 2000));
        let json = format!(
            r#"{{"version":1,"open":{{{}}},"turns":{{"recent":{turns},
            "time_us":{{"bounds":{numbers},"counts":{numbers}}}}},"stalls":{{"recent":{stalls}}},"turn":7}}"#,
            names.join(",")
        );
        let frame = parse_frame(json.as_bytes()).expect("a frame");
        let times = &frame.turns.time_us;
        let lengths = [frame.open.0.len(), frame.turns.recent.len(), frame.stalls.recent.len()];
        assert_eq!((lengths, frame.turn), ([ELEMENTS_MAX; 3], 7));
        assert_eq!((times.bounds.len(), times.counts.len()), (BUCKETS_MAX, BUCKETS_MAX));
        let json = format!("{{\"connections\":{},\"matched\":9}}", list("{}", CONNECTIONS_MAX + 1));
        let table = parse_connections(json.as_bytes()).expect("a table");
        assert_eq!((table.connections.len(), table.matched), (CONNECTIONS_MAX, 9));
    }

    #[test]
    fn texts_cannot_control_the_terminal() {
        for letter in ['\u{1b}', '\n', '\r', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}', '\0'] {
            assert_eq!(SafeText::new(&format!("a{letter}[2Jb")).as_str(), "a?[2Jb", "{letter:?}");
        }
        assert_eq!(SafeText::new("\u{6536}\u{5230} \u{e9}").as_str(), "\u{6536}\u{5230} \u{e9}");
        let frame = parse_frame(br#"{"version":1,"program":"\u001b]0;x\u0007","open":{"\u001b[2J":1}}"#);
        let frame = frame.expect("a frame");
        assert_eq!((frame.program.as_str(), frame.open.get("?[2J")), ("?]0;x?", 1));
        assert_eq!(SafeText::new(&"a".repeat(10_000)).as_str().len(), TEXT_CHARS_MAX);
    }
}
