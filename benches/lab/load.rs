//! The load generator of `make lab`: many open connections, a few of which send requests.
//!
//! It opens all connections and makes one request on each, so that the server has really accepted it. Then
//! the active connections send requests in a closed loop, one at a time each, for the given time. The idle
//! ones only stay open. Prints one line of JSON. If some connections cannot be opened, nothing is measured:
//! with fewer idle ones the results could not be compared.
//!
//! `cargo run --release --example load -- 127.0.0.1:7890 --connections 1000 --active 10 --seconds 1`

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::FromArgs;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: lab\r\n\r\n";

/// The maximum number of connections being opened at a time; less than any listener's backlog.
const OPENING_MAX: usize = 100;

/// Descriptors other than those of the connections.
const DESCRIPTORS_ELSE: u64 = 20;

/// Loads an HTTP server over connections most of which are idle.
#[derive(FromArgs)]
struct Options {
    /// the server
    #[argh(positional)]
    address: SocketAddr,

    /// connections in all (1)
    #[argh(option, default = "1")]
    connections: usize,

    /// how many of them send requests; the others are idle (1)
    #[argh(option, default = "1")]
    active: usize,

    /// for how long to measure (1)
    #[argh(option, default = "1.0")]
    seconds: f64,

    /// expected length of the page in bytes (any length)
    #[argh(option)]
    length: Option<usize>,

    /// stop opening connections after this many seconds without progress (3)
    #[argh(option, default = "3.0")]
    patience: f64,

    /// print "ready" when all connections are open; wait for a line or EOF on standard input before the
    /// measurement, and again before closing the connections
    #[argh(switch)]
    hold: bool,
}

/// The state of a connection.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Connecting,
    /// A request was sent at this time and is not yet answered.
    Asked(Instant),
    /// Open, with no request in progress.
    Quiet,
    /// Could not be opened, or ended too early.
    Gone,
}

struct Connection {
    stream: TcpStream,
    state: State,
    received: Vec<u8>,
    /// The number of responses on this stream and on those before it.
    answers: usize,
}

/// The results of the measurement.
#[derive(Default)]
struct Measurement {
    elapsed: Duration,
    errors: usize,
    /// The latency of each response, in microseconds.
    latencies: Vec<u32>,
}

struct Load {
    options: Options,
    poll: Poll,
    /// The idle connections, then the active ones.
    connections: Vec<Connection>,
    /// The number of connections that are open and have completed their first request.
    standing: usize,
    measuring: bool,
    measurement: Measurement,
    scratch: Box<[u8]>,
}

impl Load {
    fn new(options: Options) -> io::Result<Load> {
        Ok(Load {
            poll: Poll::new()?,
            connections: Vec::with_capacity(options.connections),
            standing: 0,
            measuring: false,
            measurement: Measurement::default(),
            scratch: vec![0; 64 * 1024].into(),
            options,
        })
    }

    /// Opens the connections, some at a time, until all are open, one fails, or there is no more progress.
    fn open(&mut self) -> io::Result<()> {
        let patience = Duration::from_secs_f64(self.options.patience);
        let mut events = Events::with_capacity(1024);
        let mut last_progress = Instant::now();
        while self.standing < self.options.connections && self.measurement.errors == 0 {
            let (opened, before) = (self.connections.len(), self.standing);
            let room = OPENING_MAX.saturating_sub(opened - before);
            for index in opened..self.options.connections.min(opened + room) {
                let stream = self.connect(index)?;
                let connection =
                    Connection { stream, state: State::Connecting, received: Vec::new(), answers: 0 };
                self.connections.push(connection);
            }
            let Some(wait) = patience.checked_sub(last_progress.elapsed()) else { return Ok(()) };
            self.turn(&mut events, wait)?;
            if self.standing > before {
                last_progress = Instant::now();
            }
        }
        Ok(())
    }

    /// Sends requests on the active connections until the time is over.
    fn measure(&mut self) -> io::Result<()> {
        self.measuring = true;
        let begin = Instant::now();
        let end = begin + Duration::from_secs_f64(self.options.seconds);
        let idle = self.options.connections - self.options.active;
        for index in idle..self.options.connections {
            self.ask(index);
        }
        let mut events = Events::with_capacity(1024);
        while let Some(left) = end.checked_duration_since(Instant::now())
            && self.connections[idle..].iter().any(|connection| connection.state != State::Gone)
        {
            self.turn(&mut events, left)?;
        }
        self.measurement.elapsed = begin.elapsed();
        self.measuring = false;
        Ok(())
    }

    fn turn(&mut self, events: &mut Events, wait: Duration) -> io::Result<()> {
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        events.iter().for_each(|event| self.on_event(event));
        Ok(())
    }

    fn on_event(&mut self, event: &Event) {
        let index = event.token().0;
        if self.connections[index].state == State::Connecting && (event.is_writable() || event.is_error()) {
            self.connected(index);
        }
        if event.is_readable() {
            self.receive(index, event.is_read_closed());
        }
    }

    fn connect(&self, index: usize) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.options.address)?;
        // Closes with a reset: otherwise ten thousand connections would leave as many ports in TIME_WAIT.
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        stream.set_nodelay(true)?;
        self.poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        Ok(stream)
    }

    fn connected(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        match connection.stream.take_error() {
            Ok(None) => {}
            _ => return self.fail(index),
        }
        // An idle connection that a server without keep-alive has closed is reopened, but sends no request.
        if connection.answers > 0 && !self.measuring {
            connection.state = State::Quiet;
            self.standing += 1;
        } else {
            self.ask(index);
        }
    }

    fn ask(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.state = State::Asked(Instant::now());
        match connection.stream.write(REQUEST) {
            Ok(count) if count == REQUEST.len() => {}
            Err(error) if is_end(&error) => self.closed(index),
            _ => self.fail(index),
        }
    }

    /// Receives all available bytes. Events are edge-triggered: a read that does not fill the buffer has
    /// drained the socket, unless the event also reported EOF.
    fn receive(&mut self, index: usize, to_the_end: bool) {
        let connection = &mut self.connections[index];
        if matches!(connection.state, State::Connecting | State::Gone) {
            return;
        }
        let ended = loop {
            match connection.stream.read(&mut self.scratch) {
                Ok(0) => break true,
                Ok(count) => {
                    connection.received.extend_from_slice(&self.scratch[..count]);
                    if count < self.scratch.len() && !to_the_end {
                        break false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Err(error) if is_end(&error) => break true,
                Err(_) => return self.fail(index),
            }
        };
        match answer_length(&connection.received, self.options.length) {
            Some(Answer::Partial) if ended => self.closed(index),
            Some(Answer::Partial) => {}
            // Only one request is in progress, so more than one response is an error.
            Some(Answer::Whole(length)) if length == connection.received.len() => self.answered(index, ended),
            _ => self.fail(index),
        }
    }

    fn answered(&mut self, index: usize, ended: bool) {
        let connection = &mut self.connections[index];
        connection.received.clear();
        connection.answers += 1;
        let State::Asked(since) = connection.state else { return self.fail(index) };
        connection.state = State::Quiet;
        if !self.measuring {
            self.standing += 1;
        } else {
            self.measurement.latencies.push(since.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
        }
        match ended {
            true => self.closed(index),
            false if self.measuring => self.ask(index),
            false => {}
        }
    }

    /// Handles a close by the server. Between two requests that is allowed, and the client reconnects.
    fn closed(&mut self, index: usize) {
        let idle = self.options.connections - self.options.active;
        let connection = &mut self.connections[index];
        let may = connection.answers > 0 && connection.received.is_empty();
        if connection.state == State::Quiet && !self.measuring {
            self.standing -= 1;
        }
        if !may || (self.measuring && index < idle) {
            return self.fail(index);
        }
        connection.state = State::Connecting;
        match self.connect(index) {
            Ok(stream) => self.connections[index].stream = stream,
            Err(_) => self.fail(index),
        }
    }

    fn fail(&mut self, index: usize) {
        self.connections[index].state = State::Gone;
        self.measurement.errors += 1;
    }

    /// Returns the line of JSON.
    fn report(&mut self) -> String {
        let idle = self.options.connections - self.options.active;
        let stood = self.connections.iter().take(idle);
        let stood = stood.filter(|connection| connection.state == State::Quiet).count();
        let Measurement { elapsed, errors, latencies } = &mut self.measurement;
        latencies.sort_unstable();
        let at = |part: usize| latencies.get(latencies.len() * part / 100).copied().unwrap_or(0);
        format!(
            "{{\"requests\": {}, \"seconds\": {:.6}, \"errors\": {errors}, \"standing\": {}, \"idle\": {stood}, \
             \"p50_us\": {}, \"p99_us\": {}}}",
            latencies.len(),
            elapsed.as_secs_f64(),
            self.standing,
            at(50),
            at(99)
        )
    }
}

/// How much of a response has been received.
enum Answer {
    Partial,
    /// The length of head and body in bytes.
    Whole(usize),
}

/// Parses the head of a response. Returns `None` if it is not a 200 with the expected Content-Length.
fn answer_length(received: &[u8], expected: Option<usize>) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head_length) = head.parse(received).ok()? else {
        return Some(Answer::Partial);
    };
    let length = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = std::str::from_utf8(length.value).ok()?.trim().parse().ok()?;
    if head.code != Some(200) || expected.is_some_and(|expected| expected != length) {
        return None;
    }
    let length = head_length.checked_add(length)?;
    Some(if received.len() < length { Answer::Partial } else { Answer::Whole(length) })
}

/// Returns whether the error means that the server has closed the connection.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Raises RLIMIT_NOFILE to its hard limit. Returns an error if that is too small.
fn raise_descriptors(connections: usize) -> Result<(), Box<dyn Error>> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let wanted = connections as u64 + DESCRIPTORS_ELSE;
    match maximum {
        Some(limit) if limit < wanted => Err(format!(
            "{connections} connections need {wanted} descriptors, and the limit is {limit} (ulimit -Hn)"
        )
        .into()),
        _ => Ok(()),
    }
}

/// Waits for a line on standard input, or for EOF.
fn wait_for_line() -> io::Result<()> {
    io::stdin().read_line(&mut String::new()).map(drop)
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    if options.active == 0 || options.active > options.connections {
        return Err("--active: at least 1, and at most --connections".into());
    }
    for (name, value) in [("--seconds", options.seconds), ("--patience", options.patience)] {
        if !(value > 0.0 && value <= 3600.0) {
            return Err(format!("{name}: more than 0, and at most 3600").into());
        }
    }
    raise_descriptors(options.connections)?;
    let hold = options.hold;
    let mut load = Load::new(options)?;
    load.open()?;
    let stands = load.standing == load.options.connections;
    if hold && stands {
        println!("ready");
        wait_for_line()?;
    }
    if stands {
        load.measure()?;
    }
    println!("{}", load.report());
    if hold && stands {
        wait_for_line()?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(argh::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
