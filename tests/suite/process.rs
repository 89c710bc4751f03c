//! Runs the real program as a child process, on its own port and site, and connects to it as a client. A test
//! starts a `Server`, connects, and waits for results with `wait_for`, never with a sleep.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;

use crate::reading::{Response, take_response};

/// The time after which a waiting test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_evserve");

/// Polls `found` until it returns a value, for at most [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Waits until the peer's program, not only its kernel, has read all that was sent on this stream.
#[track_caller]
pub fn wait_until_read(stream: &TcpStream) {
    let (own, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    if cfg!(not(target_os = "linux")) {
        return std::thread::sleep(Duration::from_millis(100));
    }
    wait_for("the peer's reading", || {
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        // Each end has a row with its unacknowledged and its unread bytes (proc(5)).
        let queues = |from, to| {
            let ends = format!(": {} {} ", proc_net_address(from), proc_net_address(to));
            let row = sockets.lines().find_map(|line| Some(line.split_once(&ends)?.1))?;
            row.split_whitespace().nth(1)?.split_once(':')
        };
        let is_sent = queues(own, peer)?.0 == "00000000";
        // A closed peer has no row.
        let is_read = queues(peer, own).is_none_or(|(_, unread)| unread == "00000000");
        (is_sent && is_read).then_some(())
    });
}

/// Runs `test` for all cases in parallel.
pub fn at_once<C: Send>(cases: impl IntoIterator<Item = C>, test: impl Fn(C) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| test(case));
        }
    });
}

/// Formats an address as in /proc/net/tcp.
fn proc_net_address(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("{address} is not of IPv4") };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

/// Retries a receive call that fails with EINTR: on a socket with a timeout it does so after SIGSTOP and
/// SIGCONT (signal(7)).
pub fn retry_interrupted<T>(mut receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match receive() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => return received,
        }
    }
}

/// Returns how long this thread has waited for a CPU so far (schedstat, proc(5)), or zero if unknown.
pub fn cpu_wait_time() -> Duration {
    let counts = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = counts.split_whitespace().nth(1).and_then(|count| count.parse().ok());
    Duration::from_nanos(waited.unwrap_or_default())
}

/// A running server, killed on drop.
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub address: SocketAddr,
    pub site: TempDir,
}

/// Creates a site with a page, a 1 KiB file and a 5 MB file.
pub fn small_site() -> TempDir {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("index.html"), "<p>front").unwrap();
    fs::write(site.path().join("1k.txt"), "k".repeat(1024)).unwrap();
    fs::write(site.path().join("large.bin"), large_file()).unwrap();
    fs::create_dir(site.path().join("sub")).unwrap();
    site
}

/// Creates a folder, in memory if possible: a disk takes seconds for thousands of files.
pub fn folder_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Returns 5 MB in which no four-byte word occurs twice.
pub fn large_file() -> Vec<u8> {
    (0..1_250_000_u32).flat_map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

impl Server {
    /// Starts the program with a small site and these arguments.
    pub fn start(arguments: &[&str]) -> Server {
        Server::start_with(Command::new(PROGRAM), small_site(), arguments)
    }

    /// Starts the program with a hard RLIMIT_NOFILE of `descriptors`.
    pub fn start_within(descriptors: u32, arguments: &[&str]) -> Server {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""), PROGRAM]);
        Server::start_with(shell, small_site(), arguments)
    }

    /// Starts `command`, which runs the program, on `site`.
    pub fn start_with(command: Command, site: TempDir, arguments: &[&str]) -> Server {
        let folder = site.path().to_owned();
        Server::spawn(command, &folder, site, arguments)
    }

    /// Starts `command` with `--html folder` and these arguments; `site` is deleted at the end. Without `--admin` among
    /// them there is no admin interface: its default port is the same for all servers.
    pub fn spawn(mut command: Command, folder: &Path, site: TempDir, arguments: &[&str]) -> Server {
        command.arg("--html").arg(folder).args(arguments);
        for (option, value) in [("--http", "0"), ("--admin", "off")] {
            let is_given = |argument: &&str| {
                argument.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
            };
            if !arguments.iter().any(is_given) {
                command.args([option, value]);
            }
        }
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| written.lock().unwrap().push(line))
        });
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Server { child, log, address: any, site };
        let banner = server.wait_for_line("listening http");
        if let Some((_, address)) = banner.split_once("http://") {
            server.address = address.trim_end_matches('/').parse().unwrap();
        }
        server
    }

    /// Wraps a program that the test has started itself.
    pub fn adopt(child: Child, address: SocketAddr, site: TempDir) -> Server {
        Server { child, log: Arc::default(), address, site }
    }

    /// Waits for a line of the log that contains `text`.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        wait_for(text, || self.log.lock().unwrap().iter().find(|line| line.contains(text)).cloned())
    }

    /// Returns the address of the first listener with this name in the log, such as `admin`.
    #[track_caller]
    pub fn listener(&self, name: &str) -> SocketAddr {
        let line = self.wait_for_line(&format!("listening {name} "));
        line.rsplit_once("//").unwrap().1.trim_end_matches('/').parse().unwrap()
    }

    /// Returns the lines of the log so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Returns the number of lines of the log that contain `text`.
    pub fn count_lines(&self, text: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        wait_for("the end of the server", || self.child.try_wait().unwrap())
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// Connects to the first listener with this name in the log.
    #[track_caller]
    pub fn connect_to(&self, listener: &str) -> Client {
        Client::new(TcpStream::connect(self.listener(listener)).unwrap())
    }

    /// Sends a GET on a new connection and returns the response.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        let mut client = self.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        client.response()
    }

    /// Returns the number of open descriptors, without the queues of file watches: they are opened when a file
    /// is first watched, and stay.
    pub fn descriptors(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let targets = files.map(|file| fs::read_link(file.unwrap().path()).unwrap_or_default());
        targets.filter(|target| !target.to_string_lossy().contains("inotify")).count()
    }

    /// Returns a number from /proc/PID/status.
    pub fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Returns the CPU time used so far, in clock ticks of 10 ms.
    pub fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program and returns its exit code, standard output and standard error.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A client's end of a connection.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, received: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub fn end_output(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Receives the next response.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response().expect("a response before the end")
    }

    /// Receives the next response, or returns `None` if the connection ends before its first byte.
    #[track_caller]
    pub fn try_response(&mut self) -> Option<Response> {
        loop {
            let mut rest = &self.received[..];
            if let Some(response) = take_response(&mut rest, false) {
                self.received = rest.to_vec();
                return Some(response);
            }
            if self.receive() == 0 {
                let text = String::from_utf8_lossy(&self.received);
                assert!(text.is_empty(), "half a response: {:?}", &text[..text.len().min(500)]);
                return None;
            }
        }
    }

    /// Receives a line and returns it without its CRLF.
    #[track_caller]
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.received.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).unwrap();
            }
            assert!(self.receive() > 0, "the end instead of a line");
        }
    }

    /// Receives all bytes until EOF or a reset.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.receive() > 0 {}
        std::mem::take(&mut self.received)
    }

    /// Asserts that the connection ends without another byte.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    fn receive(&mut self) -> usize {
        let mut buffer = [0; 64 * 1024];
        let count = match retry_interrupted(|| self.stream.read(&mut buffer)) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("receiving: {error}"),
        };
        self.received.extend_from_slice(&buffer[..count]);
        count
    }
}

/// Raises RLIMIT_NOFILE to its hard limit and returns the limit.
pub fn raise_descriptor_limit() -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    maximum.unwrap_or(u64::MAX)
}

/// Finds a program in PATH. A test whose program is missing is skipped, except in CI, which installs all of
/// them.
pub fn tool(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
        eprintln!("left out: {name} is not installed");
    }
    found
}

/// Runs a client, which must succeed, and returns its standard output.
#[track_caller]
pub fn output(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program:?} {arguments:?}: {printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}
