//! Compares the library with a model, a map, under random operations from many connections of both protocols
//! at once, cut anywhere, some never finished. To add an operation, see `operations.rs`, and let `Harness::job`
//! choose it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use evserve::clock::Now;
use evserve::protocol::{Dialect, Kind};
use evserve::services::{LibrarySite, Services};
use evserve::site::{Rules, Site};
use evserve::store::{Bounds, Library, LibraryRules, MemoryStore, OnDuplicate};
use fastrand::Rng;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::operations::{Job, MAX_UPLOAD, NAMES, Op, Peer, Reply, is_name, line, lines_script};
use crate::conversation::{Talk, no_library, start};
use crate::process::folder_in_memory;
use crate::reading::take_response;

/// A library, and the model of its content.
struct Harness {
    folder: TempDir,
    services: Services,
    now: Now,
    random: Rng,
    overwrite: bool,
    model: BTreeMap<&'static str, Vec<u8>>,
    tags: Vec<(String, Vec<u8>)>,
    /// The number of uploads, which is the length of most of them, so that files and their tags differ.
    uploads: usize,
}

impl Harness {
    fn new(seed: u64, overwrite: bool) -> Harness {
        let folder = folder_in_memory();
        let on_duplicate = if overwrite { OnDuplicate::Replace } else { OnDuplicate::Refuse };
        let rules = LibraryRules { on_duplicate, max_upload: MAX_UPLOAD as u64, ..LibraryRules::default() };
        let library = Library::open(folder.path(), rules).unwrap();
        let mut services = Talk::with_library(Kind::Http, MemoryStore::default(), library).services;
        let store = services.core.library.files();
        let site = Site::new(Box::new(store), Rules::of_uploads(), Bounds::within(100));
        services.http.library = Some(LibrarySite { site, allow_delete: true });
        let (random, model) = (Rng::with_seed(seed), BTreeMap::new());
        Harness { folder, services, now: start(), random, overwrite, model, tags: Vec::new(), uploads: 0 }
    }

    fn peer(&mut self) -> Peer {
        let http = self.random.bool();
        let dialect = if self.random.bool() { Dialect::Auto } else { Dialect::Lines };
        let kind = if http { Kind::Http } else { Kind::File(dialect) };
        let talk = Talk::with_library(kind, MemoryStore::default(), no_library());
        Peer { talk, http, job: None, restart: 0 }
    }

    fn job(&mut self, http: bool) -> Job {
        let name = NAMES[self.random.usize(..NAMES.len())];
        let op = match self.random.u8(..16) {
            0..8 => self.put(http),
            8..10 => Op::Get(self.random.choice(&self.tags).filter(|_| http).cloned()),
            10 => Op::Get(None),
            11 => Op::List,
            12 | 13 if http => Op::Delete,
            12 => Op::Restart(self.random.usize(..100)),
            13 => Op::Stat,
            14 if http => Op::Get(None),
            14 => Op::Nonsense,
            _ => Op::List,
        };
        let (head, body) = if http { self.http_script(name, &op) } else { lines_script(name, &op) };
        let (head, script) = (head.len(), [head.into_bytes(), body].concat());
        Job { name, op, script, head, sent: 0, accepted: false, refused: None }
    }

    fn put(&mut self, http: bool) -> Op {
        self.uploads += 1;
        let length_known = self.random.u8(..3) > 0;
        let length = match self.random.u8(..20) {
            0 if length_known => MAX_UPLOAD + 1,
            1 => 0,
            _ => self.uploads,
        };
        // The terminator, commands and telnet controls are plain data, except in typed text.
        let words: &[&[u8]] =
            if http || length_known { &[b"\n##\n", b"Q\n", b"\xff\xf4\0"] } else { &[b"ab\n"] };
        let mut bytes = Vec::new();
        while bytes.len() < length {
            bytes.extend_from_slice(words[self.random.usize(..words.len())]);
        }
        bytes.truncate(length);
        if !http && !length_known {
            // Typed text ends with a line feed.
            bytes.last_mut().into_iter().for_each(|last| *last = b'\n');
        }
        Op::Put { bytes, length_known, only_new: http && self.random.u8(..4) == 0 }
    }

    fn http_script(&mut self, name: &str, op: &Op) -> (String, Vec<u8>) {
        let path: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let request = |line: &str, fields: &str| {
            format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").replace("NAME", &path)
        };
        let head = match op {
            Op::Get(Some((tag, _))) => request("GET /files/NAME", &format!("If-None-Match: {tag}\r\n")),
            Op::List => request("GET /files/?text", ""),
            Op::Delete => request("DELETE /files/NAME", ""),
            Op::Put { bytes, length_known, only_new } => {
                let condition = if *only_new { "If-None-Match: *\r\n" } else { "" };
                if *length_known {
                    let fields = format!("{condition}Content-Length: {}\r\n", bytes.len());
                    return (request("PUT /files/NAME", &fields), bytes.clone());
                }
                let mut body = Vec::new();
                for chunk in bytes.chunks(self.random.usize(1..2000)) {
                    body.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
                }
                body.extend_from_slice(b"0\r\n\r\n");
                let fields = format!("{condition}Transfer-Encoding: chunked\r\n");
                return (request("PUT /files/NAME", &fields), body);
            }
            _ => request("GET /files/NAME", ""),
        };
        (head, Vec::new())
    }

    /// Returns the replies that follow a command line at once.
    fn line_replies(&self, job: &mut Job, restart: &mut usize) -> Vec<Reply> {
        let from = std::mem::take(restart);
        let file = self.model.get(job.name);
        let missing = || match is_name(job.name) {
            true => line("ERR not-found no such file"),
            false => line(
                "ERR bad-name a name is 1 to 255 bytes of UTF-8 without / and control characters, and does not start with a dot",
            ),
        };
        vec![match (&job.op, file) {
            (Op::Put { bytes, .. }, _) if is_name(job.name) && bytes.len() > MAX_UPLOAD => {
                return vec![line("ERR too-large the file exceeds the size limit"), Reply::Close];
            }
            (Op::Put { .. }, _) if !is_name(job.name) => missing(),
            (Op::Put { length_known, bytes, .. }, Some(file)) if !self.overwrite => {
                // Bytes of the same length are compared; the script's bytes differ in any case, unless empty.
                return match *length_known && bytes.is_empty() && file.is_empty() {
                    true => vec![line(format!("OK 0 {}", digits(b"")))],
                    false => vec![line("ERR exists a file with this name exists")],
                };
            }
            (Op::Put { length_known, .. }, _) => {
                job.accepted = true;
                let ready = line("OK send lines, end with ##");
                return if *length_known { Vec::new() } else { vec![ready] };
            }
            (Op::Get(_) | Op::Stat, None) => missing(),
            (Op::Get(_), Some(bytes)) if from > bytes.len() => {
                line(format!("ERR bad-length the file has {} bytes", bytes.len()))
            }
            (Op::Get(_), Some(bytes)) => {
                let start = format!("OK {}\r\n", bytes.len() - from).into_bytes();
                Reply::Line([&start, &bytes[from..]].concat())
            }
            (Op::Stat, Some(bytes)) => line(format!("OK {} {}", bytes.len(), "?".repeat(20))),
            (Op::Restart(offset), _) => {
                *restart = *offset;
                line(format!("OK {offset}"))
            }
            (Op::List, _) => {
                let files = self.model.iter();
                let items: String = files
                    .map(|(name, bytes)| format!("\r\n{} {} {name}", bytes.len(), "?".repeat(20)))
                    .collect();
                line(format!("OK {}{items}", self.model.len()))
            }
            (Op::Nonsense | Op::Delete, _) => line("ERR bad-command HELP lists the commands"),
        }]
    }

    /// Returns the reply that follows the last byte of a PUT.
    fn upload_reply(&mut self, job: &Job) -> Option<Reply> {
        let Op::Put { bytes, .. } = &job.op else { return None };
        if !job.accepted {
            return None;
        }
        if !self.overwrite && self.model.contains_key(job.name) {
            return Some(line("ERR exists a file with this name exists"));
        }
        self.model.insert(job.name, bytes.clone());
        Some(line(format!("OK {} {}", bytes.len(), digits(bytes))))
    }

    /// Returns the status of a PUT over HTTP that is refused.
    fn rejection(&self, job: &Job) -> Option<u16> {
        let Op::Put { bytes, only_new, length_known } = &job.op else { return None };
        let exists = self.model.contains_key(job.name);
        match () {
            () if !is_name(job.name) => Some(400),
            () if exists && *only_new => Some(412),
            () if *length_known && bytes.len() > MAX_UPLOAD => Some(413),
            // Bytes are compared with the stored ones; the script's bytes differ in any case, unless empty.
            () if exists && !self.overwrite && !(bytes.is_empty() && self.model[job.name].is_empty()) => {
                Some(409)
            }
            () => None,
        }
    }

    /// Returns the response that follows the last byte of a request.
    fn http_reply(&mut self, job: &Job) -> Reply {
        let file = self.model.get(job.name);
        match &job.op {
            // A PUT that was refused at the end of its head stays refused, even if the reason is gone.
            Op::Put { bytes, .. } => match job.refused.or_else(|| self.rejection(job)) {
                Some(status) => Reply::Http(status, None),
                None => {
                    let replaced = self.model.insert(job.name, bytes.clone()).is_some();
                    Reply::Http(if replaced { 204 } else { 201 }, None)
                }
            },
            Op::List => Reply::Http(
                200,
                Some(self.model.keys().map(|name| format!("{name}\n")).collect::<String>().into()),
            ),
            Op::Delete => Reply::Http(if self.model.remove(job.name).is_some() { 204 } else { 404 }, None),
            Op::Get(Some((_, bytes))) if file == Some(bytes) => Reply::Http(304, None),
            _ => file.map_or(Reply::Http(404, None), |bytes| Reply::Http(200, Some(bytes.clone()))),
        }
    }

    /// Sends the next piece of a peer's operations, and checks the replies that follow at once.
    fn step(&mut self, peer: &mut Peer) {
        let most = [5, 100, 2 * MAX_UPLOAD][self.random.usize(..3)];
        let mut left = self.random.usize(1..=most);
        let (mut piece, mut replies) = (Vec::new(), Vec::new());
        while left > 0 && !matches!(replies.last(), Some(Reply::Close)) {
            let mut job = peer.job.take().unwrap_or_else(|| self.job(peer.http));
            let to_head = job.head.saturating_sub(job.sent);
            let taken = left.min(if to_head > 0 { to_head } else { job.script.len() - job.sent });
            piece.extend_from_slice(&job.script[job.sent..][..taken]);
            job.sent += taken;
            left -= taken;
            if to_head > 0 && job.sent == job.head {
                match peer.http {
                    true => job.refused = self.rejection(&job),
                    false => replies.extend(self.line_replies(&mut job, &mut peer.restart)),
                }
                // Text is typed only after the PUT was accepted.
                if !peer.http && !job.accepted && matches!(job.op, Op::Put { length_known: false, .. }) {
                    continue;
                }
            }
            match job.sent == job.script.len() {
                true if peer.http => replies.push(self.http_reply(&job)),
                true => replies.extend(self.upload_reply(&job)),
                false => peer.job = Some(job),
            }
        }
        self.now = self.now + Duration::from_millis(150);
        self.with_services(peer, |talk| talk.input(&piece));
        self.check(peer, &replies, &piece);
    }

    /// Lends the shared services to a peer for one turn.
    fn with_services(&mut self, peer: &mut Peer, turn: impl FnOnce(&mut Talk)) {
        // `step` advances the clock by more than the 100 ms for which HTTP may serve cached files.
        self.services.core.clock.advance(self.now);
        peer.talk.now = self.now;
        std::mem::swap(&mut self.services, &mut peer.talk.services);
        turn(&mut peer.talk);
        std::mem::swap(&mut self.services, &mut peer.talk.services);
    }

    fn check(&mut self, peer: &mut Peer, replies: &[Reply], piece: &[u8]) {
        let output = std::mem::take(&mut peer.talk.outcome.output);
        let mut rest = &output[..];
        let mut closes = false;
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
        for reply in replies {
            let before = rest;
            let context = || format!("{:?} brought {:?}, expected {reply:?}", text(piece), text(before));
            match reply {
                Reply::Line(bytes) => {
                    let found = rest.split_off(..bytes.len()).unwrap_or_else(|| panic!("{}", context()));
                    let like = |(wanted, byte): (&u8, &u8)| *wanted == b'?' || wanted == byte;
                    assert!(bytes.iter().zip(found).all(like), "{}", context());
                }
                Reply::Http(status, body) => {
                    let found = take_response(&mut rest, false).unwrap_or_else(|| panic!("{}", context()));
                    assert_eq!(found.status, *status, "{}", context());
                    assert!(body.as_ref().is_none_or(|body| found.body == *body), "{}", context());
                    closes |= found.closes();
                    let tag = found.field("ETag").filter(|_| !found.body.is_empty());
                    self.tags.extend(tag.map(|tag| (tag.to_owned(), found.body.clone())));
                }
                Reply::Close => closes = true,
            }
        }
        assert!(rest.is_empty(), "{:?} brought {:?} too much", text(piece), text(rest));
        assert_eq!(peer.talk.outcome.ending.is_some(), closes, "{:?}", text(piece));
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        // Except on Linux, an incomplete upload has a hidden name.
        let visible = names.filter(|name| !name.to_str().unwrap().starts_with('.')).count();
        assert_eq!(visible, self.model.len(), "after {:?}", text(piece));
    }
}

fn digits(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_library_matches_its_model_under_random_operations() {
    for seed in 0..16 {
        let mut harness = Harness::new(seed, seed % 2 == 0);
        let mut peers: Vec<Peer> = (0..12).map(|_| harness.peer()).collect();
        for _ in 0..700 {
            let index = harness.random.usize(..peers.len());
            let peer = &mut peers[index];
            match harness.random.u8(..50) {
                // The peer disconnects, maybe in the middle of an upload.
                0 => {
                    let in_body = peer.job.as_ref().is_some_and(|job| job.sent >= job.head);
                    if in_body {
                        harness.with_services(peer, Talk::eof);
                    }
                    peers[index] = harness.peer();
                }
                _ => harness.step(peer),
            }
            if peers[index].talk.outcome.ending.is_some() {
                peers[index] = harness.peer();
            }
        }
        drop(peers);
        let entries = fs::read_dir(harness.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let found: BTreeMap<String, Vec<u8>> = entries
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
            .collect();
        let model = harness.model.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        assert!(found == model, "seed {seed}: {:?} are there, {:?} should be", found.keys(), model.keys());
    }
}
