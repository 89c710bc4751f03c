//! The logs: their lines, and that they never block the loop. To add a case, start
//! `with_access_log(options)`, send a request, and `wait_for_lines`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use evserve::clock::{Clock, Now};
use evserve::close_reason::CloseReason;
use evserve::limits::{ACCESS_LINES_BYTES, ACCESS_LINES_MAX};
use evserve::observe::{AccessLog, AccessRecord, Format, LineLog, LogFile, QueuedBytes};
use evserve::peer::Peer;
use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;

use crate::process::{Client, PROGRAM, Server, large_file, small_site, wait_for, wait_until_read};

const GET: &str = "GET /1k.txt HTTP/1.1\r\nHost: h\r\nUser-Agent: test\r\n\r\n";

/// Starts a server with an access log and returns the path of the log.
fn with_access_log(arguments: &[&str]) -> (Server, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let all = [&["--access-log", path.to_str().unwrap()], arguments].concat();
    let server = Server::start(&all);
    (server, path, folder)
}

fn wait_for_lines(path: &Path, count: usize) -> Vec<String> {
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
        "\"request\":\"GET /1k.txt HTTP/1.1\",\"status\":200,\"bytes\":1024,\"referer\":\"\",\"user_agent\":\"\",\"duration_ms\":",
    );
    assert!(
        line.starts_with(start) && line.contains(end) && line.contains("\"peer\":\"127.0.0.1:"),
        "{line}"
    );
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(line["duration_ms"].is_u64() && line["connection"].is_u64(), "{line}");
    assert_eq!(line["closed"], "close_requested", "{line}");
}

/// Returns the members that `--access-format extended` adds to a line.
fn added(line: &str) -> (f64, usize, &str) {
    let (_, added) = line.rsplit_once("\" ").unwrap();
    let [seconds, connection, close] = added.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert!(seconds.split_once('.').is_some_and(|(_, millis)| millis.len() == 3), "{line}");
    (seconds.parse().unwrap(), connection.parse().unwrap(), close)
}

/// Returns the status and the bytes of a line.
fn sent(line: &str) -> (&str, usize) {
    let (status, bytes) = line.split("\" ").nth(1).unwrap().split_once(' ').unwrap();
    (status, bytes.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn an_extended_line_adds_time_connection_and_close_reason() {
    let (server, path, _folder) = with_access_log(&["--access-format", "extended"]);
    let mut client = server.connect();
    let earliest = Instant::now();
    client.send(&GET[..10]);
    wait_until_read(&client.stream);
    let begun = Instant::now();
    wait_for("some time", || (begun.elapsed() > Duration::from_millis(20)).then_some(()));
    client.send(&GET[10..]);
    client.response();
    let longest = earliest.elapsed().as_secs_f64();
    client.send(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    client.response();
    client.expect_end();
    server.get("/missing");
    let lines = wait_for_lines(&path, 3);
    assert!(lines[0].contains("] \"GET /1k.txt HTTP/1.1\" 200 1024 \"-\" \"test\" "), "{}", lines[0]);
    let [one, two, three] = [0, 1, 2].map(|index| added(&lines[index]));
    assert!((0.02..=longest).contains(&one.0), "{longest}: {lines:?}");
    assert_eq!((one.1, two.1 == three.1), (two.1, false), "{lines:?}");
    assert_eq!((one.2, two.2, three.2), ("-", "close_requested", "close_requested"), "{lines:?}");
}

#[test]
fn a_download_cut_by_a_reset_is_logged_with_the_bytes_sent() {
    let (server, path, _folder) = with_access_log(&["--access-format", "extended"]);
    let client = stuck(&server);
    set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
    drop(client);
    // The requests behind the one that was cut off were not answered, so its line is the last one.
    let is_cut = |lines: &[String]| lines.last().is_some_and(|line| line.ends_with(" reset"));
    let lines = wait_for("the reset", || Some(wait_for_lines(&path, 1)).filter(|lines| is_cut(lines)));
    expect_cut(&lines);
    assert!(server.get("/1k.txt").status == 200);
    assert_eq!(wait_for_lines(&path, lines.len() + 1).len(), lines.len() + 1);
}

/// Asks for a large file and reads only its first byte.
fn stuck(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20));
    wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
    client
}

/// Checks the lines of a client that was [`stuck`]: the last response was cut off. Those before it, if any, fitted into
/// the buffers of the sockets.
fn expect_cut(lines: &[String]) {
    let (cut, complete) = lines.split_last().unwrap();
    let (status, bytes) = sent(cut);
    assert!(status == "200" && bytes < large_file().len(), "{lines:?}");
    assert!(complete.iter().all(|line| sent(line) == ("200", large_file().len())), "{lines:?}");
}

#[test]
fn lines_of_responses_still_being_sent_are_written_at_exit() {
    for (timeout, is_forced) in [("1h", true), ("50ms", false)] {
        let (mut server, path, _folder) =
            with_access_log(&["--access-format", "extended", "--drain-timeout", timeout]);
        let _client = stuck(&server);
        server.signal(Signal::TERM);
        server.wait_for_line("draining 1 connections");
        if is_forced {
            server.signal(Signal::TERM);
        }
        server.ended();
        let lines = wait_for_lines(&path, 1);
        expect_cut(&lines);
        // A response that began during the drain closes its connection.
        let closes = if is_forced { ["-", "server_closed"] } else { ["aborted"; 2] };
        assert!(closes.contains(&added(&lines[lines.len() - 1]).2), "{lines:?}");
    }
}

#[test]
fn a_line_completed_after_a_rotation_is_in_the_new_file() {
    let (server, path, _folder) = with_access_log(&["--access-format", "extended"]);
    let mut client = stuck(&server);
    server.get("/1k.txt");
    wait_for_lines(&path, 1);
    fs::rename(&path, path.with_extension("old")).unwrap();
    server.signal(Signal::HUP);
    wait_for("the new file", || path.exists().then_some(()));
    (0..20).for_each(|_| assert!(client.response().body == large_file()));
    // Responses that fitted into the buffers of the sockets were complete before the rotation.
    let old = wait_for_lines(&path.with_extension("old"), 1);
    let lines = wait_for_lines(&path, 21 - old.len());
    assert_eq!((old.len() + lines.len(), old.len() < 21), (21, true));
    assert!(lines.iter().all(|line| sent(line) == ("200", large_file().len())), "{lines:?}");
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
        command.args(["--http", "0", "--admin", "off", "--html"]).arg(site.path()).stderr(Stdio::null());
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
        begin(&mut log, &format!("GET /{index} HTTP/1.1"), index, &clock);
    }
    log.complete_sent(1, 0, None, clock.now.monotonic);
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
    command
        .args(["--log-level", "debug", "--http", "0", "--admin", "off", "--html"])
        .arg(site.path())
        .stderr(Stdio::piped());
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

/// Starts a server whose standard output and standard error are the given ones.
fn spawn_with_streams(
    arguments: &[&str],
    out: impl Into<Stdio>,
    err: impl Into<Stdio>,
) -> std::process::Child {
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("html");
    let mut command = Command::new(PROGRAM);
    command.args(["--http", "0", "--file", "off", "--admin", "off", "--html"]).arg(site).args(arguments);
    command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap()
}

/// Returns the server of `spawn_with_streams`, once the text that `log` returns names its address.
fn adopt(child: std::process::Child, mut log: impl FnMut() -> String) -> Server {
    let address = wait_for("the banner", || {
        let text = log();
        let (_, rest) = text.split_once("listening http http://")?;
        rest.split_once("/\n")?.0.parse().ok()
    });
    Server::adopt(child, address, tempfile::tempdir().unwrap())
}

/// Whether a line is one of the access log or of the event log, and complete.
fn is_log_line(line: &str) -> bool {
    line.starts_with("127.0.0.1 - - [") && line.ends_with(" \"-\" \"-\"")
        || line.contains("Z [INFO] ")
        || line.contains("Z [DEBUG] ")
}

#[test]
fn a_dash_is_the_standard_stream_of_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let site = small_site();
    let mut command = Command::new(PROGRAM);
    command
        .args([
            "--http",
            "0",
            "--file",
            "off",
            "--admin",
            "off",
            "--access-log",
            "-",
            "--log-file=-",
            "--html",
        ])
        .arg(site.path());
    command.current_dir(folder.path()).stdin(Stdio::null());
    let child =
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).spawn().unwrap();
    let mut server = adopt(child, || fs::read_to_string(&err).unwrap());
    server.get("/1k.txt");
    wait_for_lines(&out, 1);
    // Standard streams are not reopened.
    server.signal(Signal::HUP);
    wait_for("the signal", || fs::read_to_string(&err).unwrap().contains("reopened the log").then_some(()));
    server.get("/1k.txt");
    assert!(wait_for_lines(&out, 2).iter().all(|line| is_log_line(line)));
    server.signal(Signal::TERM);
    assert!(server.ended().success());
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["err", "out"]);
}

#[test]
fn the_names_of_the_standard_streams_work_where_they_are_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("access.log");
    std::os::unix::fs::symlink("/dev/stdout", &link).unwrap();
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", link.to_str().unwrap()] {
        let ((out, out_end), (err, err_end)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let arguments = ["--access-log", name, "--log-file", "/dev/stderr"];
        let child = spawn_with_streams(&arguments, OwnedFd::from(out_end), OwnedFd::from(err_end));
        let (mut events, mut access) = (BufReader::new(err), BufReader::new(out));
        let mut text = String::new();
        let server = adopt(child, || {
            events.read_line(&mut text).unwrap();
            text.clone()
        });
        for signal in [Signal::HUP, Signal::CONT] {
            server.get("/");
            let mut line = String::new();
            access.read_line(&mut line).unwrap();
            assert!(is_log_line(line.trim_end()), "{name}: {line}");
            server.signal(signal);
        }
    }
}

#[test]
fn logs_on_one_file_do_not_overwrite_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.log");
    // As `> all.log 2>&1`: one offset, without O_APPEND.
    let file = File::create(&path).unwrap();
    let child = spawn_with_streams(
        &["--access-log", "/dev/stdout", "--log-level", "debug"],
        file.try_clone().unwrap(),
        file,
    );
    let mut server = adopt(child, || fs::read_to_string(&path).unwrap());
    for _ in 0..100 {
        assert_eq!(server.get("/").status, 200);
    }
    server.signal(Signal::TERM);
    assert!(server.ended().success());
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"GET / HTTP/1.1\" 200")).count(), 100);
    for line in text.lines() {
        assert!(is_log_line(line), "{line:?}");
    }
}

/// Creates a FIFO and opens it for reading, without waiting for a writer. A read without data fails.
fn fifo(path: &Path) -> File {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    File::options().read(true).custom_flags(0o4000).open(path).unwrap()
}

/// Reads all that the pipe holds.
fn drain(reader: &mut File) -> String {
    let mut bytes = Vec::new();
    // The error is that there is no more data.
    let _ = reader.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

/// Writes records of 10 KB until the pipe accepts no more, which is in the middle of a line.
fn fill(log: &mut AccessLog) {
    while !log.is_waiting() {
        record(log, &"x".repeat(10_000));
        log.flush();
    }
}

/// Begins the line of a response with a body of `bytes` and a head of 100 bytes.
fn begin(log: &mut AccessLog, request_line: &str, bytes: u64, clock: &Clock) {
    let begun = clock.now.monotonic;
    let request_line = request_line.as_bytes();
    let record =
        AccessRecord { peer: Peer::Unix, request_line, referer: b"", user_agent: b"", status: 200, begun };
    log.begin(&record, QueuedBytes::whole(bytes, bytes + 100), clock);
}

/// Adds a complete line.
fn record(log: &mut AccessLog, request_line: &str) {
    let clock = Clock::new(Now::read());
    begin(log, request_line, 1, &clock);
    log.complete_sent(1, 0, None, clock.now.monotonic);
}

#[test]
fn lines_beyond_the_bounds_are_written_before_their_responses_are_sent() {
    // The length of a request line, and the number of such lines that wait.
    for (length, bound) in [(10, ACCESS_LINES_MAX), (50_000, ACCESS_LINES_BYTES / 50_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut log = AccessLog::new(LogFile::append_to(&path).unwrap(), Format::Extended);
        let clock = Clock::new(Now::read());
        let request_line = "x".repeat(length);
        for connection in 0..=bound {
            begin(&mut log, &request_line, 1000, &clock);
            log.complete_sent(connection, 300, None, clock.now.monotonic);
        }
        log.flush();
        // The last line has the bytes that were sent until then.
        let early = fs::read_to_string(&path).unwrap();
        assert!(early.ends_with(&format!(" 200 700 \"-\" \"-\" 0.000 {bound} -\n")));
        assert_eq!(early.lines().count(), 1);
        for connection in 0..=bound {
            log.complete_all(connection, 0, Some(CloseReason::PeerClosed), clock.now.monotonic);
        }
        log.flush();
        let text = fs::read_to_string(&path).unwrap();
        let number = |line: &str| line.split_once(" 0.000 ")?.1.strip_suffix(" peer_closed")?.parse().ok();
        let numbers: Vec<usize> = text.lines().skip(1).filter_map(number).collect();
        assert_eq!((numbers, text.lines().count()), ((0..bound).collect(), bound + 1));
    }
}

#[test]
fn a_line_after_a_torn_one_begins_on_its_own_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let mut reader = fifo(&path);
    let mut log = LineLog::new(LogFile::append_to(&path).unwrap());
    // More than the pipe holds.
    let long = "x".repeat(100_000);
    writeln!(log, "{long}").unwrap();
    writeln!(log, "dropped").unwrap();
    let torn = drain(&mut reader);
    assert!(torn.len() < long.len() && !torn.contains('\n'));
    writeln!(log, "next").unwrap();
    writeln!(log, "last").unwrap();
    assert_eq!(drain(&mut reader), "\n2 lines of this log were dropped here\nnext\nlast\n");
    // A rotation needs no newline: the new file is empty.
    writeln!(log, "{long}").unwrap();
    fs::rename(&path, folder.path().join("old")).unwrap();
    log.reopen().unwrap();
    writeln!(log, "after").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1 lines of this log were dropped here\nafter\n");
}

#[test]
fn a_rotated_access_log_begins_with_a_complete_line() {
    let folder = tempfile::tempdir().unwrap();
    // The old file stalls in the middle of a line, or fails there, too.
    for fails in [false, true] {
        let path = folder.path().join(format!("fifo {fails}"));
        let reader = fifo(&path);
        let mut log = AccessLog::new(LogFile::append_to(&path).unwrap(), Format::Combined);
        fill(&mut log);
        record(&mut log, "kept");
        if fails {
            drop(reader);
            // A child of another test may still hold a copy of the reader, until it executes its program.
            wait_for("the failure", || {
                log.flush();
                (!log.is_waiting()).then_some(())
            });
        }
        fs::rename(&path, folder.path().join("old")).unwrap();
        log.reopen().unwrap();
        record(&mut log, "next");
        log.flush();
        let text = fs::read_to_string(&path).unwrap();
        let word = |line: &str| line.strip_prefix("unix: - - [")?.split('"').nth(1).map(str::to_owned);
        let words: Option<Vec<String>> = text.lines().map(word).collect();
        // What the failed file did not accept is dropped.
        let expected: &[&str] = if fails { &["next"] } else { &["kept", "next"] };
        assert!(words.is_some_and(|words| words == expected), "{}", &text[..text.len().min(500)]);
    }
}

#[test]
fn an_access_log_reopened_without_a_rotation_continues_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let mut reader = fifo(&path);
    let mut log = AccessLog::new(LogFile::append_to(&path).unwrap(), Format::Combined);
    fill(&mut log);
    log.reopen().unwrap();
    record(&mut log, "next");
    let mut text = drain(&mut reader);
    log.flush();
    text.push_str(&drain(&mut reader));
    assert!(text.ends_with('\n') && text.contains("\"next\""));
    assert!(text.lines().all(|line| line.starts_with("unix:") && line.matches("unix:").count() == 1));
}
