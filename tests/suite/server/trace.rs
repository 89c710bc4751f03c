//! `--trace`: the lines of a turn, and that a stalled reader does not block the server. To add a case, start
//! a server `with_stdout` and search its lines.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process::{Client, PROGRAM, Server, small_site, tool, wait_for};

/// Starts a server with this file as its standard output.
fn with_stdout(out: File, arguments: &[&str]) -> Server {
    let mut command = Command::new(PROGRAM);
    command.stdout(Stdio::from(out));
    Server::start_with(command, small_site(), &[&["--file", "off"], arguments].concat())
}

#[test]
fn the_trace_prints_every_turn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let server = with_stdout(File::create(&path).unwrap(), &["--trace", "--idle-timeout", "300ms"]);
    let requests = "GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3);
    let mut client = wait_for("a connection that is not idle for so long before it asks", || {
        let mut client = server.connect();
        client.stream.write_all(requests.as_bytes()).ok()?;
        assert_eq!(client.try_response()?.status, 200);
        (1..3).for_each(|_| assert_eq!(client.response().status, 200));
        Some(client)
    });
    let peer = format!("http {}", client.stream.local_addr().unwrap());
    client.expect_end();
    // Returns the trace once it has a line with these words and the end of that turn.
    let traced = |words: &[&str]| {
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines().skip_while(|line| !words.iter().all(|word| line.contains(word)));
        lines.find(|line| line.contains("will sleep"))?;
        Some(text)
    };
    let mut text = wait_for("its end", || traced(&[&peer, "closed: idle"]));
    let accepted = ["http listener", "readable", "accepted 1"];
    if traced(&accepted).is_none() {
        // The first connection was accepted before the server slept, so there was no event.
        drop(server.connect());
        text = wait_for("an event of the listener", || traced(&accepted));
    }
    let line = |words: &[&str]| {
        let mut lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.next().unwrap_or_else(|| panic!("no line with {words:?} in\n{text}"))
    };
    assert!(line(&accepted).ends_with("s]"));
    line(&[&peer, "readable", &format!("received {}, answered 3, sent 3", requests.len())]);
    line(&[&peer, "timer"]);
    let turns: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("turn ")?.split_once(": slept ")?.0.parse().ok())
        .collect();
    assert_eq!(turns, (1..=turns.len() as u64).collect::<Vec<u64>>());
    assert_eq!(text.matches("took ").count(), turns.len());
    assert!(line(&["took"]).contains("will sleep"));
}

#[test]
fn an_unread_trace_does_not_block_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = File::options().read(true).custom_flags(0o4000).open(&path).unwrap();
    let mut server = with_stdout(File::options().write(true).open(&path).unwrap(), &["--trace"]);
    for _ in 0..500 {
        assert_eq!(server.get("/1k.txt").status, 200);
    }
    let mut lines = Vec::new();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    wait_for("what is missing to be said", || {
        // Causes more turns, now that the pipe has room again.
        server.get("/1k.txt");
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) && line.ends_with('\n') {
            lines.push(std::mem::take(&mut line));
        }
        lines.iter().any(|line| line.contains("lines of this log were dropped here")).then_some(())
    });
    server.signal(Signal::TERM);
    assert!(server.ended().success());
}

/// A server whose standard output is a terminal of script(1), which copies it to its own output.
struct Terminal {
    child: Child,
    site: TempDir,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Closing the terminal does not end the server: SIGHUP only reopens the logs.
        let pid = fs::read_to_string(self.site.path().join("pid")).ok();
        if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_unread_terminal_does_not_block_the_server() {
    let Some(script) = tool("script") else { return };
    let site = small_site();
    let folder = site.path().display();
    let command = format!(
        "echo $$ >{folder}/pid; exec {PROGRAM} --trace --file off --admin off --http 0 --html {folder} 2>{folder}/log"
    );
    // The output of script is not read, so its pipe and then the terminal fill up.
    let child = Command::new(script)
        .args(["-qfec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let terminal = Terminal { child, site };
    let address: SocketAddr = wait_for("the banner", || {
        let log = fs::read_to_string(terminal.site.path().join("log")).ok()?;
        let banner = log.lines().find(|line| line.contains("listening http"))?;
        banner.split_once("http://")?.1.trim_end_matches('/').parse().ok()
    });
    for _ in 0..1500 {
        let mut client = Client::new(TcpStream::connect(address).unwrap());
        client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn nothing_is_printed_without_the_trace_option() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let mut server = with_stdout(File::create(&path).unwrap(), &[]);
    assert_eq!(server.get("/1k.txt").status, 200);
    server.signal(Signal::TERM);
    assert!(server.ended().success());
    let mut text = String::new();
    File::open(&path).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
}
