//! The file protocol in lines: commands, replies, uploads, garbage. To add a case, add a row (script,
//! replies) or a `check`, which splits the script everywhere.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use evserve::close_reason::CloseReason;
use evserve::protocol::{Dialect, Kind};
use evserve::store::{Library, LibraryRules, OnDuplicate};
use tempfile::TempDir;

use crate::conversation::{Talk, site};
use crate::simulation::tls_scripts::{self, WAYS, Way};

/// SHA-256 of `hello` (sha256sum).
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Creates a folder of files, modified at the date of the examples in RFC 9110.
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

/// Delivers a script in pieces. Returns the replies, the close reason, and the files afterwards.
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

/// Checks the replies to a script, however it is split, and the files that it adds.
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
    if cfg!(feature = "tls") {
        WAYS.into_iter()
            .for_each(|way| assert_eq!(over_tls(bytes, way), whole, "{script:?} over TLS: {way:?}"));
    }
}

/// Runs a script through the loop over TLS.
fn over_tls(script: &[u8], way: Way) -> (String, Option<CloseReason>, Vec<String>) {
    let folder = folder();
    let talk = talk(&folder, LibraryRules { max_upload: 1000, ..LibraryRules::default() });
    let server = (Kind::File(Dialect::Auto), talk.services, talk.now);
    let outcome = tls_scripts::converse(server, script, false, way).0;
    let text = String::from_utf8(outcome.output).unwrap();
    (text.lines().collect::<Vec<_>>().join("\n"), outcome.ending, names(&folder))
}

const LISTED: &str = "OK 2\n12 1994-11-06T08:49:37Z a b.txt\n0 1994-11-06T08:49:37Z z";
const BAD_NAME: &str = "ERR bad-name a name is 1 to 255 bytes of UTF-8 without / and control characters, and does not start with a dot";

#[test]
fn commands_reply_with_data_or_an_error_code() {
    for (script, replies) in [
        ("L\n", LISTED),
        ("list\r\n", LISTED),
        ("G a b.txt\n", "OK 12\ntwelve bytes"),
        ("GET z\nL\n", &format!("OK 0\n{LISTED}")),
        ("G missing\n", "ERR not-found no such file"),
        ("G sub\n", "ERR not-found no such file"),
        ("G .hidden\n", BAD_NAME),
        ("G ../x\n", BAD_NAME),
        ("G /dev/zero\n", BAD_NAME),
        ("STAT a b.txt\n", "OK 12 1994-11-06T08:49:37Z"),
        ("STAT x\n", "ERR not-found no such file"),
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
    check("Q\n", "OK bye", Some(CloseReason::CloseRequested), &[]);
}

#[test]
fn uploads_are_stored_and_answered_with_their_sha_256() {
    check(
        "PUT 5 new\nhelloSTAT z\n",
        &format!("OK 5 {HELLO}\nOK 0 1994-11-06T08:49:37Z"),
        None,
        &["new=hello"],
    );
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    // The SHA-256 of an empty file.
    check("HASH z\n", &format!("OK {empty}"), None, &[]);
    check("HASH nothing\n", "ERR not-found no such file", None, &[]);
    check("PUT 0 new file\n", &format!("OK 0 {empty}"), None, &["new file="]);
    let help = "OK L | G name | PUT length name | RESUME length sha-256 name | P name | STAT name | HASH name | REST offset | Q";
    let typed = format!("OK send lines, end with ##\nOK 4 {}\n{help}", sha("hel\n"));
    check("P new\r\nhel\r\n##\r\n?\n", &typed, None, &["new=hel\n"]);
    // A repeated upload is a success. The stored file stays as it is.
    let twelve = format!("OK 12 {}", sha("twelve bytes"));
    check(
        "PUT 12 a b.txt\ntwelve bytesQ\n",
        &format!("{twelve}\nOK bye"),
        Some(CloseReason::CloseRequested),
        &[],
    );
    check("PUT 0 z\nSTAT z\n", &format!("OK 0 {empty}\nOK 0 1994-11-06T08:49:37Z"), None, &[]);
    for other in ["Twelve bytes", "twelve byteZ"] {
        let script = format!("PUT 12 a b.txt\n{other}STAT z\n");
        let replies = "ERR exists a file with this name exists\nOK 0 1994-11-06T08:49:37Z";
        check(&script, replies, None, &[]);
    }
    // The content of a rejected upload is discarded, and the next command is read.
    check(
        "PUT 2 z\nQ\nSTAT z\n",
        "ERR exists a file with this name exists\nOK 0 1994-11-06T08:49:37Z",
        None,
        &[],
    );
    check("PUT 2 a/b\nQ\nSTAT z\n", &format!("{BAD_NAME}\nOK 0 1994-11-06T08:49:37Z"), None, &[]);
    check("P z\nSTAT z\n", "ERR exists a file with this name exists\nOK 0 1994-11-06T08:49:37Z", None, &[]);
    // Content after these could be taken for commands, so the connection is closed.
    let refused = Some(CloseReason::Rejected);
    check("PUT 1001 new\n", "ERR too-large the file exceeds the size limit", refused, &[]);
    check("PUT five new\n", "ERR bad-length PUT takes a length in bytes and a name", refused, &[]);
    check("PUT 5\n", "ERR bad-name PUT takes a length in bytes and a name", refused, &[]);
    check("POST / HTTP/1.1\r\n", "ERR bad-command this is not HTTP", refused, &[]);
    check("Host: x\n", "ERR bad-command this is not HTTP", refused, &[]);
    // A TLS client waits for the reply, and what it sends may contain no newline.
    check("\x16\x03\x01\x02", "ERR bad-command this port speaks no TLS", refused, &[]);
}

/// Returns the SHA-256 according to sha256sum(1).
fn sha(text: &str) -> String {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

#[test]
fn telnet_negotiation_is_removed_from_commands_but_not_from_files() {
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules::default());
    talk.input(b"\xff\xfd\x03P\xff\xf1UT 4 \xff\xfa\x18\nx\xff\xf0new\r\n\xff\xfd\x03\n");
    assert!(talk.outcome.output.starts_with(b"OK 4 "));
    assert_eq!(fs::read(folder.path().join("new")).unwrap(), b"\xff\xfd\x03\n");
}

#[test]
fn a_line_that_is_too_long_closes_the_connection() {
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules::default());
    talk.input(&[b'x'; 5000]);
    assert_eq!(talk.outcome.output, b"ERR bad-command the line is too long\r\n");
    assert_eq!(talk.outcome.ending, Some(CloseReason::Rejected));
}

#[test]
fn incomplete_uploads_leave_no_file() {
    for script in ["PUT 5 new\nhell", "P new\nhello\n", "P new\nhello\n#", "P new\nhello##", "PUT 5 new"] {
        let folder = folder();
        let mut talk = talk(&folder, LibraryRules::default());
        talk.input(script.as_bytes());
        // Systems other than Linux have a hidden file during the upload.
        let visible = names(&folder).iter().filter(|name| !name.starts_with(".evserve-")).count();
        assert_eq!(visible, 4, "{script:?}");
        talk.eof();
        let said = String::from_utf8_lossy(&talk.outcome.output).into_owned();
        assert!(said.lines().last().unwrap().starts_with("ERR bad-"), "{script:?}: {said}");
        drop(talk);
        assert_eq!(names(&folder).len(), 4, "{script:?}");
    }
    // The last line needs no newline.
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
    assert!(talk.outcome.output.ends_with(b"ERR timeout timed out\r\n"));
}

#[test]
fn invalid_commands_get_errors_and_change_nothing() {
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
    // A name ends at the newline; the rest is the next command.
    answered(b"G a\nb\nL\n", &format!("ERR not-found no such file\n{unknown}\n{LISTED}"), None);
    // After an invalid length, no command is executed.
    let refused = Some(CloseReason::Rejected);
    for length in ["-1", "+5", "0x5", "5e0", "5.0", " 5", "", "5,", "\u{0665}", "99999999999999999999"] {
        let reply = "ERR bad-length PUT takes a length in bytes and a name";
        answered(format!("PUT {length} new\nPUT 0 other\n").as_bytes(), reply, refused);
    }
    let reply = "ERR too-large the file exceeds the size limit";
    answered(b"PUT 18446744073709551615 new\nPUT 0 other\n", reply, refused);
    // After a length that is too small, the rest of the content is read as commands.
    let (found, _, names) = converse([&b"PUT 5 new\nhello you\nL\n"[..]]);
    assert!(found.starts_with(&format!("OK 5 {HELLO}\n{unknown}\nOK 3\n")), "{found}");
    assert!(names.contains(&"new=hello".into()));
    // Device names of Windows are ordinary names.
    check("PUT 5 NUL\nhello", &format!("OK 5 {HELLO}"), None, &["NUL=hello"]);
}

#[test]
fn symlinks_fifos_and_folders_are_neither_read_nor_replaced() {
    for on_duplicate in [OnDuplicate::Refuse, OnDuplicate::Replace] {
        let (folder, elsewhere) = (folder(), tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("target");
        fs::write(&target, "theirs").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join("link")).unwrap();
        assert!(Command::new("mkfifo").arg(folder.path().join("fifo")).status().unwrap().success());
        let mut talk = talk(&folder, LibraryRules { on_duplicate, ..LibraryRules::default() });
        let mut code = |script: String| {
            talk.outcome.output.clear();
            talk.input(script.as_bytes());
            String::from_utf8_lossy(&talk.outcome.output).split(' ').take(2).collect::<Vec<_>>().join(" ")
        };
        for name in ["link", "fifo", "sub"] {
            assert_eq!(code(format!("G {name}\n")), "ERR not-found", "{name}");
            assert_eq!(code(format!("STAT {name}\n")), "ERR not-found", "{name}");
            // Only regular files are replaced.
            assert_eq!(code(format!("PUT 5 {name}\nhello")), "ERR exists", "{name}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
    }
}

#[test]
fn a_disconnect_at_any_byte_of_an_upload_leaves_no_file() {
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
fn commands_before_eof_are_answered() {
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
fn uploads_obey_the_library_rules() {
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
    let over = LibraryRules { on_duplicate: OnDuplicate::Replace, fsync: true, ..free() };
    assert_eq!(replies(over, "PUT 5 z\nhello"), ("OK 5".into(), b"hello".to_vec()));
    assert_eq!(replies(LibraryRules { max_upload: 3, ..free() }, "P y\nhello\n##\n").0, "OK send");
}

#[test]
fn a_file_that_changes_while_it_is_compared_with_an_upload_is_another_one() {
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules::default());
    talk.input(b"PUT 12 a b.txt\ntwelve byte");
    fs::write(folder.path().join("a b.txt"), "TWELVE BYTES").unwrap();
    talk.input(b"S");
    assert!(talk.outcome.output.starts_with(b"ERR exists "));
    talk.outcome.output.clear();
    talk.input(b"PUT 12 a b.txt\nTWELVE BYTE");
    fs::remove_file(folder.path().join("a b.txt")).unwrap();
    talk.input(b"S");
    assert!(talk.outcome.output.starts_with(b"ERR exists "));
}
