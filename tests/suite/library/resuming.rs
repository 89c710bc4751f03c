//! Interrupted uploads, resumed over the same protocol or the other one. To add a case, interrupt a `resume`
//! or a `send`, and check `head` and `stored`.

use std::fs;
use std::time::{Duration, SystemTime};

use evserve::close_reason::CloseReason;
use evserve::protocol::{Dialect, Kind};
use evserve::services::LibrarySite;
use evserve::site::{Rules, Site};
use evserve::store::{Bounds, Library, LibraryRules};
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::conversation::{Talk, site};
use crate::process::{Client, Server, output, tool, wait_for};
use crate::reading::{Response, responses};

/// Returns the content to upload, 200 bytes.
pub fn content() -> Vec<u8> {
    (0..200).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens a connection to a new server, whose clock agrees with the timestamps of the disk.
pub fn talk(kind: Kind, folder: &TempDir, rules: LibraryRules) -> Talk {
    let library = Library::open(folder.path(), rules).unwrap();
    let mut talk = Talk::with_library(kind, site(), library);
    talk.now.wall = SystemTime::now();
    talk.wait(Duration::ZERO);
    talk
}

/// Opens a connection over the file protocol.
pub fn lines(folder: &TempDir) -> Talk {
    talk(Kind::File(Dialect::Lines), folder, LibraryRules::default())
}

pub fn http_with(folder: &TempDir, rules: LibraryRules) -> Talk {
    let mut talk = talk(Kind::Http, folder, rules);
    let store = talk.services.core.library.files();
    let site = Site::new(Box::new(store), Rules::of_uploads(), Bounds::within(1000));
    talk.services.http.library = Some(LibrarySite { site, allow_delete: false });
    talk
}

pub fn http(folder: &TempDir) -> Talk {
    http_with(folder, LibraryRules::default())
}

pub fn replies(talk: &mut Talk) -> String {
    String::from_utf8(std::mem::take(&mut talk.outcome.output)).unwrap()
}

pub fn command(bytes: &[u8]) -> String {
    format!("RESUME {} {} the file\n", bytes.len(), sha256(bytes))
}

/// Starts or resumes an upload with RESUME. Returns the connection and the offset.
#[track_caller]
pub fn resume(folder: &TempDir, bytes: &[u8]) -> (Talk, usize) {
    let mut talk = lines(folder);
    talk.input(command(bytes).as_bytes());
    let reply = replies(&mut talk);
    let offset = reply.lines().next().unwrap().strip_prefix("OK ").expect(&reply);
    (talk, offset.parse().unwrap())
}

pub fn address(bytes: &[u8]) -> String {
    format!("/files/the%20file?length={}&sha-256={}", bytes.len(), sha256(bytes))
}

pub fn send(talk: &mut Talk, method: &str, bytes: &[u8], fields: &str, body: &[u8]) -> Response {
    talk.outcome.output.clear();
    let fields: String = fields.lines().map(|field| format!("{field}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {} HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {length}\r\n\r\n",
        address(bytes)
    );
    talk.input(&[head.as_bytes(), body].concat());
    responses(&talk.outcome.output, &[method == "HEAD"]).remove(0)
}

pub fn part(offset: usize) -> String {
    format!("Content-Type: application/partial-upload\nUpload-Offset: {offset}")
}

/// Returns the offset that HEAD reports.
#[track_caller]
pub fn head(folder: &TempDir, bytes: &[u8]) -> usize {
    let found = send(&mut http(folder), "HEAD", bytes, "", b"");
    assert_eq!((found.status, found.field("Upload-Complete")), (204, Some("?0")));
    assert_eq!(found.field("Cache-Control"), Some("no-store"));
    assert_eq!(found.field("Upload-Length"), Some(bytes.len().to_string().as_str()));
    found.field("Upload-Offset").unwrap().parse().unwrap()
}

/// Returns the content of the uploaded file, if it is there. Panics if the folder holds any other file.
#[track_caller]
pub fn stored(folder: &TempDir) -> Option<Vec<u8>> {
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let found = fs::read(folder.path().join("the file")).ok();
    let hidden = usize::from(folder.path().join(".evserve-partial").exists());
    assert_eq!(names.len(), usize::from(found.is_some()) + hidden, "{names:?}");
    found
}

#[test]
fn interrupted_uploads_resume_over_either_protocol() {
    let bytes = content();
    // The protocols in which the upload starts and ends.
    for (first, last) in [("lines", "lines"), ("lines", "http"), ("http", "lines"), ("http", "http")] {
        for cut in (0..=bytes.len()).step_by(10) {
            let folder = tempfile::tempdir().unwrap();
            if first == "lines" {
                let (mut talk, offset) = resume(&folder, &bytes);
                assert_eq!(offset, 0);
                talk.input(&bytes[..cut.min(199)]);
                talk.eof();
                assert_eq!(talk.outcome.ending, Some(CloseReason::PeerLeft));
            } else {
                let mut talk = http(&folder);
                let head =
                    format!("PATCH {} HTTP/1.1\r\nHost: h\r\nContent-Length: 200\r\n", address(&bytes));
                let fields = part(0).replace('\n', "\r\n");
                talk.input(format!("{head}{fields}\r\n\r\n").as_bytes());
                talk.input(&bytes[..cut.min(199)]);
                talk.eof();
            }
            let received = cut.min(199);
            assert_eq!((head(&folder, &bytes), stored(&folder)), (received, None), "{first}");
            let reply = format!("OK 200 {}\r\n", sha256(&bytes));
            if last == "lines" {
                let (mut talk, offset) = resume(&folder, &bytes);
                assert_eq!(offset, received);
                talk.input(&bytes[offset..]);
                assert_eq!(replies(&mut talk), reply);
                talk.input(b"STAT the file\n");
                assert!(replies(&mut talk).starts_with("OK 200 "));
            } else {
                let mut talk = http(&folder);
                assert_eq!(send(&mut talk, "PATCH", &bytes, &part(received), &bytes[received..]).status, 201);
            }
            assert_eq!(stored(&folder), Some(bytes.clone()), "{first} {last} {cut}");
            // The partial file is gone, and the next sweep removes the hidden folder.
            assert_eq!(fs::read_dir(folder.path().join(".evserve-partial")).unwrap().count(), 0);
            lines(&folder).services.run_background_tasks();
            assert!(!folder.path().join(".evserve-partial").exists());
        }
    }
}

#[test]
fn a_different_upload_does_not_resume_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content();
    let (mut talk, _) = resume(&folder, &bytes);
    talk.input(&bytes[..100]);
    drop(talk);
    for other in [&bytes[..199], &b"x".repeat(200)] {
        assert_eq!(resume(&folder, other).1, 0);
    }
    let mut talk = lines(&folder);
    talk.input(command(&bytes).replace("the file", "another").as_bytes());
    assert_eq!(replies(&mut talk), "OK 0\r\n");
    assert_eq!(head(&folder, &bytes), 100);
}

#[test]
fn an_upload_in_another_process_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content();
    // Each connection has its own server.
    let (mut first, _) = resume(&folder, &bytes);
    first.input(&bytes[..100]);
    let mut second = lines(&folder);
    second.input(command(&bytes).as_bytes());
    assert!(replies(&mut second).starts_with("ERR busy "));
    assert_eq!(send(&mut http(&folder), "PATCH", &bytes, &part(100), &bytes[100..]).status, 503);
    first.input(&bytes[100..]);
    assert!(replies(&mut first).starts_with("OK 200 "));
}

#[test]
fn a_resumed_upload_does_not_replace_an_existing_file() {
    let bytes = content();
    for protocol in ["lines", "http"] {
        let folder = tempfile::tempdir().unwrap();
        let (mut talk, _) = resume(&folder, &bytes);
        talk.input(&bytes[..100]);
        if protocol == "lines" {
            fs::write(folder.path().join("the file"), "theirs").unwrap();
            talk.input(&bytes[100..]);
            assert!(replies(&mut talk).starts_with("ERR exists "));
        } else {
            drop(talk);
            fs::write(folder.path().join("the file"), "theirs").unwrap();
            assert_eq!(send(&mut http(&folder), "PATCH", &bytes, &part(100), &bytes[100..]).status, 409);
        }
        assert_eq!(stored(&folder), Some(b"theirs".to_vec()));
    }
}

#[test]
fn uploads_that_do_not_match_their_hash_are_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content();
    let (mut talk, _) = resume(&folder, &bytes);
    talk.input(&[0; 200]);
    assert!(replies(&mut talk).starts_with("ERR bad-hash "));
    assert_eq!((stored(&folder), head(&folder, &bytes)), (None, 0));
    // The same if the partial file was changed on the disk.
    let (mut talk, _) = resume(&folder, &bytes);
    talk.input(&bytes[..100]);
    drop(talk);
    let hidden = folder.path().join(".evserve-partial");
    let hidden = fs::read_dir(hidden).unwrap().next().unwrap().unwrap().path();
    fs::write(&hidden, vec![7; 100]).unwrap();
    assert_eq!(send(&mut http(&folder), "PATCH", &bytes, &part(100), &bytes[100..]).status, 409);
    assert_eq!((stored(&folder), head(&folder, &bytes)), (None, 0));
}

#[test]
fn invalid_parts_of_an_upload_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content();
    let mut talk = http(&folder);
    for (fields, body, status) in [
        (part(0), 0..50, 204),
        (part(0), 0..50, 409),
        (part(51), 50..100, 409),
        (part(50) + "\nUpload-Complete: ?0", 50..100, 204),
        (part(100) + "\nUpload-Complete: ?1", 100..150, 400),
        (part(100) + "\nUpload-Complete: 1", 100..150, 400),
        (part(100) + "\nContent-Length: 1", 100..150, 400),
    ] {
        let mut talk = http(&folder);
        assert_eq!(send(&mut talk, "PATCH", &bytes, &fields, &bytes[body]).status, status, "{fields}");
    }
    let found = send(&mut talk, "PATCH", &bytes, &part(0), b"x");
    assert_eq!((found.status, found.field("Upload-Offset")), (409, Some("100")));
    for (fields, status) in [
        ("Content-Type: application/partial-upload", 400),
        ("Content-Type: application/partial-upload\nUpload-Offset: -1", 400),
        ("Upload-Offset: 100", 415),
        (&(part(100) + "\nSec-Fetch-Site: cross-site"), 403),
    ] {
        assert_eq!(send(&mut talk, "PATCH", &bytes, fields, b"x").status, status, "{fields}");
    }
    let long = [&bytes[100..], b"x"].concat();
    assert_eq!(send(&mut talk, "PATCH", &bytes, &part(100), &long).status, 400);
    let plain = "PATCH /files/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    talk.outcome.output.clear();
    talk.input(plain.as_bytes());
    assert_eq!(responses(&talk.outcome.output, &[])[0].status, 400);
    // An empty part with `Upload-Complete: ?1` stores the file.
    assert_eq!(
        send(&mut talk, "PATCH", &bytes, &(part(100) + "\nUpload-Complete: ?0"), &bytes[100..]).status,
        204
    );
    assert_eq!((head(&folder, &bytes), stored(&folder)), (200, None));
    assert_eq!(send(&mut talk, "PATCH", &bytes, &(part(200) + "\nUpload-Complete: ?1"), b"").status, 201);
    assert_eq!(stored(&folder), Some(bytes));
}

#[test]
fn malformed_resume_commands_are_rejected_and_read_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = sha256(b"x");
    for (line, code) in [
        ("RESUME".to_owned(), "bad-command"),
        ("RESUME 1".into(), "bad-length"),
        (format!("RESUME x {sha256} a"), "bad-length"),
        (format!("RESUME 1 {} a", &sha256[1..]), "bad-length"),
        (format!("RESUME 1 {}g a", &sha256[1..]), "bad-length"),
        (format!("RESUME 1 {sha256}"), "bad-name"),
        (format!("RESUME 1 {sha256} .a"), "bad-name"),
        (format!("RESUME 9999999999 {sha256} a"), "too-large"),
    ] {
        let mut talk = lines(&folder);
        talk.input(format!("{line}\nL\n").as_bytes());
        let said = replies(&mut talk);
        assert!(
            said.starts_with(&format!("ERR {code} ")) && said.ends_with("\r\nOK 0\r\n"),
            "{line}: {said}"
        );
    }
    assert_eq!(stored(&folder), None);
}

#[test]
fn partial_uploads_are_limited_in_number_and_age() {
    let folder = tempfile::tempdir().unwrap();
    let rules = LibraryRules { partial_max: 2, partial_age: Duration::from_secs(100), ..Default::default() };
    let begin = |content: &[u8]| {
        let mut talk = http_with(&folder, rules.clone());
        assert_eq!(send(&mut talk, "PATCH", content, &part(0), &content[..1]).status, 204);
    };
    let contents = [b"one", b"two", b"six"];
    contents.into_iter().for_each(|content| begin(content));
    let left: Vec<usize> = contents.iter().map(|content| head(&folder, *content)).collect();
    assert_eq!(left.iter().sum::<usize>(), 2);
    let partials =
        || fs::read_dir(folder.path().join(".evserve-partial")).map_or(0, |entries| entries.count());
    assert_eq!(partials(), 2);
    let mut talk = http_with(&folder, rules.clone());
    talk.services.run_background_tasks();
    assert_eq!(partials(), 2);
    talk.wait(Duration::from_secs(101));
    talk.services.run_background_tasks();
    assert_eq!(partials(), 0);
    // DELETE discards a partial upload.
    begin(b"one");
    assert_eq!(send(&mut http(&folder), "DELETE", b"one", "", b"").status, 204);
    assert_eq!((head(&folder, b"one"), partials()), (0, 0));
}

#[test]
fn deleting_an_upload_leaves_no_hidden_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, hidden) = (content(), folder.path().join(".evserve-partial"));
    let mut talk = http(&folder);
    talk.services.run_background_tasks();
    assert_eq!(send(&mut talk, "DELETE", &bytes, "", b"").status, 204);
    assert!(!hidden.exists());
    assert_eq!(send(&mut talk, "PATCH", &bytes, &part(0), &bytes[..50]).status, 204);
    // An upload with the same name is another one.
    assert_eq!(send(&mut talk, "DELETE", b"other", "", b"").status, 204);
    assert_eq!((fs::read_dir(&hidden).unwrap().count(), head(&folder, &bytes)), (1, 50));
    assert_eq!(send(&mut talk, "DELETE", &bytes, "", b"").status, 204);
    talk.services.run_background_tasks();
    assert!(!hidden.exists());
}

#[test]
fn sweeps_skip_foreign_entries_and_report_them_once() {
    let library = tempfile::tempdir().unwrap();
    let hidden = library.path().join(".evserve-partial");
    // The foreign folder comes first by age.
    fs::create_dir_all(hidden.join("theirs")).unwrap();
    for number in 0..3 {
        fs::write(hidden.join(format!("partial-{number}")), "x").unwrap();
    }
    let options = ["--file", "0", "--partial-max", "1"];
    let server = Server::start(&[&["--files", library.path().to_str().unwrap()], &options[..]].concat());
    let count = || fs::read_dir(&hidden).unwrap().count();
    wait_for("a sweep", || (count() == 2).then_some(()));
    // Each first part of an upload sweeps.
    for content in [b"one", b"two", b"six"] {
        let url = format!("PATCH {} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n", address(content));
        let mut client = server.connect();
        client.send(format!("{url}{}\r\n\r\nx", part(0).replace('\n', "\r\n")));
        assert_eq!(client.response().status, 204);
    }
    // The upload in progress stays, and may be the oldest at the resolution of the file system's clock.
    assert!((2..=3).contains(&count()), "{}", count());
    assert!(hidden.join("theirs").is_dir());
    let warning = "\"theirs\" in the folder of partial uploads is no partial upload";
    server.wait_for_line(warning);
    assert_eq!(server.count_lines(warning), 1);
}

#[test]
fn uploads_beyond_the_library_limit_leave_no_partial_file() {
    let folder = tempfile::tempdir().unwrap();
    let rules = LibraryRules { max_library: Some(150), ..LibraryRules::default() };
    let bytes = content();
    let mut talk = http_with(&folder, rules);
    assert_eq!(send(&mut talk, "PATCH", &bytes, &part(0), &bytes[..50]).status, 507);
    let partial = folder.path().join(".evserve-partial");
    assert_eq!(fs::read_dir(partial).unwrap().count(), 0);
}

#[test]
fn uploads_resume_after_the_server_is_killed() {
    let library = tempfile::tempdir().unwrap();
    let path = library.path().to_str().unwrap();
    let start = || {
        let server = Server::start(&["--files", path, "--file", "0"]);
        let line = server.wait_for_line("listening file tcp://");
        (server, line.split("tcp://").nth(1).unwrap().to_owned())
    };
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut offset = 0;
    for kill in [Signal::KILL, Signal::TERM, Signal::KILL] {
        let (server, address) = start();
        let mut client = Client::new(std::net::TcpStream::connect(&address).unwrap());
        client.send(command(&bytes));
        let reply = client.line();
        let had: usize = reply.trim().strip_prefix("OK ").expect(&reply).parse().unwrap();
        assert!(had >= offset, "{had} after {offset}");
        offset = had + 700_000;
        client.send(&bytes[had..offset]);
        let hidden = library.path().join(".evserve-partial");
        wait_for("bytes on the disk", || {
            let file = fs::read_dir(&hidden).ok()?.next()?.ok()?;
            (file.metadata().ok()?.len() >= offset as u64).then_some(())
        });
        server.signal(kill);
        drop(client);
        drop(server);
    }
    let Some(curl) = tool("curl") else { return };
    let (server, _) = start();
    let url = format!("http://{}{}", server.address, address(&bytes));
    let head = output(&curl, &["-sSI", &url]);
    assert!(head.contains(&format!("\r\nUpload-Offset: {offset}\r\n")), "{head}");
    let rest = library.path().join("rest");
    fs::write(&rest, &bytes[offset..]).unwrap();
    let said = output(
        &curl,
        &[
            "-sS",
            "-w",
            "%{http_code}",
            "-X",
            "PATCH",
            "-H",
            "Content-Type: application/partial-upload",
            "-H",
            &format!("Upload-Offset: {offset}"),
            "--data-binary",
            &format!("@{}", rest.display()),
            &url,
        ],
    );
    assert_eq!(said, "201");
    assert!(fs::read(library.path().join("the file")).unwrap() == bytes);
}
