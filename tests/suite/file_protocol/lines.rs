//! The file protocol: lines byte by byte and from real clients, and the documents' clients with their
//! own receive calls.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use evserve::close_reason::CloseReason;
use evserve::protocol::{Dialect, Kind};
use evserve::store::{Library, LibraryRules};
use tempfile::TempDir;

use crate::conversation::{Talk, site};
use crate::process::{PATIENCE, PROGRAM, Server, small_site, tool, wait_for};

/// SHA-256 of `hello` (sha256sum).
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// A folder with two files, as old as those of RFC 9110.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("a b.txt", "twelve bytes"), ("z", ""), (".hidden", "x")] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(784_111_777);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    fs::create_dir(folder.path().join("sub")).unwrap();
    folder
}

fn talk(folder: &TempDir, rules: LibraryRules) -> Talk {
    let library = Library::open(folder.path(), rules).unwrap();
    Talk::with_library(Kind::File(Dialect::Auto), site(), library)
}

/// What comes of a script in pieces, and what is in the folder then.
fn converse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, Option<CloseReason>, Vec<String>) {
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules { max_upload: 1000, ..LibraryRules::default() });
    for piece in pieces {
        talk.input(piece);
    }
    let text = String::from_utf8(std::mem::take(&mut talk.outcome.output)).unwrap();
    (text.lines().collect::<Vec<_>>().join("\n"), talk.outcome.ending, names(&folder))
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
    let mut names: Vec<String> = entries
        .map(|entry| {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            format!("{}={}", entry.file_name().to_string_lossy(), String::from_utf8_lossy(&bytes))
        })
        .collect();
    names.sort();
    names
}

/// Checks the replies to a script, however it is cut, and which files there are then besides those
/// that were there.
#[track_caller]
fn check(script: &str, replies: &str, ending: Option<CloseReason>, new: &[&str]) {
    let bytes = script.as_bytes();
    let whole = converse([bytes]);
    assert_eq!(whole.0, replies, "{script:?}");
    assert_eq!(whole.1, ending, "{script:?}");
    let mut expected: Vec<String> =
        [".hidden=x", "a b.txt=twelve bytes", "sub=", "z="].map(str::to_owned).to_vec();
    expected.extend(new.iter().map(|name| (*name).to_owned()));
    expected.sort();
    assert_eq!(whole.2, expected, "{script:?}");
    assert_eq!(converse(bytes.chunks(1)), whole, "{script:?} byte by byte");
    for cut in 0..bytes.len() {
        assert_eq!(converse([&bytes[..cut], &bytes[cut..]]), whole, "{script:?} cut at {cut}");
    }
}

const LISTED: &str = "OK 2\n12 1994-11-06T08:49:37Z a b.txt\n0 1994-11-06T08:49:37Z z";
const BAD_NAME: &str =
    "ERR bad-name a name has 1 to 255 bytes of UTF-8, no / and no control characters, no dot first";

#[test]
fn commands_and_their_replies() {
    for (script, replies) in [
        ("L\n", LISTED),
        ("list\r\n", LISTED),
        ("G a b.txt\n", "OK 12\ntwelve bytes"),
        ("GET z\nL\n", &format!("OK 0\n{LISTED}")),
        ("G missing\n", "ERR not-found there is no such file"),
        ("G sub\n", "ERR not-found there is no such file"),
        ("G .hidden\n", BAD_NAME),
        ("G ../x\n", BAD_NAME),
        ("G /dev/zero\n", BAD_NAME),
        ("STAT a b.txt\n", "OK 12 1994-11-06T08:49:37Z"),
        ("STAT x\n", "ERR not-found there is no such file"),
        (
            "REST 7\nG a b.txt\nREST 12\nG a b.txt\nREST 13\nG a b.txt\n",
            "OK 7\nOK 5\nbytesOK 12\nOK 0\nOK 13\nERR bad-length the file has 12 bytes",
        ),
        ("REST 7\nL\n", &format!("OK 7\n{LISTED}")),
        ("REST x\n", "ERR bad-command HELP lists the commands"),
        ("\n", "ERR bad-command HELP lists the commands"),
        ("FROBNICATE\n", "ERR bad-command HELP lists the commands"),
        (
            "?\n",
            "OK L | G name | PUT length name | RESUME length sha-256 name | P name | STAT name | HASH name | REST offset | Q",
        ),
    ] {
        check(script, replies, None, &[]);
    }
    check("Q\n", "OK bye", Some(CloseReason::Answered), &[]);
}

#[test]
fn uploads() {
    check(
        "PUT 5 new\nhelloSTAT z\n",
        &format!("OK 5 {HELLO}\nOK 0 1994-11-06T08:49:37Z"),
        None,
        &["new=hello"],
    );
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    // SHA-256 of nothing.
    check("HASH z\n", &format!("OK {empty}"), None, &[]);
    check("HASH nothing\n", "ERR not-found there is no such file", None, &[]);
    check("PUT 0 new file\n", &format!("OK 0 {empty}"), None, &["new file="]);
    let help = "OK L | G name | PUT length name | RESUME length sha-256 name | P name | STAT name | HASH name | REST offset | Q";
    let typed = format!("OK send lines, end with ##\nOK 4 {}\n{help}", sha("hel\n"));
    check("P new\r\nhel\r\n##\r\n?\n", &typed, None, &["new=hel\n"]);
    // Refused ones are swallowed, and the next command is in step.
    check(
        "PUT 2 z\nQ\nSTAT z\n",
        "ERR exists there is a file of that name\nOK 0 1994-11-06T08:49:37Z",
        None,
        &[],
    );
    check("PUT 2 a/b\nQ\nSTAT z\n", &format!("{BAD_NAME}\nOK 0 1994-11-06T08:49:37Z"), None, &[]);
    check("P z\nSTAT z\n", "ERR exists there is a file of that name\nOK 0 1994-11-06T08:49:37Z", None, &[]);
    // What follows these cannot be told from commands.
    let refused = Some(CloseReason::Refused);
    check("PUT 1001 new\n", "ERR too-large the file is larger than is taken", refused, &[]);
    check("PUT five new\n", "ERR bad-length PUT takes a length in bytes and a name", refused, &[]);
    check("PUT 5\n", "ERR bad-name PUT takes a length in bytes and a name", refused, &[]);
    check("POST / HTTP/1.1\r\n", "ERR bad-command this is not HTTP", refused, &[]);
    check("Host: x\n", "ERR bad-command this is not HTTP", refused, &[]);
}

/// What sha256sum says.
fn sha(text: &str) -> String {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

#[test]
fn telnet_s_own_bytes_are_dropped_from_lines_only() {
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules::default());
    talk.input(b"\xff\xfd\x03P\xff\xf1UT 4 \xff\xfa\x18\nx\xff\xf0new\r\n\xff\xfd\x03\n");
    assert!(talk.outcome.output.starts_with(b"OK 4 "));
    assert_eq!(fs::read(folder.path().join("new")).unwrap(), b"\xff\xfd\x03\n");
}

#[test]
fn a_line_that_is_too_long_ends_it() {
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules::default());
    talk.input(&[b'x'; 5000]);
    assert_eq!(talk.outcome.output, b"ERR bad-command the line is too long\r\n");
    assert_eq!(talk.outcome.ending, Some(CloseReason::Refused));
}

#[test]
fn what_stops_in_the_middle_was_never_there() {
    for script in ["PUT 5 new\nhell", "P new\nhello\n", "P new\nhello\n#", "P new\nhello##", "PUT 5 new"] {
        let folder = folder();
        let mut talk = talk(&folder, LibraryRules::default());
        talk.input(script.as_bytes());
        // Elsewhere than on Linux there is a hidden file meanwhile.
        let visible = names(&folder).iter().filter(|name| !name.starts_with(".evserve-")).count();
        assert_eq!(visible, 4, "{script:?}");
        talk.eof();
        let said = String::from_utf8_lossy(&talk.outcome.output).into_owned();
        assert!(said.lines().last().unwrap().starts_with("ERR bad-"), "{script:?}: {said}");
        drop(talk);
        assert_eq!(names(&folder).len(), 4, "{script:?}");
    }
    // A last line needs no end.
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules::default());
    talk.input(b"P new\nhello\n##");
    talk.eof();
    assert_eq!((talk.outcome.ending, names(&folder).len()), (Some(CloseReason::PeerClosed), 5));
    let folder = self::folder();
    let mut talk = self::talk(&folder, LibraryRules::default());
    talk.input(b"PUT 5 new\nhell");
    talk.wait(Duration::from_secs(29));
    assert_eq!(talk.outcome.ending, None);
    talk.wait(Duration::from_secs(1));
    assert_eq!(talk.outcome.ending, Some(CloseReason::BodyTimeout));
    assert!(talk.outcome.output.ends_with(b"ERR timeout that took too long\r\n"));
}

#[test]
fn garbage_is_answered_and_changes_nothing() {
    let untouched = ([".hidden=x", "a b.txt=twelve bytes", "sub=", "z="]).map(str::to_owned).to_vec();
    let answered = |script: &[u8], replies: &str, ending: Option<CloseReason>| {
        let expected = (replies.to_owned(), ending, untouched.clone());
        for found in [converse([script]), converse(script.chunks(1))] {
            assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(script));
        }
    };
    let long = [b'x'; 256];
    for name in [
        &b"."[..],
        b"..",
        b"../x",
        b"a/b",
        b"/etc/passwd",
        b"/",
        b"\0",
        b"z\0",
        b"z\x07",
        b"\x1b[2J",
        b"z\rz",
        b"z\xc2\x85",
        b"\xc3(",
        b"\xed\xa0\x80",
        b".evserve-upload-0",
        &long,
    ] {
        for (command, payload) in [("G", ""), ("STAT", ""), ("P", ""), ("PUT 3", "L\nQ")] {
            let script = [command.as_bytes(), b" ", name, b"\n", payload.as_bytes(), b"L\n"].concat();
            answered(&script, &format!("{BAD_NAME}\n{LISTED}"), None);
        }
    }
    let unknown = "ERR bad-command HELP lists the commands";
    for line in [
        "G",
        "P",
        "STAT",
        "REST",
        "REST -1",
        "REST 1 2",
        "REST 99999999999999999999",
        "L x",
        "Q x",
        "HELP me",
        "PUTT 5 x",
        "Gz",
        " L",
        "L ",
        "L\t",
        "\0",
        "\u{1b}[A",
        "##",
        "ｌ",
        "DELETE z",
        "USER root",
        "\r",
    ] {
        answered(format!("{line}\nL\n").as_bytes(), &format!("{unknown}\n{LISTED}"), None);
    }
    // A name has no newline: what follows is the next command.
    answered(b"G a\nb\nL\n", &format!("ERR not-found there is no such file\n{unknown}\n{LISTED}"), None);
    // Behind a length that cannot be, nothing is carried out.
    let refused = Some(CloseReason::Refused);
    for length in ["-1", "+5", "0x5", "5e0", "5.0", " 5", "", "5,", "\u{0665}", "99999999999999999999"] {
        let reply = "ERR bad-length PUT takes a length in bytes and a name";
        answered(format!("PUT {length} new\nPUT 0 other\n").as_bytes(), reply, refused);
    }
    let reply = "ERR too-large the file is larger than is taken";
    answered(b"PUT 18446744073709551615 new\nPUT 0 other\n", reply, refused);
    // One that is too small leaves commands behind the file.
    let (found, _, names) = converse([&b"PUT 5 new\nhello you\nL\n"[..]]);
    assert!(found.starts_with(&format!("OK 5 {HELLO}\n{unknown}\nOK 3\n")), "{found}");
    assert!(names.contains(&"new=hello".into()));
    // The names of another system's devices are names.
    check("PUT 5 NUL\nhello", &format!("OK 5 {HELLO}"), None, &["NUL=hello"]);
}

#[test]
fn what_is_no_file_is_neither_read_nor_followed() {
    for overwrite in [false, true] {
        let (folder, elsewhere) = (folder(), tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("target");
        fs::write(&target, "theirs").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join("link")).unwrap();
        assert!(Command::new("mkfifo").arg(folder.path().join("fifo")).status().unwrap().success());
        let mut talk = talk(&folder, LibraryRules { overwrite, ..LibraryRules::default() });
        let mut code = |script: String| {
            talk.outcome.output.clear();
            talk.input(script.as_bytes());
            String::from_utf8_lossy(&talk.outcome.output).split(' ').take(2).collect::<Vec<_>>().join(" ")
        };
        for name in ["link", "fifo", "sub"] {
            assert_eq!(code(format!("G {name}\n")), "ERR not-found", "{name}");
            assert_eq!(code(format!("STAT {name}\n")), "ERR not-found", "{name}");
            // Nor is it ever replaced.
            assert_eq!(code(format!("PUT 5 {name}\nhello")), "ERR exists", "{name}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
    }
}

#[test]
fn a_peer_may_leave_at_any_byte() {
    for script in ["PUT 5 new\nhello", "PUT 0 new\n", "P new\nhello\n##"] {
        for cut in 0..script.len() {
            for ends in [false, true] {
                let folder = folder();
                let mut talk = talk(&folder, LibraryRules::default());
                talk.input(&script.as_bytes()[..cut]);
                if ends {
                    talk.eof();
                    assert!(talk.outcome.ending.is_some());
                }
                drop(talk);
                assert_eq!(names(&folder).len(), 4, "{script:?} cut at {cut}");
            }
        }
    }
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    for (script, start) in
        [("L", "OK 2\r\n"), ("G a b.txt", "OK 12\r\ntwelve bytes"), ("L\nSTAT z", "OK 2\r\n")]
    {
        let folder = folder();
        let mut talk = talk(&folder, LibraryRules::default());
        talk.input(script.as_bytes());
        talk.eof();
        let text = String::from_utf8_lossy(&talk.outcome.output).into_owned();
        assert!(text.starts_with(start), "{script:?}: {text:?}");
        assert_eq!(talk.outcome.ending, Some(CloseReason::PeerClosed));
    }
}

#[test]
fn what_the_rules_forbid() {
    let replies = |rules: LibraryRules, script: &str| {
        let folder = folder();
        let mut talk = talk(&folder, rules);
        talk.input(script.as_bytes());
        let text = String::from_utf8_lossy(&talk.outcome.output).into_owned();
        (text.split(' ').take(2).collect::<Vec<_>>().join(" "), fs::read(folder.path().join("z")).unwrap())
    };
    let free = LibraryRules::default;
    assert_eq!(replies(LibraryRules { read_only: true, ..free() }, "PUT 1 y\nx").0, "ERR read-only");
    assert_eq!(replies(LibraryRules { max_library: Some(16), ..free() }, "PUT 5 y\nhello").0, "ERR no-space");
    assert_eq!(replies(LibraryRules { max_library: Some(17), ..free() }, "PUT 5 y\nhello").0, "OK 5");
    let all = evserve::store::KeepFree::Bytes(u64::MAX);
    assert_eq!(replies(LibraryRules { keep_free: all, ..free() }, "PUT 5 y\nhello").0, "ERR no-space");
    let over = LibraryRules { overwrite: true, fsync: true, ..free() };
    assert_eq!(replies(over, "PUT 5 z\nhello"), ("OK 5".into(), b"hello".to_vec()));
    assert_eq!(replies(LibraryRules { max_upload: 3, ..free() }, "P y\nhello\n##\n").0, "OK send");
}

/// A server with a library, and where it listens.
struct Files {
    server: Server,
    library: TempDir,
    address: String,
}

fn serve(arguments: &[&str]) -> Files {
    let library = tempfile::tempdir().unwrap();
    let path = library.path().to_str().unwrap();
    let arguments = [&["--files", path, "--file", "0"], arguments].concat();
    let server = Server::start_with(Command::new(PROGRAM), small_site(), &arguments);
    let line = server.wait_for_line("listening file tcp://");
    let address = line.split("tcp://").nth(1).unwrap().to_owned();
    Files { server, library, address }
}

#[test]
fn netcat_puts_and_gets() {
    let Some(_) = tool("nc") else { return };
    let files = serve(&[]);
    let bytes: Vec<u8> =
        (0..3_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.bin"), &bytes).unwrap();
    let (host, port) = files.address.split_once(':').unwrap();
    let shell = |line: &str| {
        let line = line.replace("HOST 8888", &format!("{host} {port}"));
        Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output().unwrap().stdout
    };
    let printed = shell("(printf 'PUT %d a.bin\\n' $(stat -c %s a.bin); cat a.bin; echo Q) | nc HOST 8888");
    assert!(printed.starts_with(b"OK 3000000 ") && printed.ends_with(b"OK bye\r\n"));
    assert!(fs::read(files.library.path().join("a.bin")).unwrap() == bytes);
    assert!(shell("echo 'G a.bin' | nc -N HOST 8888 | tail -n +2") == bytes);
    assert!(files.server.get("/").status == 200);
}

/// The documents' clients tell messages apart by their receive calls.
struct Receiver(TcpStream);

impl Receiver {
    fn connect(address: &str) -> Receiver {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Receiver(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// `recv(size)`.
    fn recv(&mut self, size: usize) -> Vec<u8> {
        let mut buffer = vec![0; size];
        let count = self.0.read(&mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }

    /// `recv(1024)` until one brings `##` alone.
    fn until_end(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| Some(self.recv(1024)).filter(|bytes| bytes != b"##")).collect()
    }

    fn get(&mut self, name: &str) -> Result<Vec<u8>, String> {
        self.send(format!("G {name}").as_bytes());
        match self.recv(1024) {
            ok if ok == b"OK" => Ok(self.until_end().concat()),
            other => Err(String::from_utf8(other).unwrap()),
        }
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        self.send(format!("P {name}").as_bytes());
        let reply = self.recv(1024);
        if !matches!(reply.as_slice(), b"OK" | b"ok") {
            return Err(String::from_utf8(reply).unwrap());
        }
        bytes.chunks(1024).for_each(|chunk| self.send(chunk));
        std::thread::sleep(Duration::from_millis(100));
        self.send(b"##");
        Ok(())
    }
}

#[test]
fn the_documents_first_client() {
    for dialect in ["auto", "joined"] {
        let files = serve(&["--dialect", dialect]);
        let mut client = Receiver::connect(&files.address);
        client.send(b"L");
        assert_eq!(String::from_utf8(client.recv(1024)).unwrap(), "文件库为空");
        // Hashes are data, wherever they stand.
        let bytes = [&b"##"[..], &b"a##b#".repeat(3000), b"##"].concat();
        client.put("文 件.txt", &bytes).unwrap();
        let stored = files.library.path().join("件.txt");
        wait_for("the upload", || fs::read(&stored).ok().filter(|found| *found == bytes));
        client.put("empty", b"").unwrap();
        wait_for("the empty upload", || files.library.path().join("empty").exists().then_some(()));
        assert_eq!(client.put("empty", b""), Err("文件已存在".into()));
        client.send(b"L");
        assert_eq!((client.recv(1024), client.recv(4096)), (b"OK".to_vec(), "empty#件.txt#".into()));
        assert!(client.get("件.txt").unwrap() == bytes);
        assert_eq!(client.get("empty").unwrap(), b"");
        assert_eq!(client.get("../x"), Err("文件不存在".into()));
        client.send(b"Q");
        assert_eq!(client.recv(1024), b"");
    }
}

#[test]
fn the_documents_last_client() {
    let files = serve(&["--dialect", "listed"]);
    let mut client = Receiver::connect(&files.address);
    client.send(b"L");
    assert_eq!(client.recv(1024), b"FAIL");
    for (name, bytes) in [("b.txt", &b"two\nlines\n"[..]), ("a.txt", b"##")] {
        client.put(name, bytes).unwrap();
        let stored = files.library.path().join(name);
        wait_for("the upload", || fs::read(&stored).ok().filter(|found| found == bytes));
    }
    client.send(b"L");
    assert_eq!(client.recv(1024), b"OK");
    assert_eq!(client.until_end(), [b"a.txt", b"b.txt"]);
    assert_eq!(client.get("b.txt").unwrap(), b"two\nlines\n");
    assert_eq!(client.get("nothing"), Err("FAIL".into()));
    assert_eq!(client.put("b.txt", b""), Err("FAIL".into()));
}

#[test]
fn forty_of_them_at_once_while_one_crawls() {
    let files = serve(&["--dialect", "joined"]);
    fs::write(files.library.path().join("large"), vec![b'x'; 20_000_000]).unwrap();
    fs::write(files.library.path().join("small"), vec![b'y'; 50_000]).unwrap();
    let mut slow = Receiver::connect(&files.address);
    slow.send(b"G large");
    assert_eq!(slow.recv(1024), b"OK");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut client = Receiver::connect(&files.address);
                assert_eq!(client.get("small").unwrap(), vec![b'y'; 50_000]);
            });
        }
    });
    // One after the other they would take 8 s of pauses alone.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(slow.until_end().concat().len(), 20_000_000);
}

#[test]
fn of_uploads_of_one_name_exactly_one_wins() {
    let files = serve(&[]);
    let replies: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20_u8)
            .map(|index| {
                let address = &files.address;
                scope.spawn(move || {
                    let mut client = Receiver::connect(address);
                    client.send(b"PUT 100000 same\n");
                    [b'a' + index; 100_000].chunks(7000).for_each(|chunk| client.send(chunk));
                    client.send(b"Q\n");
                    let mut text = String::new();
                    client.0.read_to_string(&mut text).unwrap();
                    text
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(replies.iter().filter(|reply| reply.starts_with("OK 100000 ")).count(), 1, "{replies:?}");
    assert_eq!(replies.iter().filter(|reply| reply.starts_with("ERR exists ")).count(), 19);
    let stored = fs::read(files.library.path().join("same")).unwrap();
    assert!(stored.len() == 100_000 && stored.iter().all(|byte| *byte == stored[0]));
}
