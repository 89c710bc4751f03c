//! Uploads that a client repeats after it has lost a response, and uploads that it resumes while the server
//! still holds the earlier connection. To add a case, use the functions of `resuming.rs`, and `lend` the
//! services of one connection to the other.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use evserve::clock::Instant;
use evserve::close_reason::CloseReason;
use evserve::store::{
    Descriptors, Library, LibraryError, LibraryRules, Name, OnDuplicate, Sha256Digest, UploadKey,
};

use super::resuming::{
    address, command, content, head, http, http_with, lines, part, replies, resume, send, sha256, stored,
};
use crate::conversation::Talk;
use crate::process::{Client, Server, output, tool};
use crate::reading::responses;

/// Moves the services, and with them the library, from one connection to another.
fn lend(from: &mut Talk, to: &mut Talk) {
    std::mem::swap(&mut from.services, &mut to.services);
}

fn key(bytes: &[u8]) -> UploadKey {
    UploadKey {
        length: bytes.len() as u64,
        sha256: Sha256Digest::parse(sha256(bytes).as_bytes()).unwrap(),
        name: Name::parse(b"the file").unwrap(),
    }
}

/// Sends the first 100 bytes of an upload of 200.
fn begin(protocol: &str, talk: &mut Talk, bytes: &[u8]) {
    match protocol {
        "lines" => {
            talk.input(command(bytes).as_bytes());
            assert_eq!(replies(talk), "OK 0\r\n");
        }
        _ => {
            let head = format!("PATCH {} HTTP/1.1\r\nHost: h\r\nContent-Length: 200\r\n", address(bytes));
            talk.input(format!("{head}{}\r\n\r\n", part(0).replace('\n', "\r\n")).as_bytes());
        }
    }
    talk.input(&bytes[..100]);
}

/// Checks that a connection whose upload was taken over gets an error and closes.
#[track_caller]
fn expect_taken_over(protocol: &str, talk: &mut Talk) {
    if protocol == "lines" {
        assert_eq!(replies(talk), "ERR busy the upload continues on another connection\r\n");
        assert_eq!(talk.outcome.ending, Some(CloseReason::Rejected));
    } else {
        let response = responses(&talk.outcome.output, &[]).remove(0);
        assert!(response.status == 409 && response.closes(), "{}", response.status);
        assert_eq!(talk.outcome.ending, Some(CloseReason::BodyUnread));
    }
}

#[test]
fn a_resumed_upload_ends_the_connection_of_the_earlier_attempt() {
    let bytes = content();
    for (first, second) in [("lines", "lines"), ("lines", "http"), ("http", "lines"), ("http", "http")] {
        let folder = tempfile::tempdir().unwrap();
        // The space for the upload is reserved only once.
        let rules = LibraryRules { max_library: Some(200), ..LibraryRules::default() };
        let mut services = http_with(&folder, rules);
        let open = |protocol: &str| if protocol == "lines" { lines(&folder) } else { http(&folder) };
        let (mut earlier, mut later) = (open(first), open(second));
        lend(&mut services, &mut earlier);
        begin(first, &mut earlier, &bytes);
        lend(&mut earlier, &mut later);
        if second == "lines" {
            later.input(command(&bytes).as_bytes());
            assert_eq!(replies(&mut later), "OK 100\r\n");
            later.input(&bytes[100..150]);
            // The late bytes of the earlier connection are not stored.
            lend(&mut later, &mut earlier);
            earlier.input(&bytes[100..110]);
            expect_taken_over(first, &mut earlier);
            lend(&mut earlier, &mut later);
            later.input(&bytes[150..]);
            assert_eq!(replies(&mut later), format!("OK 200 {}\r\n", sha256(&bytes)));
        } else {
            // A part that does not fit disturbs no other connection.
            assert_eq!(send(&mut later, "PATCH", &bytes, &part(99), &bytes[99..]).status, 409);
            lend(&mut later, &mut earlier);
            earlier.input(&bytes[100..110]);
            assert_eq!(earlier.outcome.ending, None);
            lend(&mut earlier, &mut later);
            assert_eq!(send(&mut later, "PATCH", &bytes, &part(110), &bytes[110..]).status, 201);
            lend(&mut later, &mut earlier);
            earlier.input(&bytes[110..120]);
            expect_taken_over(first, &mut earlier);
        }
        assert_eq!(stored(&folder), Some(bytes.clone()), "{first} {second}");
    }
}

#[test]
fn a_refused_part_is_not_tried_again_when_its_body_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = &content()[..20];
    let (mut first, mut second) = (http(&folder), http(&folder));
    let patch = |offset: usize, length: usize| {
        let fields = part(offset).replace('\n', "\r\n");
        let line = format!("PATCH {} HTTP/1.1\r\nHost: h\r\n", address(bytes));
        format!("{line}Content-Length: {length}\r\n{fields}\r\n\r\n")
    };
    first.input(patch(0, 20).as_bytes());
    first.input(&bytes[..5]);
    lend(&mut first, &mut second);
    second.input(patch(10, 10).as_bytes());
    second.input(&bytes[10..15]);
    // Now the offset of the refused part would be the right one.
    lend(&mut second, &mut first);
    first.input(&bytes[5..10]);
    lend(&mut first, &mut second);
    second.input(&bytes[15..]);
    let refused = responses(&second.outcome.output, &[]).remove(0);
    assert_eq!((refused.status, refused.field("Upload-Offset")), (409, Some("5")));
    lend(&mut second, &mut first);
    first.input(&bytes[10..]);
    assert_eq!(responses(&first.outcome.output, &[])[0].status, 201);
    assert_eq!(stored(&folder).as_deref(), Some(bytes));
}

#[test]
fn an_upload_is_taken_over_while_its_first_bytes_are_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = vec![b'x'; 3 << 20];
    let now = (Instant::now(), SystemTime::now());
    // The descriptors of the upload are counted only once.
    let descriptors = Descriptors::new(2);
    let library = Library::open(folder.path(), LibraryRules::default()).unwrap();
    let mut library = library.within(descriptors.clone());
    library.resume(&key(&bytes), now).unwrap().write(&bytes[..bytes.len() - 1]).unwrap();
    let mut first = library.resume(&key(&bytes), now).unwrap();
    first.rehash().unwrap();
    let mut second = library.resume(&key(&bytes), now).unwrap();
    assert_eq!(descriptors.used(), 2);
    assert!(first.is_rehashing() && first.rehash().is_err() && first.write(b"x").is_err());
    assert!(library.store(first, now.1).is_err());
    // The second one continues where the first one was.
    second.rehash().unwrap();
    second.rehash().unwrap();
    assert!(!second.is_rehashing());
    second.write(b"x").unwrap();
    library.store(second, now.1).unwrap();
    assert_eq!(stored(&folder), Some(bytes));
}

#[test]
fn deleting_an_upload_ends_the_connection_that_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content();
    let (mut earlier, mut later) = (lines(&folder), http(&folder));
    lend(&mut later, &mut earlier);
    begin("lines", &mut earlier, &bytes);
    lend(&mut earlier, &mut later);
    assert_eq!(send(&mut later, "DELETE", &bytes, "", b"").status, 204);
    assert_eq!(fs::read_dir(folder.path().join(".evserve-partial")).unwrap().count(), 0);
    lend(&mut later, &mut earlier);
    earlier.input(&bytes[100..]);
    expect_taken_over("lines", &mut earlier);
    assert_eq!((stored(&folder), head(&folder, &bytes)), (None, 0));
}

/// Checks that both protocols report the upload as complete.
#[track_caller]
fn expect_complete(mut lines: Talk, mut http: Talk, bytes: &[u8]) {
    lines.input(&[command(bytes).as_bytes(), b"STAT the file\n"].concat());
    let length = bytes.len();
    let reply = format!("OK {length}\r\nOK {length} {}\r\nOK {length} ", sha256(bytes));
    assert!(replies(&mut lines).starts_with(&reply));
    let found = send(&mut http, "HEAD", bytes, "", b"");
    let length = length.to_string();
    assert_eq!((found.status, found.field("Upload-Complete")), (204, Some("?1")));
    assert_eq!(found.field("Upload-Offset"), Some(length.as_str()));
    for fields in ["", "\nUpload-Complete: ?1"] {
        let found = send(&mut http, "PATCH", bytes, &(part(bytes.len()) + fields), b"");
        assert_eq!((found.status, found.field("Upload-Complete")), (204, Some("?1")));
    }
    if !bytes.is_empty() {
        let found = send(&mut http, "PATCH", bytes, &part(0), b"");
        assert_eq!((found.status, found.field("Upload-Offset")), (409, Some(length.as_str())));
    }
}

#[test]
fn a_repeated_upload_of_a_stored_file_succeeds() {
    // The larger one is hashed in several turns.
    for bytes in [content(), vec![b'x'; (2 << 20) + 1], Vec::new()] {
        let folder = tempfile::tempdir().unwrap();
        let (mut talk, _) = resume(&folder, &bytes);
        talk.input(&bytes);
        drop(talk);
        // New servers, which have to hash the file.
        expect_complete(lines(&folder), http(&folder), &bytes);
        assert_eq!(stored(&folder), Some(bytes));
    }
}

#[test]
fn another_file_of_the_same_length_does_not_complete_an_upload() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content();
    let path = folder.path().join("the file");
    fs::write(&path, [7; 200]).unwrap();
    let mut talk = lines(&folder);
    talk.input(command(&bytes).as_bytes());
    assert!(replies(&mut talk).starts_with("ERR exists "));
    assert_eq!(head(&folder, &bytes), 0);
    let mut http = http(&folder);
    assert_eq!(send(&mut http, "PATCH", &bytes, &part(200), b"").status, 409);
    assert_eq!(send(&mut http, "PATCH", &bytes, &part(0), &bytes).status, 409);
    // The digest of a file that another program changes is not kept.
    fs::remove_file(&path).unwrap();
    assert_eq!(send(&mut http, "PATCH", &bytes, &part(0), &bytes).status, 201);
    let offset =
        |http: &mut Talk| send(http, "HEAD", &bytes, "", b"").field("Upload-Offset").unwrap().to_owned();
    assert_eq!(offset(&mut http), "200");
    fs::write(&path, [7; 200]).unwrap();
    assert_eq!(offset(&mut http), "0");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(offset(&mut http), "200");
    fs::remove_file(&path).unwrap();
    assert_eq!(offset(&mut http), "0");
    // With `replace` the upload replaces the other file.
    fs::write(&path, [7; 200]).unwrap();
    let mut http =
        http_with(&folder, LibraryRules { on_duplicate: OnDuplicate::Replace, ..LibraryRules::default() });
    assert_eq!(send(&mut http, "PATCH", &bytes, &part(0), &bytes).status, 204);
    assert_eq!(stored(&folder), Some(bytes));
}

#[test]
fn stored_files_are_not_hashed_for_clients_that_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = vec![b'x'; 3 << 20];
    fs::write(folder.path().join("the file"), &bytes).unwrap();
    let mut library = Library::open(folder.path(), LibraryRules::default()).unwrap();
    let (start, wall) = (Instant::now(), SystemTime::now());
    assert!(library.presence(&key(&bytes), start).is_ok());
    library.run_background_tasks((start, wall));
    assert_eq!(library.run_background_tasks((start, wall)), Some(start));
    let later = start + Duration::from_secs(6);
    assert_eq!(library.run_background_tasks((later, wall)), None);
}

#[test]
fn an_upload_without_the_expected_digest_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let mut library = Library::open(folder.path(), LibraryRules::default()).unwrap();
    let (expected, wall) = (key(b"the bytes").sha256, SystemTime::now());
    for bytes in ["the bytes", "the bytez", ""] {
        let mut upload = library.create(&key(b"").name, None).unwrap().expect(expected);
        upload.write(&bytes.as_bytes()[..bytes.len() / 2]).unwrap();
        // Nothing is kept of an upload that is cut off.
        drop(upload);
        let mut upload = library.create(&key(b"").name, None).unwrap().expect(expected);
        upload.write(bytes.as_bytes()).unwrap();
        match library.store(upload, wall) {
            Ok(stored) => assert_eq!((bytes, stored.sha256), ("the bytes", expected)),
            Err(error) => assert!(matches!(error, LibraryError::Mismatch) && bytes != "the bytes"),
        }
        assert_eq!(stored(&folder).is_some(), bytes == "the bytes");
        let _ = library.remove(&key(b"").name);
    }
}

#[test]
fn only_the_current_version_of_a_file_is_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = vec![b'x'; 3 << 20];
    let mut library = Library::open(folder.path(), LibraryRules::default()).unwrap();
    let now = (Instant::now(), SystemTime::now());
    library.run_background_tasks(now);
    let name = |name: &str| Name::parse(name.as_bytes()).unwrap();
    // There is a place for eight files at once.
    for number in 0..20_u8 {
        fs::write(folder.path().join("changing"), vec![b'x'; usize::from(number) + 1]).unwrap();
        assert_eq!(library.digest(&name("changing"), now.0).unwrap(), None);
    }
    fs::write(folder.path().join("the file"), &bytes).unwrap();
    assert_eq!(library.digest(&name("the file"), now.0).unwrap(), None);
    let mut turns = 0;
    while library.run_background_tasks(now).is_some() {
        turns += 1;
    }
    // Each file takes a turn per megabyte, and one to find its end.
    assert!(turns <= 2 + 4, "{turns}");
    assert_eq!(
        library.digest(&name("the file"), now.0).unwrap(),
        Sha256Digest::parse(sha256(&bytes).as_bytes())
    );
}

#[test]
fn the_digest_of_a_file_that_has_just_changed_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("the file"), "x").unwrap();
    let (name, start) = (Name::parse(b"the file").unwrap(), Instant::now());
    let day = Duration::from_secs(24 * 3600);
    for (wall, kept) in [(SystemTime::now(), false), (SystemTime::now() + day, true)] {
        let mut library = Library::open(folder.path(), LibraryRules::default()).unwrap();
        assert_eq!(library.digest(&name, start).unwrap(), None);
        while library.run_background_tasks((start, wall)).is_some() {}
        // The connections that wait for it get it.
        assert!(library.digest(&name, start).unwrap().is_some());
        assert_eq!(library.digest(&name, start + Duration::from_secs(1)).unwrap().is_some(), kept);
    }
}

#[test]
fn a_known_digest_is_not_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = vec![b'x'; 3 << 20];
    let (mut talk, _) = resume(&folder, &bytes);
    talk.input(&bytes);
    assert!(replies(&mut talk).starts_with("OK "));
    let (mut turns, reply) = (0, format!("OK {}\r\n", sha256(&bytes)));
    talk.each_turn(b"HASH the file\n", |_| turns += 1);
    assert_eq!((turns, replies(&mut talk)), (0, reply.clone()));
    // Another server computes it once.
    let mut talk = lines(&folder);
    talk.each_turn(b"HASH the file\n", |_| turns += 1);
    assert_eq!((turns, replies(&mut talk)), (4, reply));
}

#[test]
fn a_file_that_cannot_be_compared_now_does_not_refuse_its_upload_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content();
    fs::write(folder.path().join("the file"), &bytes).unwrap();
    let descriptors = Descriptors::new(1);
    let library = Library::open(folder.path(), LibraryRules::default()).unwrap();
    let mut talk = lines(&folder);
    talk.services.core.library = library.within(descriptors);
    let other = Name::parse(b"other").unwrap();
    let upload = talk.services.core.library.create(&other, None).unwrap();
    let put = [format!("PUT {} the file\n", bytes.len()).as_bytes(), &bytes].concat();
    for command in [&put, command(&bytes).as_bytes(), b"HASH the file\n"] {
        talk.input(command);
        let reply = replies(&mut talk);
        assert!(reply.starts_with("ERR busy "), "{reply}");
    }
    drop(upload);
    talk.input(&put);
    assert_eq!(replies(&mut talk), format!("OK 200 {}\r\n", sha256(&bytes)));
}

#[test]
fn a_client_that_reconnects_does_not_wait_for_its_dead_connection() {
    let library = tempfile::tempdir().unwrap();
    let server = Server::start(&["--files", library.path().to_str().unwrap(), "--file", "0"]);
    let line = server.wait_for_line("listening file tcp://");
    let connect = || Client::new(TcpStream::connect(line.split("tcp://").nth(1).unwrap()).unwrap());
    let bytes = content();
    let mut dead = connect();
    dead.send(command(&bytes));
    assert_eq!(dead.line(), "OK 0");
    dead.send(&bytes[..100]);
    crate::process::wait_until_read(&dead.stream);
    let mut alive = connect();
    alive.send(command(&bytes));
    assert_eq!(alive.line(), "OK 100");
    dead.send(&bytes[100..]);
    assert!(dead.line().starts_with("ERR busy "));
    dead.expect_end();
    alive.send(&bytes[100..]);
    assert!(alive.line().starts_with("OK 200 "));
    // The reply may be lost, too.
    alive.send(command(&bytes));
    assert_eq!((alive.line(), alive.line()), ("OK 200".into(), format!("OK 200 {}", sha256(&bytes))));
    let Some(curl) = tool("curl") else { return };
    let url = format!("http://{}{}", server.address, address(&bytes));
    let head = output(&curl, &["-sSI", &url]);
    assert!(
        head.contains("\r\nUpload-Complete: ?1\r\n") && head.contains("\r\nUpload-Offset: 200\r\n"),
        "{head}"
    );
}
