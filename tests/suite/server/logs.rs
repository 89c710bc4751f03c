//! The logs: their lines, and that they never block the loop. To add a case, start
//! `with_access_log(options)`, send a request, and `wait_for_lines`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use evserve::clock::{Clock, Now};
use evserve::observe::LogFile;
use evserve::observe::{AccessLog, AccessRecord, Format};
use evserve::peer::Peer;
use rustix::process::Signal;

use crate::process::{PROGRAM, Server, small_site, wait_for};

const GET: &str = "GET /1k.txt HTTP/1.1\r\nHost: h\r\nUser-Agent: test\r\n\r\n";

/// Starts a server with an access log and returns the path of the log.
fn with_access_log(arguments: &[&str]) -> (Server, std::path::PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let all = [&["--access-log", path.to_str().unwrap()], arguments].concat();
    let server = Server::start(&all);
    (server, path, folder)
}

fn wait_for_lines(path: &std::path::Path, count: usize) -> Vec<String> {
    wait_for("the lines", || {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count && text.ends_with('\n')).then_some(lines)
    })
}

#[test]
fn every_response_is_logged() {
    let (server, path, _folder) = with_access_log(&[]);
    let mut client = server.connect();
    client.send(GET);
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\nReferer: http://x/\"\r\n\r\n");
    client.send("GET /missing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    client.rest();
    let mut broken = server.connect();
    broken.send("GET /\x1b[2J HTTP/1.1\r\n\r\n");
    broken.rest();
    let lines = wait_for_lines(&path, 4);
    let ends = [
        "\"GET /1k.txt HTTP/1.1\" 200 1024 \"-\" \"test\"",
        "\"HEAD / HTTP/1.1\" 200 0 \"http://x/\\x22\" \"-\"",
        "\"GET /missing HTTP/1.1\" 404 ",
        "\"GET /\\x1B[2J HTTP/1.1\" 400 ",
    ];
    for (line, end) in lines.iter().zip(ends) {
        assert!(line.starts_with("127.0.0.1 - - [") && line.contains(end), "{line}");
    }
}

#[test]
fn the_access_log_can_be_json() {
    let (server, path, _folder) = with_access_log(&["--access-format", "json"]);
    server.get("/1k.txt");
    let line = &wait_for_lines(&path, 1)[0];
    let (start, end) = (
        "{\"time\":\"20",
        "\"request\":\"GET /1k.txt HTTP/1.1\",\"status\":200,\"bytes\":1024,\"referer\":\"\",\"user_agent\":\"\"}",
    );
    assert!(
        line.starts_with(start) && line.ends_with(end) && line.contains("\"peer\":\"127.0.0.1:"),
        "{line}"
    );
}

#[test]
fn sighup_reopens_the_logs_after_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.log");
    let (server, path, _folder) = {
        let access = folder.path().join("access.log");
        let site = small_site();
        let mut command = Command::new(PROGRAM);
        command.args(["--access-log", access.to_str().unwrap(), "--log-file", events.to_str().unwrap()]);
        command.args(["--http", "0", "--html"]).arg(site.path()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let banner = wait_for("the banner", || {
            let text = fs::read_to_string(&events).unwrap_or_default();
            text.lines().find_map(|line| Some(line.split_once("listening http http://")?.1.to_owned()))
        });
        (Server::adopt(child, banner.trim_end_matches('/').parse().unwrap(), site), access, ())
    };
    server.get("/1k.txt");
    wait_for_lines(&path, 1);
    for name in [&path, &events] {
        fs::rename(name, name.with_extension("old")).unwrap();
    }
    // Until it gets the signal, the server keeps writing to the renamed file.
    server.get("/1k.txt");
    wait_for_lines(&path.with_extension("old"), 2);
    server.signal(Signal::HUP);
    wait_for("the new files", || (path.exists() && events.exists()).then_some(()));
    server.get("/1k.txt");
    assert_eq!(wait_for_lines(&path, 1).len(), 1);
    assert_eq!(wait_for_lines(&path.with_extension("old"), 2).len(), 2);
    assert!(wait_for_lines(&events, 1)[0].contains("reopened the log files"));
}

#[test]
fn a_full_disk_drops_log_lines_only() {
    let server = Server::start(&["--access-log", "/dev/full"]);
    for _ in 0..50 {
        assert_eq!(server.get("/1k.txt").status, 200);
    }
    server.wait_for_line("cannot write the access log");
    let server = Server::start(&["--access-log", "/dev/null"]);
    assert_eq!(server.get("/1k.txt").status, 200);
}

#[test]
fn a_turn_may_log_more_lines_than_the_buffer_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut log = AccessLog::new(LogFile::append_to(&path).unwrap(), Format::Combined);
    let clock = Clock::new(Now::read());
    for index in 0..10_000 {
        let request_line = format!("GET /{index} HTTP/1.1");
        let record = AccessRecord {
            peer: Peer::Unix,
            request_line: request_line.as_bytes(),
            referer: b"",
            user_agent: b"",
            status: 200,
            bytes: index,
        };
        log.record(&record, &clock);
    }
    log.flush();
    let lines = wait_for_lines(&path, 10_000);
    assert!(lines.len() == 10_000 && lines[9_999].contains("\"GET /9999 HTTP/1.1\" 200 9999 "));
}

#[test]
fn a_stalled_pipe_drops_and_counts_log_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // The reader opens the FIFO with O_NONBLOCK and does not read yet.
    let reader = File::options().read(true).custom_flags(0o4000).open(&path).unwrap();
    let server = Server::start(&["--access-log", path.to_str().unwrap()]);
    let mut client = server.connect();
    // Far more than the pipe (64 KiB) and the buffer (256 KiB) hold.
    for _ in 0..60 {
        client.send(GET.repeat(100));
        for _ in 0..100 {
            assert_eq!(client.response().status, 200);
        }
    }
    // Once the pipe is read, the buffered lines follow, all of them complete.
    let mut lines = 0;
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    wait_for("the lines", || {
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) && line.ends_with('\n') {
            assert!(line.starts_with("127.0.0.1 - - [") && line.ends_with("\"test\"\n"), "{line:?}");
            line.clear();
            lines += 1;
        }
        (lines > 1000).then_some(())
    });
    assert!(lines < 6000);
    server.wait_for_line("lines of the access log were dropped");
    assert_eq!(server.get("/1k.txt").status, 200);
}

#[test]
fn a_stalled_stderr_does_not_block_the_server() {
    let site = small_site();
    let mut command = Command::new(PROGRAM);
    command.args(["--log-level", "debug", "--http", "0", "--html"]).arg(site.path()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut banner = String::new();
    while !banner.contains("listening http") {
        banner.clear();
        stderr.read_line(&mut banner).unwrap();
    }
    let address =
        banner.trim_end().split_once("http http://").unwrap().1.trim_end_matches('/').parse().unwrap();
    let mut server = Server::adopt(child, address, site);
    // One line per connection, in total more than the unread pipe holds.
    for _ in 0..1500 {
        assert_eq!(server.get("/1k.txt").status, 200);
    }
    // Once stderr is read, the log reports the dropped lines. The thread ends when the server closes the
    // pipe.
    let is_said = AtomicBool::new(false);
    let said = "lines of this log were dropped here";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for line in stderr.lines() {
                is_said.fetch_or(line.unwrap().contains(said), Ordering::SeqCst);
            }
        });
        wait_for(said, || {
            // Logs more lines, now that the pipe has room again.
            server.get("/1k.txt");
            is_said.load(Ordering::SeqCst).then_some(())
        });
        server.signal(Signal::TERM);
        assert!(server.ended().success());
    });
}
