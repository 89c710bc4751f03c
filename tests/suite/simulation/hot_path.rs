//! Counts what a keep-alive request costs: system calls and allocations. The loop is the real one, over a
//! transport that counts. To add a case, add a row (path, fields, allocations), or `play` a batch.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use evserve::clock::Now;
use evserve::event_loop::{EventLoop, Network, Readiness, Token};
use evserve::limits::Limits;
use evserve::observe::LogFile;
use evserve::observe::{AccessLog, Format};
use evserve::peer::Peer;
use evserve::protocol::Kind;
use evserve::services::Services;
use evserve::site::Rules;
use evserve::store::{DirReader, DiskStore, FileVersion, Opened, Store, StoreError};
use evserve::transport::Transport;

use super::datagrams::SimSocket;
use crate::conversation::no_library;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// An allocator that counts the allocations of each thread.
struct Counting;

// SAFETY: every call is forwarded unchanged to the system allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer comes from `alloc` or `realloc` above, and thus from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the pointer comes from `alloc` or `realloc` above, and thus from the system allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The calls on the transport and the store.
#[derive(Default)]
struct Counts {
    recv: Cell<u64>,
    send: Cell<u64>,
    send_file: Cell<u64>,
    sent: Cell<u64>,
    /// Files and folders that were opened.
    opened: Cell<u64>,
    /// Whether the next batch of requests has arrived.
    arrived: Cell<bool>,
}

/// A peer that sends the same batch repeatedly and reads everything.
struct Replay {
    counts: Rc<Counts>,
    batch: Rc<[u8]>,
}

impl Transport for Replay {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.counts.recv.set(self.counts.recv.get() + 1);
        if !self.counts.arrived.replace(false) {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..self.batch.len()].copy_from_slice(&self.batch);
        Ok(self.batch.len())
    }

    fn send(&mut self, pieces: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        self.counts.send.set(self.counts.send.get() + 1);
        let count: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.counts.sent.set(self.counts.sent.get() + count as u64);
        Ok(count)
    }

    fn send_file(&mut self, _file: &File, _offset: u64, count: usize, _: bool) -> io::Result<usize> {
        self.counts.send_file.set(self.counts.send_file.get() + 1);
        Ok(count)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn unacknowledged(&self) -> Option<usize> {
        Some(0)
    }

    fn short_recv_drains(&self) -> bool {
        true
    }
}

/// A disk store that counts opened files and folders.
struct CountingDisk(DiskStore, Rc<Counts>);

impl Store for CountingDisk {
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError> {
        self.1.opened.set(self.1.opened.get() + 1);
        self.0.open(path)
    }

    fn version(&self, path: &[u8]) -> Option<FileVersion> {
        self.0.version(path)
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        self.1.opened.set(self.1.opened.get() + 1);
        self.0.list(path)
    }
}

/// A network with one peer.
struct OnePeer(Option<Replay>, Rc<Cell<Option<Token>>>);

impl Network for OnePeer {
    type Listener = ();
    type Stream = Replay;
    type Datagrams = SimSocket;

    fn accept(&mut self, _: &mut ()) -> io::Result<(Replay, Peer)> {
        let peer = Peer::from(SocketAddr::from(([127, 0, 0, 1], 1)));
        self.0.take().map(|stream| (stream, peer)).ok_or(ErrorKind::WouldBlock.into())
    }

    fn accept_on_reserve(&mut self, listener: &mut ()) -> io::Result<(Replay, Peer)> {
        self.accept(listener)
    }

    fn refill_reserve(&mut self) {}

    fn register(&mut self, _: &mut Replay, token: Token) -> io::Result<()> {
        self.1.set(Some(token));
        Ok(())
    }

    fn register_listener(&mut self, _: &mut (), _: Token) -> io::Result<()> {
        Ok(())
    }

    fn register_datagrams(&mut self, _: &mut SimSocket, _: Token) -> io::Result<()> {
        Ok(())
    }
}

const ROUNDS: u64 = 2000;

/// Sends `batch` repeatedly, a millisecond apart, and returns the allocations and calls of [`ROUNDS`] batches
/// in the steady state.
fn play(batch: &str, log: Option<Format>) -> (u64, Counts) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1k.html"), "k".repeat(1024)).unwrap();
    fs::write(folder.path().join("40k.html"), "k".repeat(40_000)).unwrap();
    fs::write(folder.path().join("large.bin"), "k".repeat(200_000)).unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("sub/index.html"), "k").unwrap();
    let mut now = Now::read();
    fs::write(folder.path().join("words.html"), "words ".repeat(1000)).unwrap();
    let (counts, token) = (Rc::new(Counts::default()), Rc::default());
    let store = CountingDisk(DiskStore::new(folder.path()).unwrap(), Rc::clone(&counts));
    let mut services = Services::new(Box::new(store), Rules::default(), no_library(), Limits::default(), now);
    services.http.access_log = log.map(|format| {
        let file = LogFile::append_to(&folder.path().join("access.log")).unwrap();
        AccessLog::new(file, format)
    });
    let stream = Replay { counts: Rc::clone(&counts), batch: batch.as_bytes().into() };
    let mut event_loop = EventLoop::new(OnePeer(Some(stream), Rc::clone(&token)), services);
    event_loop.listen((), Kind::Http).unwrap();
    event_loop.turn(now, []);
    let token = token.get().unwrap();
    let mut rounds = |count: u64| {
        for _ in 0..count {
            // During the first rounds, the new files stop being racily clean (see `FileVersion`).
            now = now + Duration::from_millis(1);
            counts.arrived.set(true);
            event_loop.turn(now, [Readiness { token, readable: true, writable: false, ending: false }]);
        }
    };
    rounds(500);
    for count in [&counts.recv, &counts.send, &counts.send_file, &counts.sent, &counts.opened] {
        count.set(0);
    }
    let before = ALLOCATIONS.get();
    rounds(ROUNDS);
    let allocations = ALLOCATIONS.get() - before;
    drop(event_loop);
    (allocations, Rc::into_inner(counts).unwrap())
}

const GET: &str = "GET /1k.html HTTP/1.1\r\nHost: localhost:7890\r\nUser-Agent: wrk\r\nAccept: */*\r\n\r\n";

#[test]
fn a_request_costs_one_recv_one_send_and_no_allocation() {
    for path in ["/1k.html", "/sub/", "/40k.html", "/1k%2Ehtml"] {
        for method in ["GET", "HEAD"] {
            let (allocations, counts) = play(&GET.replace("GET", method).replace("/1k.html", path), None);
            assert_eq!((counts.recv.get(), counts.send.get()), (ROUNDS, ROUNDS), "{method} {path}");
            // A path with an escape is decoded into a new allocation.
            let decoded = if path.contains('%') { ROUNDS } else { 0 };
            assert_eq!(allocations, decoded, "{method} {path}");
        }
    }
}

#[test]
fn conditions_ranges_codings_and_404s_open_no_file() {
    for (path, fields, allocations_max) in [
        ("1k.html", "If-None-Match: *\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 0),
        ("1k.html", "Accept-Encoding: identity\r\n", 0),
        ("1k.html", "Range: bytes=0-99\r\n", 1),
        ("large.bin", "Range: bytes=0-1023\r\n", 1),
        ("words.html", "Accept-Encoding: gzip, deflate, br, zstd\r\n", 0),
        ("missing.html", "", 20),
    ] {
        let request = GET.replace("1k.html", path).replace("Accept: */*\r\n", fields);
        let (allocations, counts) = play(&request, None);
        assert_eq!((counts.recv.get(), counts.send.get()), (ROUNDS, ROUNDS), "{request}");
        assert_eq!((counts.opened.get(), counts.send_file.get()), (0, 0), "{request}");
        assert!(allocations <= allocations_max * ROUNDS, "{allocations} allocations for {request}");
    }
}

#[test]
fn a_pipelined_batch_costs_one_recv_and_one_send() {
    let (allocations, counts) = play(&GET.repeat(16), None);
    assert_eq!((counts.recv.get(), counts.send.get(), allocations), (ROUNDS, ROUNDS, 0));
    assert!(counts.sent.get() > 16 * 1024 * ROUNDS);
}

#[test]
fn a_large_file_costs_one_additional_sendfile() {
    let (allocations, counts) = play(&GET.replace("1k.html", "large.bin"), None);
    let calls = (counts.recv.get(), counts.send.get(), counts.send_file.get());
    assert_eq!((calls, allocations), ((ROUNDS, ROUNDS, ROUNDS), 0));
}

#[test]
fn the_access_log_allocates_only_when_a_new_second_begins() {
    let conditional = GET.replace("Accept: */*", "If-None-Match: *");
    let head = GET.replace("GET", "HEAD");
    let large = GET.replace("1k.html", "large.bin");
    for batch in [GET, &conditional, &head, &large, &GET.repeat(16)] {
        for format in [Format::Combined, Format::Extended, Format::Json] {
            let (allocations, counts) = play(batch, Some(format));
            assert_eq!((counts.recv.get(), counts.send.get()), (ROUNDS, ROUNDS));
            assert!(allocations <= 20 * ROUNDS / 1000, "{allocations} allocations for {batch} as {format:?}");
        }
    }
}
