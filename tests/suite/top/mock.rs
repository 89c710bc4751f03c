//! A server with the admin interface, or with any other answers, in threads of the test.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A reply to a request.
pub enum Reply {
    /// These bytes; the connection stays open.
    Keep(Vec<u8>),
    /// These bytes, and then the end of the connection.
    End(Vec<u8>),
    /// A stream of frames, one every few milliseconds.
    Frames,
}

/// A running server. Dropping it closes its connections.
pub struct Mock {
    pub address: SocketAddr,
    state: Arc<State>,
}

type ReplyTo = Box<dyn Fn(&str, u64) -> Reply + Send + Sync>;

struct State {
    reply: ReplyTo,
    /// Whether connections are kept. If not, they are closed at once.
    is_open: AtomicBool,
    is_over: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    /// The targets of all requests.
    targets: Mutex<Vec<String>>,
    /// Milliseconds of uptime, which grow with every answer.
    uptime: AtomicU64,
}

impl Mock {
    /// Starts a server that replies to a target, and the uptime in milliseconds, with `reply`.
    pub fn start(reply: impl Fn(&str, u64) -> Reply + Send + Sync + 'static) -> Mock {
        Mock::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), reply)
    }

    /// Starts a server that accepts from `listener`.
    pub fn start_on(
        listener: TcpListener,
        reply: impl Fn(&str, u64) -> Reply + Send + Sync + 'static,
    ) -> Mock {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            reply: Box::new(reply),
            is_open: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
            connections: Mutex::default(),
            targets: Mutex::default(),
            uptime: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let mut connections = shared.connections.lock().unwrap();
                if shared.is_open.load(Ordering::SeqCst) {
                    connections.push(stream.try_clone().unwrap());
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || converse(&stream, &shared));
                }
            }
        });
        Mock { address, state }
    }

    /// Starts a server with the admin interface.
    pub fn evserve() -> Mock {
        Mock::start(|target, uptime| match target {
            "/events" => Reply::Frames,
            _ if target.starts_with("/loop.json") => {
                Reply::Keep(response("application/json", &table(uptime)))
            }
            _ => Reply::End(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()),
        })
    }

    /// Closes all connections, also those that are accepted from now on.
    pub fn close(&self) {
        let mut connections = self.state.connections.lock().unwrap();
        self.state.is_open.store(false, Ordering::SeqCst);
        for stream in connections.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Serves again.
    pub fn open(&self) {
        self.state.is_open.store(true, Ordering::SeqCst);
    }

    /// Returns the targets that were requested.
    pub fn targets(&self) -> Vec<String> {
        self.state.targets.lock().unwrap().clone()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.close();
        self.state.is_over.store(true, Ordering::SeqCst);
        // Ends the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// Replies to the requests of a connection.
fn converse(stream: &TcpStream, state: &State) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        if !lines.any(|line| line.is_empty()) {
            return;
        }
        state.targets.lock().unwrap().push(target.clone());
        let uptime = state.uptime.fetch_add(1000, Ordering::SeqCst);
        let (bytes, ends) = match (state.reply)(&target, uptime) {
            Reply::Keep(bytes) => (bytes, false),
            Reply::End(bytes) => (bytes, true),
            Reply::Frames => return stream_frames(stream, state),
        };
        if { stream }.write_all(&bytes).is_err() || ends {
            let _ = stream.shutdown(Shutdown::Write);
            return;
        }
    }
}

/// Sends frames in chunks, until the connection is closed.
fn stream_frames(mut stream: &TcpStream, state: &State) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut sent = stream.write_all(head.as_bytes());
    while sent.is_ok() {
        let uptime = state.uptime.fetch_add(100, Ordering::SeqCst);
        let event = format!("event: frame\nid: {uptime}\ndata: {}\n\n", frame(uptime));
        sent = stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Returns a response of HTTP/1.1 with a body.
pub fn response(kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Returns a frame of a server that gets 40 requests per second.
pub fn frame(uptime: u64) -> String {
    let requests = uptime * 40 / 1000;
    format!(
        r#"{{"version":1,"program":"evserve 0.1.0","turn":{uptime},"uptime_ms":{uptime},"draining":false,
        "open":{{"http":2,"file":0,"ack":0,"admin":1}},"max_connections":16000,"phases":{{"idle":2}},
        "counters":{{"requests":{requests}}},"turns":{{"count":{uptime},"work_us":{uptime},
        "recent":[[{uptime},1,1,10,200,0]]}}}}"#
    )
    .replace('\n', " ")
}

/// Returns a table with two connections, one of which tries to control the terminal.
fn table(uptime: u64) -> String {
    let rows = r#""matched":2,"connections":[
        {"id":17,"protocol":"http","peer":"127.0.0.1:50000","phase":"idle","out":2048,
         "why":"waits for the next request"},
        {"id":18,"protocol":"http","peer":"127.0.0.1:50001\u001b]0;title\u0007","phase":"idle\r\n",
         "why":"\u001b[2J\u009b2Jevil"}]}"#;
    format!("{},{rows}", frame(uptime).trim_end_matches('}').to_owned() + "}")
}
