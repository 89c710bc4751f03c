//! Drives a protocol without sockets: a script of bytes goes in, the output and the close reason come out. To
//! add a case, call `however_cut` with a script, or `Talk::input` and `Talk::wait` where time matters.

use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use evserve::clock::{Instant, Now};
use evserve::close_reason::CloseReason;
use evserve::limits::Limits;
use evserve::outbox::Outbox;
use evserve::peer::Peer;
use evserve::protocol::{AnyProtocol, Demand, Kind, Protocol, Step};
use evserve::services::Services;
use evserve::site::Rules;
use evserve::store::{Library, LibraryRules, MemoryStore, Store};

use crate::simulation::tls_scripts;

/// Returns the start of a test, with a fixed wall clock.
pub fn start() -> Now {
    Now { monotonic: Instant::now(), wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000) }
}

/// Returns the small site that most tests serve.
pub fn site() -> MemoryStore {
    MemoryStore::default()
        .with("index.html", "<p>front")
        .with("a.txt", "hello")
        .with("sub/index.html", "<p>sub")
        .with("empty/x/y", "")
        .with("note", "plain words")
        .with(".hidden", "no")
        .with(".well-known/acme", "yes")
        .with("b c#d.txt", "odd name")
        .with("large.bin", vec![b'x'; 100_000])
}

/// The result of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub output: Vec<u8>,
    /// The close reason, once the protocol has ended.
    pub ending: Option<CloseReason>,
}

/// Returns a read-only library, for tests that do not use one.
pub fn no_library() -> Library {
    let rules = LibraryRules { read_only: true, ..LibraryRules::default() };
    Library::open(Path::new("/"), rules).expect("a library")
}

/// The protocol of one connection, with the services that it uses.
pub struct Talk {
    pub services: Services,
    pub now: Now,
    protocol: AnyProtocol,
    outbox: Outbox,
    unread: Vec<u8>,
    /// When bytes were last received or sent.
    moved: Instant,
    pub outcome: Outcome,
}

impl Talk {
    pub fn new(site: impl Store + 'static) -> Talk {
        Talk::by(Rules::default(), site)
    }

    /// Speaks HTTP and serves a site with these rules.
    pub fn by(rules: Rules, site: impl Store + 'static) -> Talk {
        Talk::of(Kind::Http, site, rules, no_library())
    }

    /// Speaks any protocol, with a library.
    pub fn with_library(kind: Kind, site: impl Store + 'static, library: Library) -> Talk {
        Talk::of(kind, site, Rules::default(), library)
    }

    fn of(kind: Kind, site: impl Store + 'static, rules: Rules, library: Library) -> Talk {
        let now = start();
        Talk {
            services: Services::new(Box::new(site), rules, library, Limits::default(), now),
            now,
            protocol: kind.start(now.monotonic),
            outbox: Outbox::default(),
            unread: Vec::new(),
            moved: now.monotonic,
            outcome: Outcome { output: Vec::new(), ending: None },
        }
    }

    /// Delivers `bytes` from the peer.
    pub fn input(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        self.moved = self.now.monotonic;
        while self.outcome.ending.is_none() && !self.unread.is_empty() {
            match self.protocol.on_input(
                &self.unread,
                &mut self.outbox,
                &mut self.services.context(Peer::Unix),
            ) {
                Step::Consumed(count) | Step::Pending(count) => {
                    assert!(count > 0, "a step without progress");
                    self.unread.drain(..count);
                }
                Step::NeedInput => break,
                Step::Finish(_, reason) => self.outcome.ending = Some(reason),
            }
            self.send();
            self.produce();
        }
        self.send();
    }

    /// Runs turns until the response is complete.
    fn produce(&mut self) {
        let mut turns = 0;
        while self.produce_slice().is_some() {
            turns += 1;
            assert!(turns < 10_000, "an answer without end");
        }
    }

    /// Runs one turn if the response needs one. Returns the number of bytes sent in it.
    fn produce_slice(&mut self) -> Option<usize> {
        if self.outcome.ending.is_some() || self.protocol.demand() != Demand::Turn {
            return None;
        }
        self.services.run_background_tasks();
        self.outcome.ending = self.protocol.resume(&mut self.outbox, &mut self.services.context(Peer::Unix));
        let before = self.outcome.output.len();
        self.send();
        Some(self.outcome.output.len() - before)
    }

    /// Delivers a request and calls `seen` after every turn of its response, with the number of bytes sent in
    /// the turn.
    pub fn each_turn(&mut self, request: &[u8], mut seen: impl FnMut(usize)) {
        self.outcome.output.clear();
        let step = self.protocol.on_input(request, &mut self.outbox, &mut self.services.context(Peer::Unix));
        assert!(
            matches!(step, Step::Consumed(taken) | Step::Pending(taken) if taken == request.len()),
            "{step:?}"
        );
        self.send();
        while let Some(bytes) = self.produce_slice() {
            seen(bytes);
        }
    }

    /// Delivers EOF from the peer.
    pub fn eof(&mut self) {
        if self.outcome.ending.is_none() {
            let rest = std::mem::take(&mut self.unread);
            self.outcome.ending =
                self.protocol.on_eof(&rest, &mut self.outbox, &mut self.services.context(Peer::Unix));
            self.send();
            if self.outcome.ending.is_none() {
                self.produce();
                self.outcome.ending =
                    self.protocol.on_eof(&[], &mut self.outbox, &mut self.services.context(Peer::Unix));
                self.send();
            }
        }
    }

    /// Advances the clock and calls `on_deadline` if the deadline has passed.
    pub fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.services.begin_turn(self.now);
        if self.outcome.ending.is_none() && self.deadline() <= self.now.monotonic {
            self.outcome.ending =
                self.protocol.on_deadline(&mut self.outbox, &mut self.services.context(Peer::Unix));
            self.send();
        }
    }

    /// Returns the current deadline of the protocol.
    pub fn deadline(&self) -> Instant {
        self.protocol.deadline(Some(self.moved), &self.services.core).expect("a deadline")
    }

    fn send(&mut self) {
        if !self.outbox.is_empty() {
            self.moved = self.now.monotonic;
        }
        while !self.outbox.is_empty() {
            if let Some((file, range)) = self.outbox.front_file() {
                let before = self.outcome.output.len();
                self.outcome.output.resize(before + (range.end - range.start) as usize, 0);
                file.read_exact_at(&mut self.outcome.output[before..], range.start).expect("a file");
                self.outbox.advance(self.outcome.output.len() - before);
                continue;
            }
            let mut pieces = [IoSlice::new(&[]); 4];
            let (count, _) = self.outbox.gather(&mut pieces, usize::MAX);
            assert!(count > 0, "these tests have no pauses");
            let before = self.outcome.output.len();
            pieces[..count].iter().for_each(|piece| self.outcome.output.extend_from_slice(piece));
            self.outbox.advance(self.outcome.output.len() - before);
        }
    }
}

/// Delivers a script in these pieces, followed by EOF if `ends` is set.
pub fn converse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, ends: bool) -> Outcome {
    let mut talk = Talk::new(site());
    for piece in pieces {
        talk.input(piece);
    }
    if ends {
        talk.eof();
    }
    talk.outcome
}

/// Delivers `script` and asserts that the outcome does not depend on how it is split: in one piece, in two
/// pieces split anywhere, byte by byte, and in random pieces.
pub fn however_cut(script: &[u8], ends: bool) -> Outcome {
    let whole = converse([script], ends);
    let check = |outcome: Outcome, how: &str| {
        if outcome != whole {
            panic!(
                "{how} differs for {:?}\nwhole: {:?} {}\n{how}: {:?} {}",
                String::from_utf8_lossy(script),
                whole.ending,
                String::from_utf8_lossy(&whole.output),
                outcome.ending,
                String::from_utf8_lossy(&outcome.output)
            );
        }
    };
    check(converse(script.chunks(1), ends), "byte by byte");
    // Every position of a short script, about 400 positions of a long one.
    for cut in (0..script.len()).step_by(script.len() / 400 + 1) {
        check(converse([&script[..cut], &script[cut..]], ends), &format!("cut at {cut}"));
    }
    let seed = script.iter().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..5 {
        let mut rest = script;
        let pieces = std::iter::from_fn(|| {
            let (piece, tail) = rest.split_at(random.usize(1..=rest.len().clamp(1, 50)).min(rest.len()));
            rest = tail;
            (!piece.is_empty()).then_some(piece)
        });
        check(converse(pieces, ends), &format!("random pieces (seed {seed}, round {round})"));
    }
    if cfg!(feature = "tls") {
        let server = || (Kind::Http, Talk::new(site()).services, start());
        tls_scripts::check(server, script, ends, &whole);
    }
    whole
}
