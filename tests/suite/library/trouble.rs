//! Failures of the library: the server killed, the disk full, the folder forbidden or gone. To add a case,
//! open a `Fixture` on a folder, cause the failure, and use both protocols.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use rustix::process::Signal;
use sha2::Digest;

use crate::process::{Client, PROGRAM, Server, small_site, tool, wait_for};

/// A server with a library, and a connection over the file protocol.
struct Fixture {
    server: Server,
    file: SocketAddr,
    lines: Client,
}

impl Fixture {
    fn open(command: Command, library: &Path, arguments: &[&str]) -> Fixture {
        let own = ["--files", library.to_str().unwrap(), "--file", "0", "--allow-delete"];
        let server = Server::start_with(command, small_site(), &[&own, arguments].concat());
        let line = server.wait_for_line("listening file tcp://");
        let file = line.split("tcp://").nth(1).unwrap().parse().unwrap();
        let lines = Client::new(TcpStream::connect(file).unwrap());
        Fixture { server, file, lines }
    }

    /// Returns the first two words of the next reply. Panics if the connection is out of step after it.
    #[track_caller]
    fn reply(&mut self) -> String {
        let reply = self.lines.line();
        self.lines.send("STAT .\n");
        assert!(self.lines.line().starts_with("ERR bad-name "), "behind {reply:?}");
        reply.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn ask(&mut self, script: impl AsRef<[u8]>) -> String {
        self.lines.send(script);
        self.reply()
    }

    /// Sends the rest of a request and returns the status. Panics if the connection is neither in step after
    /// it nor closed.
    #[track_caller]
    fn status(&self, client: &mut Client, rest: impl AsRef<[u8]>) -> u16 {
        client.send(rest);
        let response = client.response();
        if response.closes() {
            client.expect_end();
        } else {
            client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().status, 200);
        }
        response.status
    }

    #[track_caller]
    fn http(&self, request: impl AsRef<[u8]>) -> u16 {
        self.status(&mut self.server.connect(), request)
    }
}

/// Waits until the server has written `length` bytes of an incomplete upload.
#[track_caller]
fn wait_for_bytes(server: &Server, disk: &Path, length: u64) {
    let device = fs::metadata(disk).unwrap().dev();
    let descriptors = format!("/proc/{}/fd", server.pid());
    wait_for("the first bytes", || {
        let open =
            fs::read_dir(&descriptors).unwrap().filter_map(|entry| fs::metadata(entry.ok()?.path()).ok());
        let mut files = open.filter(|file| file.is_file() && file.dev() == device);
        files.any(|file| file.len() >= length).then_some(())
    });
}

fn put(name: &str, bytes: &[u8]) -> Vec<u8> {
    [format!("PUT {} {name}\n", bytes.len()).as_bytes(), bytes].concat()
}

fn http_put(name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("PUT /files/{name} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", bytes.len());
    [head.as_bytes(), bytes].concat()
}

fn http_put_chunked(name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("PUT /files/{name} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    [head.as_bytes(), format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat()
}

/// Returns the sorted names in `folder`, hidden ones included.
fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Builds a version of a client's file; the first line names the client and the version.
fn version(client: usize, number: usize) -> Vec<u8> {
    let mut random = Rng::with_seed((client * 1_000_000 + number) as u64);
    let length = random.usize(..100_000);
    let mut bytes = format!("{client} {number}\n").into_bytes();
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(length));
    bytes
}

/// Uploads one version after the other until the server dies, and records the acknowledged ones.
fn upload(
    client: usize,
    addresses: (SocketAddr, SocketAddr),
    first: usize,
    name: impl Fn(usize) -> String,
    acknowledged: &Mutex<BTreeMap<String, usize>>,
    count: &AtomicUsize,
) -> io::Result<()> {
    use std::io::{Read, Write};
    let over_http = client < 3;
    let mut stream = TcpStream::connect(if over_http { addresses.0 } else { addresses.1 })?;
    // The test kills the server long before the last one.
    for number in first..first + 1000 {
        let (name, bytes) = (name(number), version(client, number));
        stream.write_all(&if over_http { http_put(&name, &bytes) } else { put(&name, &bytes) })?;
        let mut reply = Vec::new();
        let end: &[u8] = if over_http { b"\r\n\r\n" } else { b"\r\n" };
        while !reply.ends_with(end) {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            reply.push(byte[0]);
        }
        let stored: &[u8] = if over_http { b"HTTP/1.1 20" } else { b"OK " };
        assert!(reply.starts_with(stored), "{:?}", String::from_utf8_lossy(&reply));
        acknowledged.lock().unwrap().insert(name, number);
        count.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

#[test]
fn a_kill_loses_no_acknowledged_upload_and_exposes_no_partial_one() {
    let library = tempfile::tempdir().unwrap();
    let acknowledged = Mutex::new(BTreeMap::new());
    let mut random = Rng::with_seed(11);
    for round in 0..6 {
        // Odd rounds replace files of earlier rounds.
        let overwrite = round % 2 == 1;
        let arguments: &[&str] = if overwrite { &["--fsync", "--overwrite"] } else { &["--fsync"] };
        // A kill in the middle of a replacement can leave such a file; the next start removes it.
        fs::write(library.path().join(".evserve-upload-0123456789abcdef"), "half").unwrap();
        let mut fixture = Fixture::open(Command::new(PROGRAM), library.path(), arguments);
        let hidden = entries(library.path()).into_iter().filter(|name| name.starts_with('.')).count();
        assert_eq!(hidden, 0, "in round {round}");
        // These two uploads are certainly incomplete at the kill.
        fixture.lines.send("PUT 100000 half\nhalf");
        let mut typing = Client::new(TcpStream::connect(fixture.file).unwrap());
        typing.send("P typed\nhalf a te");
        assert!(typing.line().starts_with("OK send"));
        let addresses = (fixture.server.address, fixture.file);
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for client in 0..6 {
                let name = move |number: usize| match overwrite {
                    true => format!("{client}-{}", number % 5),
                    false => format!("{client}-in-{round}-{number}"),
                };
                let (acknowledged, count) = (&acknowledged, &count);
                scope.spawn(move || upload(client, addresses, round * 1000, name, acknowledged, count));
            }
            let enough = random.usize(1..80);
            wait_for("uploads", || (count.load(Ordering::SeqCst) >= enough).then_some(()));
            fixture.server.signal(Signal::KILL);
            fixture.server.ended();
        });
        let mut left = acknowledged.lock().unwrap().clone();
        for name in entries(library.path()).into_iter().filter(|name| !name.starts_with('.')) {
            let bytes = fs::read(library.path().join(&name)).unwrap();
            let said = bytes.split(|byte| *byte == b'\n').next().unwrap();
            let (client, number) = std::str::from_utf8(said).unwrap().split_once(' ').unwrap();
            let number = number.parse().unwrap();
            assert!(bytes == version(client.parse().unwrap(), number), "{name} is not whole");
            // The version may be newer than the last acknowledged one: an acknowledgement can be lost.
            assert!(left.remove(&name).is_none_or(|least| number >= least), "{name} is an old one");
        }
        assert!(left.is_empty(), "lost: {left:?}");
    }
}

/// Returns a command that runs the program after `mount` in separate namespaces, or `None` where these are
/// forbidden.
fn in_namespaces(mount: &str) -> Option<Command> {
    let unshare = |script: String| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &script, PROGRAM]);
        command
    };
    tool("unshare")?;
    let tried = unshare(mount.to_owned()).stderr(Stdio::null()).status().unwrap();
    if !tried.success() {
        eprintln!("left out: this machine has no namespaces for users");
        return None;
    }
    Some(unshare(format!("{mount} && exec \"$0\" \"$@\"")))
}

#[test]
fn uploads_beyond_the_file_size_limit_of_the_process_are_rejected() {
    let library = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 64; exec \"$0\" \"$@\"", PROGRAM]);
    let mut fixture = Fixture::open(shell, library.path(), &[]);
    let large = [b'x'; 200_000];
    assert_eq!(fixture.ask(put("large", &large)), "ERR too-large");
    fixture.lines.send("P large\n");
    assert!(fixture.lines.line().starts_with("OK send "));
    assert_eq!(fixture.ask([&large[..], b"\n##\n"].concat()), "ERR too-large");
    assert_eq!(fixture.http(http_put("large", &large)), 413);
    assert_eq!(fixture.http(http_put_chunked("large", &large)), 413);
    assert!(entries(library.path()).is_empty());
    assert_eq!(fixture.ask(put("small", &large[..1000])), "OK 1000");
    assert_eq!(fixture.http(http_put("smaller", &large[..999])), 201);
    assert_eq!(entries(library.path()), ["small", "smaller"]);
}

#[test]
fn a_full_disk_reports_no_space_and_leaves_no_file() {
    let library = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=1m none {}", library.path().display());
    let Some(command) = in_namespaces(&mount) else { return };
    let mut fixture = Fixture::open(command, library.path(), &["--keep-free", "0"]);
    let disk = PathBuf::from(format!("/proc/{}/root{}", fixture.server.pid(), library.path().display()));
    let bytes = vec![b'x'; 2_000_000];
    // An upload that cannot fit is refused before its data is sent.
    assert_eq!(fixture.ask(put("large", &bytes)), "ERR no-space");
    assert_eq!(fixture.http(http_put("large", &bytes)), 507);
    // Space that one upload has announced is not available to others.
    let half = &bytes[..600_000];
    let script = put("half", half);
    let rest = script.len() - 100_000;
    fixture.lines.send(&script[..100_000]);
    wait_for_bytes(&fixture.server, &disk, (half.len() - rest) as u64);
    assert_eq!(fixture.http(http_put("other", half)), 507);
    // The disk fills up in the middle of an upload.
    let filler = disk.join("filler");
    let fill = || assert!(fs::write(&filler, &bytes).is_err());
    fill();
    assert_eq!(fixture.ask(&script[100_000..]), "ERR no-space");
    for script in [http_put("half", half), http_put_chunked("half", half)] {
        fs::remove_file(&filler).unwrap();
        let mut client = fixture.server.connect();
        client.send(&script[..100_000]);
        // The rest of a chunked body includes the last chunk, so this waits for a few bytes less.
        let rest = script.len() - 100_000;
        wait_for_bytes(&fixture.server, &disk, (half.len() - rest) as u64);
        fill();
        assert_eq!(fixture.status(&mut client, &script[100_000..]), 507);
    }
    assert_eq!(entries(&disk), ["filler"]);
    fs::remove_file(&filler).unwrap();
    assert_eq!(fixture.ask(put("half", half)), "OK 600000");
    assert_eq!(fixture.http(http_put("small", &bytes[..1000])), 201);
    assert_eq!(entries(&disk), ["half", "small"]);
    // An upload that the full disk has interrupted resumes when there is space again.
    fs::remove_file(disk.join("half")).unwrap();
    let sha256: String = sha2::Sha256::digest(half).iter().map(|byte| format!("{byte:02x}")).collect();
    let resume = format!("RESUME 600000 {sha256} half\n");
    fixture.lines.send(&resume);
    assert_eq!(fixture.lines.line().trim_end(), "OK 0");
    fixture.lines.send(&half[..100_000]);
    wait_for_bytes(&fixture.server, &disk, 100_000);
    fill();
    assert_eq!(fixture.ask(&half[100_000..]), "ERR no-space");
    fs::remove_file(&filler).unwrap();
    fixture.lines.send(&resume);
    let offset: usize = fixture.lines.line().trim_end().strip_prefix("OK ").unwrap().parse().unwrap();
    assert!((100_000..600_000).contains(&offset), "{offset}");
    assert_eq!(fixture.ask(&half[offset..]), "OK 600000");
    assert!(fs::read(disk.join("half")).unwrap() == half);
}

/// Returns a command that runs the program without the capabilities of root, which override permissions, or
/// `None` where they cannot be dropped.
fn without_capabilities() -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return Some(Command::new(PROGRAM));
    }
    let mut command = Command::new(tool("setpriv")?);
    command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    let tried = Command::new("setpriv").args(["--bounding-set=-all", "--inh-caps=-all", "true"]).status();
    if !tried.unwrap().success() {
        eprintln!("left out: the root's rights cannot be given up here");
        return None;
    }
    command.arg(PROGRAM);
    Some(command)
}

#[test]
fn permission_errors_are_reported_by_both_protocols() {
    let Some(command) = without_capabilities() else { return };
    let library = tempfile::tempdir().unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for name in ["old", "secret"] {
        fs::write(library.path().join(name), "hello").unwrap();
    }
    allow(&library.path().join("secret"), 0);
    let mut fixture = Fixture::open(command, library.path(), &["--overwrite"]);
    assert_eq!(fixture.ask("G secret\n"), "ERR internal");
    assert_eq!(fixture.ask("STAT secret\n"), "OK 5");
    assert_eq!(fixture.http("GET /files/secret HTTP/1.1\r\nHost: h\r\n\r\n"), 403);
    // A condition on a file that cannot be read is neither true nor false, so nothing is written.
    for condition in ["If-Match: *", "If-None-Match: *", "If-None-Match: \"a\"", "If-Unmodified-Since: x"] {
        let put =
            format!("PUT /files/secret HTTP/1.1\r\n{condition}\r\nContent-Length: 1\r\nHost: h\r\n\r\nx");
        assert_eq!(fixture.http(put), 403, "{condition}");
        let delete = format!("DELETE /files/secret HTTP/1.1\r\n{condition}\r\nHost: h\r\n\r\n");
        assert_eq!(fixture.http(delete), 403, "{condition}");
        assert_eq!(fixture.ask("STAT secret\n"), "OK 5", "{condition}");
    }
    assert_eq!(fixture.http(http_put("secret", b"unconditional")), 204);
    assert_eq!(fixture.ask("STAT secret\n"), "OK 13");
    // A file that cannot be read is not the one that is uploaded, so it is replaced.
    allow(&library.path().join("secret"), 0);
    assert_eq!(fixture.ask("HASH secret\n"), "ERR internal");
    let sha256: String =
        sha2::Sha256::digest("unconditional").iter().map(|byte| format!("{byte:02x}")).collect();
    fixture.lines.send(format!("RESUME 13 {sha256} secret\n"));
    assert_eq!(fixture.lines.line(), "OK 0");
    assert_eq!(fixture.ask("unconditional"), "OK 13");

    // Both uploads are in progress when the folder becomes read-only, as each follows an answered request.
    fixture.lines.send("STAT old\nPUT 5 late\nhel");
    fixture.lines.line();
    let mut client = fixture.server.connect();
    let late = [b"GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n", &http_put("late", b"hello")[..]].concat();
    client.send(&late[..late.len() - 2]);
    client.response();
    allow(library.path(), 0o555);
    assert_eq!(fixture.ask("lo"), "ERR read-only");
    assert_eq!(fixture.status(&mut client, "lo"), 403);
    for (script, reply) in [
        (&b"PUT 5 new\nhello"[..], "ERR read-only"),
        (b"PUT 5 old\nhello", "ERR read-only"),
        (b"P new\n", "ERR read-only"),
        (b"STAT old\n", "OK 5"),
    ] {
        assert_eq!(fixture.ask(script), reply, "{:?}", String::from_utf8_lossy(script));
    }
    assert_eq!(fixture.http(http_put("new", b"hello")), 403);
    assert_eq!(fixture.http(http_put("old", b"hello")), 403);
    assert_eq!(fixture.http("DELETE /files/old HTTP/1.1\r\nHost: h\r\n\r\n"), 403);
    allow(library.path(), 0);
    for script in ["L\n", "G old\n", "STAT old\n"] {
        assert_eq!(fixture.ask(script), "ERR internal", "{script:?}");
    }
    assert_eq!(fixture.http("GET /files/ HTTP/1.1\r\nHost: h\r\n\r\n"), 403);
    allow(library.path(), 0o755);
    assert_eq!(fixture.ask("PUT 5 new\nhello"), "OK 5");
    // An upload with a hidden name could not be removed from the read-only folder; the next start removes it.
    let visible = entries(library.path()).into_iter().filter(|name| !name.starts_with('.'));
    assert_eq!(visible.collect::<Vec<_>>(), ["new", "old", "secret"]);
}

#[test]
fn every_command_fails_after_the_library_folder_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("library");
    fs::create_dir(&library).unwrap();
    fs::write(library.join("old"), "hello").unwrap();
    let mut fixture = Fixture::open(Command::new(PROGRAM), &library, &[]);
    fixture.lines.send("STAT old\nPUT 5 late\nhel");
    fixture.lines.line();
    fs::remove_dir_all(&library).unwrap();
    assert!(fixture.ask("lo").starts_with("ERR "));
    for script in ["L\n", "G old\n", "STAT old\n", "PUT 5 new\nhello", "P new\n"] {
        let reply = fixture.ask(script);
        assert!(reply.starts_with("ERR "), "{script:?}: {reply}");
    }
    for line in ["GET /files/", "GET /files/old", "DELETE /files/old"] {
        let status = fixture.http(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!((400..600).contains(&status), "{line}: {status}");
    }
    let status = fixture.http(http_put("new", b"hello"));
    assert!((400..600).contains(&status), "{status}");
    // A new folder at the same path is the library.
    fs::create_dir(&library).unwrap();
    wait_for("the new folder", || (fixture.ask(put("new", b"hello")) == "OK 5").then_some(()));
    assert_eq!(fixture.http("GET /files/new HTTP/1.1\r\nHost: h\r\n\r\n"), 200);
    assert_eq!(entries(&library), ["new"]);
}

#[test]
fn a_library_folder_that_is_replaced_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (library, old) = (folder.path().join("library"), folder.path().join("old"));
    let replace = || {
        let _ = fs::remove_dir_all(&old);
        fs::rename(&library, &old).unwrap();
        fs::create_dir(&library).unwrap();
        fs::write(library.join("theirs"), "theirs").unwrap();
    };
    fs::create_dir(&library).unwrap();
    fs::write(library.join("mine"), "hello").unwrap();
    let mut fixture = Fixture::open(Command::new(PROGRAM), &library, &[]);
    let get = |name: &str| format!("GET /files/{name} HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((fixture.ask("STAT mine\n"), fixture.http(get("mine"))), ("OK 5".into(), 200));
    // These uploads are in progress.
    fixture.lines.send("PUT 5 late\nhel");
    let mut client = fixture.server.connect();
    let late = http_put("later", b"hello");
    client.send(&late[..late.len() - 2]);
    let sha256: String = sha2::Sha256::digest(b"hello").iter().map(|byte| format!("{byte:02x}")).collect();
    let resume = format!("RESUME 5 {sha256} resumed\n");
    let mut resuming = Client::new(TcpStream::connect(fixture.file).unwrap());
    resuming.send(&resume);
    assert_eq!(resuming.line(), "OK 0");
    resuming.send("hel");
    crate::process::wait_until_read(&resuming.stream);
    crate::process::wait_until_read(&client.stream);
    crate::process::wait_until_read(&fixture.lines.stream);
    replace();
    // No upload is acknowledged that is not in the library.
    assert_eq!(fixture.ask("lo"), "ERR busy");
    fixture.server.wait_for_line("was replaced; reopened");
    assert_eq!(fixture.status(&mut client, "lo"), 503);
    let mut again = Client::new(TcpStream::connect(fixture.file).unwrap());
    again.send(&resume);
    assert_eq!(again.line(), "OK 0");
    resuming.send("lo");
    assert!(resuming.line().starts_with("ERR busy "));
    again.send("hello");
    assert!(again.line().starts_with("OK 5 "));
    // The path is checked at most twice a second.
    wait_for("the new folder", || (fixture.http(get("mine")) == 404).then_some(()));
    assert_eq!(fixture.http(get("theirs")), 200);
    assert_eq!(fixture.ask(put("new", b"hello")), "OK 5");
    assert_eq!(entries(&library).iter().filter(|name| !name.starts_with('.')).count(), 3);
    // Requests that write nothing find the folder by themselves, over both protocols.
    replace();
    wait_for("the folder over HTTP", || (fixture.http(get("new")) == 404).then_some(()));
    replace();
    fs::write(library.join("another"), "hello").unwrap();
    wait_for("the folder over the file protocol", || (fixture.ask("STAT another\n") == "OK 5").then_some(()));
    // After SIGHUP the next request finds it. The library was just checked, so a check is not due.
    replace();
    fixture.server.signal(Signal::HUP);
    wait_for("the log", || (fixture.server.count_lines("was replaced; reopened") == 4).then_some(()));
    assert_eq!(
        (fixture.ask("STAT another\n"), fixture.ask("STAT theirs\n")),
        ("ERR not-found".into(), "OK 6".into())
    );
}
