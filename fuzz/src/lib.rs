//! Drives a protocol with the bytes of a fuzzer: in one piece, byte by byte and in two pieces. The protocol
//! must never panic, and its output and close reason must not depend on how the bytes are split.
//!
//! To add a target, add a file to `fuzz_targets/`, a `[[bin]]` to `Cargo.toml` and seeds to `seeds/`.

mod tls;

use std::io::IoSlice;

use evserve::clock::{Instant, Now};
use evserve::close_reason::CloseReason;
use evserve::limits::Limits;
use evserve::outbox::Outbox;
use evserve::peer::Peer;
use evserve::protocol::{Demand, Dialect, Kind, Protocol, Step};
use evserve::services::{LibrarySite, Services};
use evserve::site::{Rules, Site};
use evserve::store::{Bounds, Library, LibraryRules, MemoryStore};
pub use tls::tls;

/// The result of a script.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    output: Vec<u8>,
    close: Option<CloseReason>,
}

/// A server with a small site and a library. Every script gets its own, so that scripts do not affect each
/// other.
struct Server {
    services: Services,
    now: Instant,
    _folder: tempfile::TempDir,
}

impl Server {
    fn new() -> Server {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let rules = LibraryRules { max_upload: 1 << 16, ..LibraryRules::default() };
        let library = Library::open(folder.path(), rules).expect("a library");
        let files = MemoryStore::default().with("index.html", "<p>front").with("a.txt", "0123456789");
        let library_site = Site::new(Box::new(library.files()), Rules::of_uploads(), Bounds::within(100));
        let now = Now::read();
        let mut services = Services::new(Box::new(files), Rules::default(), library, Limits::default(), now);
        services.http.library = Some(LibrarySite { site: library_site, allow_delete: true });
        Server { services, now: now.monotonic, _folder: folder }
    }

    /// Delivers the pieces one after the other and collects the output.
    fn converse<'a>(mut self, kind: Kind, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let mut protocol = kind.start(self.now);
        let (mut outbox, mut unread) = (Outbox::default(), Vec::new());
        let mut outcome = Outcome { output: Vec::new(), close: None };
        for piece in pieces {
            unread.extend_from_slice(piece);
            while outcome.close.is_none() && !unread.is_empty() {
                let mut cx = self.services.context(Peer::Unix);
                match protocol.on_input(&unread, &mut outbox, &mut cx) {
                    Step::Consumed(count) | Step::Pending(count) => {
                        assert!((1..=unread.len()).contains(&count), "a step that takes {count}");
                        unread.drain(..count);
                    }
                    Step::NeedInput => break,
                    Step::Finish(_, reason) => outcome.close = Some(reason),
                }
                while outcome.close.is_none() && protocol.demand() == Demand::Turn {
                    self.services.run_background_tasks();
                    outcome.close = protocol.resume(&mut outbox, &mut self.services.context(Peer::Unix));
                    send(&mut outbox, &mut outcome.output);
                }
                send(&mut outbox, &mut outcome.output);
            }
        }
        outcome
    }
}

/// Moves the outbox to `output`; for a range of a file, only its length.
fn send(outbox: &mut Outbox, output: &mut Vec<u8>) {
    while !outbox.is_empty() {
        if outbox.front_pause().is_some() {
            outbox.end_pause();
        } else if let Some((_, range)) = outbox.front_file() {
            let length = (range.end - range.start) as usize;
            output.extend_from_slice(format!("[{length} bytes]").as_bytes());
            outbox.advance(length);
        } else {
            let mut pieces = [IoSlice::new(&[]); 16];
            let (count, _) = outbox.gather(&mut pieces, usize::MAX);
            let before = output.len();
            pieces[..count].iter().for_each(|piece| output.extend_from_slice(piece));
            outbox.advance(output.len() - before);
        }
    }
}

/// Asserts that the outcome of `script` does not depend on how it is split.
fn check(kind: Kind, script: &[u8]) {
    check_by(kind, script, |outcome| outcome);
}

/// Like [`check`], but compares only what `seen` returns.
fn check_by<T: PartialEq + std::fmt::Debug>(kind: Kind, script: &[u8], seen: impl Fn(Comparable) -> T) {
    if script.is_empty() || script.len() > 32 * 1024 {
        return;
    }
    // The bodies of /time and /session differ from run to run, and `%` may encode these paths: such scripts
    // are only checked for panics.
    if [&b"/time"[..], b"/session", b"%"].iter().any(|odd| contains(script, odd)) {
        Server::new().converse(kind, [script]);
        return;
    }
    let compared = |outcome| seen(comparable(outcome));
    let whole = compared(Server::new().converse(kind, [script]));
    let by_byte = compared(Server::new().converse(kind, script.chunks(1)));
    assert_eq!(whole, by_byte, "byte by byte differs");
    let cut = usize::from(script[script.len() / 2]) * script.len() / 256;
    let in_two = compared(Server::new().converse(kind, [&script[..cut], &script[cut..]]));
    assert_eq!(whole, in_two, "cut at {cut} differs");
}

/// The lines of an outcome, and its close reason.
type Comparable = (Vec<String>, Option<CloseReason>);

/// Removes the fields that depend on the time, and replaces the random boundary.
fn comparable(outcome: Outcome) -> Comparable {
    let text = String::from_utf8_lossy(&outcome.output).into_owned();
    let differs = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !["date:", "last-modified:", "etag:"].iter().any(|name| line.starts_with(name))
    };
    // A response with several ranges has a random boundary.
    let text = match text.split_once("boundary=") {
        Some((_, rest)) => match rest.get(..16) {
            Some(boundary) => text.replace(boundary, "B"),
            None => text.clone(),
        },
        None => text,
    };
    (text.lines().filter(differs).map(str::to_owned).collect(), outcome.close)
}

fn contains(script: &[u8], wanted: &[u8]) -> bool {
    script.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted))
}

/// Tests HTTP from the first byte.
pub fn http(script: &[u8]) {
    check(Kind::Http, script);
}

/// Tests an upload. After a rejection, it depends on how much of the body has been received whether the
/// connection persists, so that is not compared.
pub fn http_upload(script: &[u8]) {
    check_by(Kind::Http, script, |(lines, _)| {
        lines.into_iter().filter(|line| !line.starts_with("Connection: ")).collect::<Vec<_>>()
    });
}

/// Tests a field of a GET request.
pub fn http_field(name: &str, value: &[u8]) {
    let head = format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{name}: ");
    check(Kind::Http, &[head.as_bytes(), value, b"\r\n\r\n"].concat());
}

/// Tests the file protocol in lines.
pub fn lines(script: &[u8]) {
    // HASH and LIST take several turns, which `converse` runs.
    check(Kind::File(Dialect::Lines), script);
}
