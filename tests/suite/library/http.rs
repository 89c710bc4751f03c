//! The library over HTTP: uploads, listings, downloads, deletions, and access rules. To add a case, add a row
//! (request line, fields, body, status) to `writes_are_checked_for_name_preconditions_and_origin`, or call
//! `send`.

use std::fs;
use std::process::Command;

use evserve::close_reason::CloseReason;
use evserve::peer::Peer;
use evserve::protocol::Kind;
use evserve::services::{LibrarySite, Services};
use evserve::site::{Rules, Site};
use evserve::store::{Bounds, Library, LibraryRules, Name, OnDuplicate, Upload};
use tempfile::TempDir;

use crate::conversation::{Talk, site};
use crate::process::{PROGRAM, Server, large_file, output, small_site, tool};
use crate::reading::{Response, responses};

pub fn talk(folder: &TempDir, rules: LibraryRules) -> Talk {
    let library = Library::open(folder.path(), rules).unwrap();
    let mut talk = Talk::with_library(Kind::Http, site(), library);
    let store = talk.services.core.library.files();
    let site = Site::new(Box::new(store), Rules::of_uploads(), Bounds::within(1000));
    talk.services.http.library = Some(LibrarySite { site, allow_delete: true });
    talk.services.http.hosts = vec!["files.example".into()];
    talk
}

pub fn rules() -> LibraryRules {
    LibraryRules { max_upload: 1000, ..LibraryRules::default() }
}

/// Creates the folder of a library with one file.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old.txt"), "old").unwrap();
    folder
}

/// Builds a request with these fields, Content-Length, and Host unless it is among them.
pub fn request(line: &str, fields: &str, body: &str) -> String {
    let fields: String = fields.lines().map(|field| format!("{}\r\n", field.trim())).collect();
    let host = if fields.contains("Host: ") { "" } else { "Host: 127.0.0.1:7890\r\n" };
    format!("{line} HTTP/1.1\r\n{host}{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

pub fn send(talk: &mut Talk, script: &str) -> Response {
    talk.outcome.output.clear();
    talk.input(script.as_bytes());
    responses(&talk.outcome.output, &[script.starts_with("HEAD")]).remove(0)
}

#[test]
fn uploads_by_put_are_stored_wherever_the_input_is_cut() {
    let chunked = "PUT /files/new%20file HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: t\r\n\r\n";
    let next_request = "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    for script in
        [request("PUT /files/new%20file", "", "hello") + next_request, chunked.to_owned() + next_request]
    {
        let bytes = script.as_bytes();
        for cut in 0..=bytes.len() {
            let folder = folder();
            let mut talk = talk(&folder, rules());
            match cut {
                0 => bytes.chunks(1).for_each(|piece| talk.input(piece)),
                cut => [&bytes[..cut], &bytes[cut..]].into_iter().for_each(|piece| talk.input(piece)),
            }
            let found = responses(&talk.outcome.output, &[]);
            assert_eq!((found[0].status, found[1].text()), (201, "hello"), "cut at {cut}");
            assert_eq!(fs::read(folder.path().join("new file")).unwrap(), b"hello");
        }
    }
}

#[test]
fn writes_are_checked_for_name_preconditions_and_origin() {
    for (line, fields, body, status) in [
        ("PUT /files/new", "", "x", 201),
        ("PUT /files/new", "", "", 201),
        ("PUT /files/new", "If-None-Match: *", "x", 201),
        ("PUT /files/old.txt", "If-None-Match: *", "x", 412),
        ("PUT /files/new", "If-Match: *", "x", 412),
        ("PUT /files/old.txt", "If-Match: \"other\"", "x", 412),
        ("PUT /files/old.txt", "If-Match: *", "x", 409),
        // PUT ignores If-Modified-Since (RFC 9110 section 13.1.3).
        ("PUT /files/old.txt", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "x", 409),
        ("PUT /files/old.txt", "", "x", 409),
        ("PUT /files/new", "Content-Range: bytes 0-0/1", "x", 400),
        ("PUT /files/.new", "", "x", 400),
        ("PUT /files/a%2Fb", "", "x", 400),
        ("PUT /files/%ff", "", "x", 400),
        ("PUT /files/", "", "x", 405),
        ("PUT /elsewhere", "", "x", 405),
        ("POST /files/new", "", "x", 405),
        ("DELETE /files/old.txt", "", "", 204),
        ("DELETE /files/old.txt", "If-Match: \"other\"", "", 412),
        ("DELETE /files/new", "", "", 404),
        ("DELETE /a.txt", "", "", 405),
        // Browsers may write only from pages of this server.
        ("PUT /files/new", "Sec-Fetch-Site: same-origin", "x", 201),
        ("PUT /files/new", "Sec-Fetch-Site: none", "x", 201),
        ("PUT /files/new", "Sec-Fetch-Site: cross-site", "x", 403),
        ("PUT /files/new", "Sec-Fetch-Site: same-site", "x", 403),
        ("PUT /files/new", "Sec-Fetch-Site: same-origin\nSec-Fetch-Site: none", "x", 403),
        ("PUT /files/new", "Origin: http://127.0.0.1:7890", "x", 201),
        ("PUT /files/new", "Origin: http://127.0.0.1:7891", "x", 403),
        ("PUT /files/new", "Origin: null", "x", 403),
        ("PUT /files/new", "Host: localhost\nOrigin: http://localhost", "x", 201),
        ("PUT /files/new", "Host: [::1]:80\nOrigin: http://[::1]:80", "x", 201),
        ("PUT /files/new", "Host: files.example\nOrigin: http://files.example", "x", 201),
        ("PUT /files/new", "Host: rebound.example\nOrigin: http://rebound.example", "x", 403),
        ("PUT /files/new", "Host: rebound.example\nSec-Fetch-Site: same-origin", "x", 403),
        ("DELETE /files/old.txt", "Sec-Fetch-Site: cross-site", "", 403),
    ] {
        let folder = folder();
        let mut talk = talk(&folder, rules());
        let found = send(&mut talk, &request(line, fields, body));
        assert_eq!(found.status, status, "{line} {fields}");
        let stored = fs::read(folder.path().join("new")).ok();
        assert_eq!(stored, (status == 201).then(|| body.as_bytes().to_vec()), "{line} {fields}");
        assert_eq!(folder.path().join("old.txt").exists(), status != 204, "{line} {fields}");
        // The connection stays in step.
        let next = send(&mut talk, "GET /files/old.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(next.status, if status == 204 { 404 } else { 200 }, "{line} {fields}");
    }
}

#[test]
fn oversized_and_interrupted_uploads_leave_no_file() {
    let large = "x".repeat(1001);
    let chunked = format!(
        "PUT /files/new HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{large}\r\n0\r\n\r\n"
    );
    for script in [request("PUT /files/new", "", &large), chunked] {
        let folder = folder();
        let mut talk = talk(&folder, rules());
        assert_eq!(send(&mut talk, &script).status, 413);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    let folder = folder();
    let script = request("PUT /files/new", "", "hello");
    for cut in 1..script.len() {
        let mut talk = talk(&folder, rules());
        talk.input(&script.as_bytes()[..cut]);
        talk.eof();
        assert!(talk.outcome.ending.is_some());
        drop(talk);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "cut at {cut}");
    }
    let mut talk = talk(&folder, rules());
    talk.input(&script.as_bytes()[..script.len() - 1]);
    talk.wait(std::time::Duration::from_secs(30));
    assert_eq!(talk.outcome.ending, Some(CloseReason::BodyTimeout));
    assert!(talk.outcome.output.starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn the_library_limit_counts_uploads_in_progress() {
    let folder = folder();
    let rules = LibraryRules { max_library: Some(1003), ..rules() };
    let mut talk = talk(&folder, rules);
    let mut status = |script: &str| send(&mut talk, script).status;
    let [small, large] = [100, 900].map(|length| request("PUT /files/a", "", &"x".repeat(length)));
    let chunk = |length: usize| {
        let head = "PUT /files/b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length))
    };
    assert_eq!(status(&large), 201);
    assert_eq!((status(&chunk(101)), status(&chunk(100))), (507, 201));
    assert_eq!(
        (status(&small.replace("/a", "/c")), status("DELETE /files/a HTTP/1.1\r\nHost: h\r\n\r\n")),
        (507, 204)
    );
    // Files of other programs count, too.
    fs::write(folder.path().join("theirs"), [0; 850]).unwrap();
    assert_eq!(status(&small), 507);
    fs::remove_file(folder.path().join("theirs")).unwrap();
    // They count even if they appear just before an upload is stored.
    let whole = request("PUT /files/e", "", "x");
    talk.input(&whole.as_bytes()[..whole.len() - 1]);
    fs::write(folder.path().join("theirs"), [0; 850]).unwrap();
    assert_eq!(send(&mut talk, "x").status, 201);
    assert_eq!(send(&mut talk, &small).status, 507);
    fs::remove_file(folder.path().join("theirs")).unwrap();
    // Uploads in progress count, too.
    let begun = incomplete_upload(&mut talk.services, "d", 850);
    assert_eq!(send(&mut talk, &small).status, 507);
    drop(begun);
    assert_eq!(send(&mut talk, &small).status, 201);
}

/// Starts an upload and writes all but its last byte.
fn incomplete_upload(services: &mut Services, name: &str, length: u64) -> Upload {
    let name = Name::parse(name.as_bytes()).unwrap();
    let mut upload = services.core.library.create(&name, Some(length)).unwrap();
    upload.write(&vec![b'x'; length as usize - 1]).unwrap();
    upload
}

#[test]
fn a_replaced_file_is_served_at_once() {
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules { on_duplicate: OnDuplicate::Replace, ..rules() });
    let get = "GET /files/old.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(send(&mut talk, get).text(), "old");
    assert_eq!(send(&mut talk, &request("PUT /files/old.txt", "", "new")).status, 204);
    assert_eq!(send(&mut talk, get).text(), "new");
    let put = request("PUT /files/old.txt", "If-None-Match: \"another\"", "newer");
    assert_eq!(send(&mut talk, &put).status, 204);
    let read_only = send(
        &mut self::talk(&folder, LibraryRules { read_only: true, ..rules() }),
        &request("PUT /files/x", "", "x"),
    );
    assert_eq!(read_only.status, 403);
}

#[test]
fn the_library_listing_follows_the_accept_header() {
    let folder = folder();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join(".hidden"), "").unwrap();
    let mut talk = talk(&folder, rules());
    for (accept, kind) in [
        ("*/*", "text/html; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("*/*\r\nUser-Agent: curl/8.5.0", "text/plain; charset=utf-8"),
        ("text/html,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
    ] {
        let found = send(&mut talk, &format!("GET /files/ HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n"));
        assert_eq!(
            (found.field("Content-Type"), found.field("Vary")),
            (Some(kind), Some("Accept, User-Agent"))
        );
        assert!(found.text().contains("old.txt") && !found.text().contains("sub/"));
        assert_eq!(kind.starts_with("text/plain"), found.text() == "old.txt\n");
    }
    for (path, status) in [
        ("/files", 308),
        ("/filesystem", 404),
        ("/files/sub", 404),
        ("/files/sub/", 404),
        ("/files/../x", 404),
        ("/files/.hidden", 404),
    ] {
        assert_eq!(send(&mut talk, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).status, status);
    }
}

#[test]
fn uploads_that_differ_from_their_digest_are_not_stored() {
    // The digests of "hello" and "".
    let hello = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    for (fields, body, status) in [
        (format!("Content-Digest: {hello}"), "hello", 201),
        (format!("Repr-Digest: {hello}"), "hello", 201),
        (format!("Content-Digest: sha-512=:AAAA:, {hello}\nRepr-Digest: {hello}"), "hello", 201),
        (format!("Content-Digest: {empty}"), "", 201),
        ("Content-Digest: sha-512=:AAAA:, md5=:AAAA:".into(), "hello", 201),
        (format!("Content-Digest: {hello}"), "hellO", 400),
        (format!("Repr-Digest: {hello}"), "", 400),
        (format!("Repr-Digest: {hello}\nContent-Digest: {empty}"), "hello", 400),
        ("Content-Digest: sha-256=:AAAA:".into(), "hello", 400),
        ("Content-Digest: sha-256=hello".into(), "hello", 400),
    ] {
        let folder = folder();
        let mut talk = talk(&folder, rules());
        let script = request("PUT /files/new", &format!("{fields}\nAccept: application/json"), body);
        script.as_bytes().chunks(1).for_each(|byte| talk.input(byte));
        let found = responses(&talk.outcome.output, &[]).remove(0);
        assert_eq!(found.status, status, "{fields} {body}: {}", found.text());
        let stored = fs::read(folder.path().join("new")).ok();
        assert_eq!(stored, (status == 201).then(|| body.as_bytes().to_vec()), "{fields} {body}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), if status == 201 { 2 } else { 1 });
        // The connection stays in step.
        assert_eq!(send(&mut talk, "GET /files/old.txt HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    }
}

#[test]
fn downloads_carry_their_file_name() {
    let folder = folder();
    let odd = "a \"b\" 100%\\ 文件.txt";
    fs::write(folder.path().join(odd), "odd").unwrap();
    let mut talk = talk(&folder, rules());
    let plain = "attachment; filename=\"old.txt\"; filename*=UTF-8''old.txt";
    for (path, disposition) in [
        ("/files/old.txt", None),
        ("/files/old.txt?download", Some(plain)),
        ("/files/old.txt?a&download=1", Some(plain)),
        (
            "/files/a%20%22b%22%20100%25%5C%20%E6%96%87%E4%BB%B6.txt?download",
            Some(
                "attachment; filename=\"a _b_ 100__ __.txt\"; \
                 filename*=UTF-8''a%20%22b%22%20100%25%5C%20%E6%96%87%E4%BB%B6.txt",
            ),
        ),
    ] {
        let found = send(&mut talk, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((found.status, found.field("Content-Disposition")), (200, disposition), "{path}");
    }
}

#[test]
fn curl_and_wget_save_downloads_under_their_names() {
    let library = folder();
    fs::write(library.path().join("a b.txt"), "spaced").unwrap();
    let path = library.path().to_str().unwrap();
    let server = Server::start_with(Command::new(PROGRAM), small_site(), &["--files", path, "--file", "off"]);
    let url = format!("http://{}/files/a%20b.txt?download", server.address);
    for (name, arguments) in
        [("curl", &["-sS", "-OJ"][..]), ("wget", &["-q", "--content-disposition", "--no-config"])]
    {
        let Some(program) = tool(name) else { continue };
        let target = tempfile::tempdir().unwrap();
        let done = Command::new(program).current_dir(&target).args(arguments).arg(&url).status().unwrap();
        assert!(done.success(), "{name}");
        assert_eq!(fs::read_to_string(target.path().join("a b.txt")).unwrap(), "spaced", "{name}");
    }
}

#[test]
fn library_files_are_compressed_on_request() {
    let folder = folder();
    fs::write(folder.path().join("words.txt"), "words ".repeat(50_000)).unwrap();
    let mut talk = talk(&folder, rules());
    let request = "GET /files/words.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n";
    let found = send(&mut talk, request);
    assert_eq!((found.status, found.field("Content-Encoding")), (200, Some("gzip")));
    assert!(found.body.len() < 5000);
}

#[test]
fn an_uploaded_gz_file_is_not_served_for_the_plain_name() {
    let folder = folder();
    let mut talk = talk(&folder, rules());
    assert_eq!(send(&mut talk, &request("PUT /files/old.txt.gz", "", "theirs")).status, 201);
    let get = "GET /files/old.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip, br\r\n\r\n";
    let found = send(&mut talk, get);
    assert_eq!((found.text(), found.field("Content-Encoding")), ("old", None));
    let coded = request("PUT /files/new", "Content-Encoding: gzip", "x");
    assert_eq!(send(&mut talk, &coded).status, 415);
}

#[test]
fn both_protocols_serve_the_same_files() {
    let folder = folder();
    std::os::unix::fs::symlink("old.txt", folder.path().join("link")).unwrap();
    let mut talk = talk(&folder, LibraryRules { on_duplicate: OnDuplicate::Replace, ..rules() });
    for (line, status) in [("GET /files/link", 404), ("PUT /files/link", 409), ("DELETE /files/link", 404)] {
        assert_eq!(send(&mut talk, &request(line, "", "")).status, status, "{line}");
    }
    assert_eq!(send(&mut talk, "GET /files/?text HTTP/1.1\r\nHost: h\r\n\r\n").text(), "old.txt\n");
    // HTTP serves at once what another protocol has stored.
    let get = "GET /%66iles/new HTTP/1.1\r\nHost: h\r\n\r\n";
    for content in ["1", "2"] {
        send(&mut talk, get);
        let name = Name::parse(b"new").unwrap();
        let mut upload = talk.services.core.library.create(&name, Some(1)).unwrap();
        upload.write(content.as_bytes()).unwrap();
        talk.services.context(Peer::Unix).store(upload).unwrap();
        assert_eq!(send(&mut talk, get).text(), content);
    }
}

#[test]
fn each_version_of_a_file_has_its_own_entity_tag() {
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules { on_duplicate: OnDuplicate::Replace, ..rules() });
    let mut tags: Vec<String> = (0..20)
        .map(|number| {
            send(&mut talk, &request("PUT /files/new", "", &number.to_string().repeat(2)[..2]));
            let found = send(&mut talk, "GET /files/new HTTP/1.1\r\nHost: h\r\n\r\n");
            found.field("ETag").unwrap().to_owned()
        })
        .collect();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 20);
}

#[test]
fn a_replaced_file_does_not_count_towards_the_library_limit() {
    let folder = folder();
    let rules = LibraryRules { on_duplicate: OnDuplicate::Replace, max_library: Some(1003), ..rules() };
    let mut talk = talk(&folder, rules);
    let large = request("PUT /files/new", "", &"x".repeat(900));
    let statuses = [&large, &large, &large.replace("/new", "/other")].map(|put| send(&mut talk, put).status);
    assert_eq!(statuses, [201, 204, 507]);
}

#[test]
fn preconditions_of_uploads_are_checked_against_the_disk() {
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules { on_duplicate: OnDuplicate::Replace, ..rules() });
    assert_eq!(send(&mut talk, "GET /files/new HTTP/1.1\r\nHost: h\r\n\r\n").status, 404);
    // Another program creates a file whose absence HTTP has just cached.
    fs::write(folder.path().join("new"), "theirs").unwrap();
    assert_eq!(send(&mut talk, &request("PUT /files/new", "If-None-Match: *", "ours")).status, 412);
    // The same while the body is being received.
    let script = request("PUT /files/late", "If-None-Match: *", "ours");
    talk.input(&script.as_bytes()[..script.len() - 1]);
    fs::write(folder.path().join("late"), "theirs").unwrap();
    assert_eq!(send(&mut talk, &script[script.len() - 1..]).status, 412);
    for name in ["new", "late"] {
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"theirs", "{name}");
    }
}

#[test]
fn curl_uploads_a_file_resumes_its_download_and_deletes_it() {
    let Some(curl) = tool("curl") else { return };
    let library = tempfile::tempdir().unwrap();
    let path = library.path().to_str().unwrap();
    let server = Server::start_with(
        Command::new(PROGRAM),
        small_site(),
        &["--files", path, "--file", "off", "--allow-delete"],
    );
    let url = format!("http://{}/files/large.bin", server.address);
    let source = server.site.path().join("large.bin");
    let put = ["-sS", "-w", "%{http_code}", "-T", source.to_str().unwrap(), &url];
    assert_eq!(output(&curl, &put), "201");
    assert!(fs::read(library.path().join("large.bin")).unwrap() == large_file());
    assert_eq!(output(&curl, &put), "204", "the same bytes");
    let copy = server.site.path().join("copy");
    fs::write(&copy, &large_file()[..3_000_000]).unwrap();
    output(&curl, &["-sS", "--fail", "-C", "-", "-o", copy.to_str().unwrap(), &url]);
    assert!(fs::read(&copy).unwrap() == large_file());
    let head = output(&curl, &["-sSI", &url]);
    assert!(head.contains("Content-Security-Policy: sandbox; default-src 'none';"), "{head}");
    assert_eq!(output(&curl, &["-sS", "-w", "%{http_code}", "-X", "DELETE", &url]), "204");
    assert!(!library.path().join("large.bin").exists());
}
