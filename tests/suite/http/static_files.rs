//! Static files: preconditions, ranges, and the options of the site. To add a case, add a row (fields,
//! status) to the table of a test, or call `fetch_all` with rules, a site and requests.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evserve::site::{CacheRule, Resolved, Rules};
use evserve::store::{DiskStore, MemoryStore};
use tempfile::TempDir;

use crate::conversation::{Talk, site};
use crate::reading::{Response, responses};

/// Sends `requests` on one connection to a site served by `rules`, and returns the responses.
pub fn fetch_all(rules: Rules, site: MemoryStore, requests: &[&str]) -> Vec<Response> {
    let mut talk = Talk::by(rules, site);
    let script: String = requests
        .iter()
        .map(|request| {
            let (line, fields) = request.split_once('\n').unwrap_or((request, ""));
            let fields: String = fields.lines().map(|field| format!("{}\r\n", field.trim())).collect();
            format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
        })
        .collect();
    talk.input(script.as_bytes());
    assert_eq!(talk.outcome.ending, None, "{requests:?}");
    let heads: Vec<bool> = requests.iter().map(|request| request.starts_with("HEAD")).collect();
    let found = responses(&talk.outcome.output, &heads);
    assert_eq!(found.len(), requests.len(), "{requests:?}");
    found
}

fn fetch(request: &str) -> Response {
    fetch_all(Rules::default(), site(), &[request]).remove(0)
}

const TAG: &str = "\"ae1b981bc490a00-5\"";
const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

#[test]
fn preconditions_choose_between_200_304_and_412() {
    for (fields, status) in [
        (format!("If-None-Match: {TAG}"), 304),
        (format!("If-None-Match: W/{TAG}"), 304),
        (format!("If-None-Match: \"x\"\nIf-None-Match: {TAG}"), 304),
        ("If-None-Match: *".into(), 304),
        ("If-None-Match: \"x\"".into(), 200),
        (format!("If-Modified-Since: {THEN}"), 304),
        (format!("If-Modified-Since: {BEFORE}"), 200),
        (format!("If-Modified-Since: {THEN}\nIf-Modified-Since: {THEN}"), 200),
        (format!("If-None-Match: \"x\"\nIf-Modified-Since: {THEN}"), 200),
        (format!("If-Match: {TAG}"), 200),
        (format!("If-Match: W/{TAG}"), 412),
        ("If-Match: \"x\"".into(), 412),
        (format!("If-Unmodified-Since: {THEN}"), 200),
        (format!("If-Unmodified-Since: {BEFORE}"), 412),
        (format!("If-Match: {TAG}\nIf-Unmodified-Since: {BEFORE}"), 200),
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(fetch(&format!("{method} /a.txt\n{fields}")).status, status, "{method} {fields}");
        }
        // Preconditions do not apply to errors, redirects and OPTIONS (RFC 9110 section 13.2.1).
        assert_eq!(fetch(&format!("GET /missing\n{fields}")).status, 404, "{fields}");
        assert_eq!(fetch(&format!("GET /sub\n{fields}")).status, 308, "{fields}");
        assert_eq!(fetch(&format!("OPTIONS /a.txt\n{fields}")).status, 204, "{fields}");
    }
}

#[test]
fn a_304_repeats_only_the_fields_that_caches_need() {
    let rules =
        Rules { cache_control: CacheRule::parse("no-cache").into_iter().collect(), ..Rules::default() };
    let found = fetch_all(
        rules,
        site(),
        &["GET /a.txt", "GET /a.txt\nIf-None-Match: *", "GET /a.txt\nRange: bytes=1-2"],
    );
    for name in ["ETag", "Vary", "Cache-Control"] {
        let value = found[0].field(name);
        assert!(value.is_some(), "{name}");
        assert_eq!((found[1].field(name), found[2].field(name)), (value, value), "{name}");
    }
    for name in ["Content-Type", "Content-Length", "Last-Modified"] {
        assert_eq!(found[1].field(name), None, "{name}");
    }
    assert!(found[1].field("Date").is_some());
}

#[test]
fn range_requests_return_the_selected_part() {
    for (fields, status, range, body) in [
        ("Range: bytes=1-2", 206, Some("bytes 1-2/5"), "el"),
        ("Range: bytes=-2", 206, Some("bytes 3-4/5"), "lo"),
        ("Range: bytes=3-", 206, Some("bytes 3-4/5"), "lo"),
        ("Range: bytes=0-1,2-3", 206, Some("bytes 0-3/5"), "hell"),
        ("Range: bytes=9-", 416, Some("bytes */5"), ""),
        ("Range: bytes=2-1", 200, None, "hello"),
        ("Range: lines=1-2", 200, None, "hello"),
        ("Range: bytes=1-1\nRange: bytes=2-2", 200, None, "hello"),
        ("Range: bytes=1-2\nIf-Range: \"x\"", 200, None, "hello"),
        ("Range: bytes=9-\nIf-Range: \"x\"", 200, None, "hello"),
        ("Range: bytes=1-2\nIf-None-Match: *", 304, None, ""),
    ] {
        let found = fetch(&format!("GET /a.txt\n{fields}"));
        assert_eq!((found.status, found.field("Content-Range")), (status, range), "{fields}");
        assert!(status == 416 || found.text() == body, "{fields}: {found:?}");
    }
    for validator in [TAG, THEN] {
        assert_eq!(fetch(&format!("GET /a.txt\nRange: bytes=1-2\nIf-Range: {validator}")).text(), "el");
    }
    let head = fetch("HEAD /a.txt\nRange: bytes=1-2");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("5")));
}

/// Parses a `multipart/byteranges` body into pairs of Content-Range and content.
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let kind = response.field("Content-Type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let text = String::from_utf8(response.body.clone()).unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let mut pieces = text.split(&delimiter);
    assert_eq!(pieces.next(), Some(""));
    let mut found = Vec::new();
    for piece in pieces {
        if piece == "--\r\n" {
            return found;
        }
        let (head, body) = piece.strip_prefix("\r\n").unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Type: "), "{head}");
        let range = head.split("Content-Range: ").nth(1).unwrap();
        found.push((range.to_owned(), body.as_bytes().to_vec()));
    }
    panic!("no end: {text}");
}

#[test]
fn multipart_parts_hold_the_bytes_named_by_content_range() {
    let text: String = (0..1000).map(|number| format!("{number:04} ")).collect();
    let mut random = fastrand::Rng::with_seed(206);
    let mut several = 0;
    for _ in 0..300 {
        let specs: Vec<String> = (0..random.usize(2..12))
            .map(|_| {
                let first = random.usize(..5000);
                format!("{first}-{}", first + random.usize(..200))
            })
            .collect();
        let request = format!("GET /t\nRange: bytes={}", specs.join(", "));
        let found =
            fetch_all(Rules::default(), MemoryStore::default().with("t", text.as_bytes()), &[&request])
                .remove(0);
        if found.status != 206 || found.field("Content-Range").is_some() {
            continue;
        }
        several += 1;
        for (range, body) in parts(&found) {
            let (first, rest) = range.strip_prefix("bytes ").unwrap().split_once('-').unwrap();
            let (last, length) = rest.split_once('/').unwrap();
            assert_eq!(length, "5000");
            let range = first.parse::<usize>().unwrap()..=last.parse::<usize>().unwrap();
            assert_eq!(body, &text.as_bytes()[range], "{request}");
        }
    }
    assert!(several > 200);
}

#[test]
fn spa_mode_serves_the_front_page_only_for_navigations() {
    let rules = || Rules { spa: true, ..Rules::default() };
    for (fields, status) in [
        ("Accept: text/html,*/*;q=0.8", 200),
        ("Sec-Fetch-Mode: navigate", 200),
        ("Sec-Fetch-Mode: no-cors\nAccept: text/html", 404),
        // Programs that show a preview of a link accept anything.
        ("Accept: */*", 200),
        ("Accept: */*;q=0.8", 200),
        ("", 200),
        ("Accept: application/json, */*", 404),
        ("Accept: image/avif,image/webp,*/*;q=0.8", 404),
        ("Sec-Fetch-Mode: cors\nAccept: */*", 404),
    ] {
        let found = fetch_all(rules(), site(), &[&format!("GET /users/7\n{fields}")]).remove(0);
        assert_eq!(found.status, status, "{fields}");
        let vary = found.field("Vary").unwrap();
        assert!(vary.contains("Accept") && vary.contains("Sec-Fetch-Mode"), "{vary}");
        assert_eq!(found.text() == "<p>front", status == 200);
    }
    let found = fetch_all(rules(), site(), &["GET /users/7\nAccept: text/html\nIf-None-Match: *"]);
    assert_eq!(found[0].status, 304);
    assert_eq!(fetch("GET /users/7\nAccept: text/html").status, 404);
    for (path, fields, status) in [
        ("/missing.js", "Accept: */*", 404),
        ("/users/7.x/y", "Accept: */*", 200),
        ("/users/john.doe", "Accept: text/html", 200),
        ("/users/7/", "Accept: */*", 200),
    ] {
        let found = fetch_all(rules(), site(), &[&format!("GET {path}\n{fields}")]).remove(0);
        assert_eq!(found.status, status, "{path}");
    }
}

#[test]
fn spa_mode_with_listings_serves_the_front_page_for_missing_folders() {
    let rules = || Rules { spa: true, list: true, ..Rules::default() };
    for (request, status, start) in [
        ("GET /users/7/\nAccept: text/html", 200, "<p>front"),
        ("GET /users/7/\nSec-Fetch-Mode: cors", 404, "<!doctype html>"),
        ("GET /users/7/\nAccept: application/json", 404, "{"),
        ("GET /empty/\nAccept: text/html", 200, "<!doctype html>"),
        ("GET /sub/\nAccept: text/html", 200, "<p>sub"),
    ] {
        let found = fetch_all(rules(), site(), &[request, request]).remove(1);
        assert_eq!(found.status, status, "{request}");
        assert!(found.text().starts_with(start), "{request}: {found:?}");
    }
}

#[test]
fn text_is_labelled_as_utf_8_only_if_it_is() {
    let gb18030 = b"\xce\xc4\xbc\xfe".repeat(300);
    let site = || {
        MemoryStore::default()
            .with("ascii.html", "<p>plain")
            .with("legacy.html", [b"<meta charset=gb2312>", &gb18030[..]].concat())
            .with("utf16.txt", &b"\xff\xfeh\0i\0"[..])
            .with("Makefile", "all:\n")
            .with("old.txt", gb18030.as_slice())
            .with("a.ts", "let x: number = 1;")
            .with("b.ts", [0x47, 0x40, 0x11, 0x10].repeat(47))
            .with("main.kt", "fun main() {}")
            .with(".well-known/apple-app-site-association", "{}")
    };
    let mime = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let own = || Rules {
        types: vec![mime("makefile", "text/x-make"), mime("txt", "text/plain; charset=gb18030")],
        ..Rules::default()
    };
    for (path, kind, configured) in [
        ("/ascii.html", "text/html; charset=utf-8", None),
        ("/legacy.html", "text/html", None),
        ("/utf16.txt", "text/plain", Some("text/plain; charset=gb18030")),
        ("/old.txt", "text/plain", Some("text/plain; charset=gb18030")),
        ("/Makefile", "text/plain; charset=utf-8", Some("text/x-make; charset=utf-8")),
        ("/a.ts", "text/plain; charset=utf-8", None),
        ("/b.ts", "video/mp2t", None),
        ("/main.kt", "text/plain; charset=utf-8", None),
        ("/.well-known/apple-app-site-association", "application/json", None),
    ] {
        for (rules, kind) in [(Rules::default(), kind), (own(), configured.unwrap_or(kind))] {
            for fields in ["", "Accept-Encoding: gzip, identity;q=0"] {
                let found = fetch_all(rules.clone(), site(), &[&format!("GET {path}\n{fields}")]).remove(0);
                if found.status == 200 {
                    assert_eq!(found.field("Content-Type"), Some(kind), "{path}");
                }
            }
        }
    }
}

#[test]
fn pretty_urls_lead_to_html_files() {
    let site = || {
        site()
            .with("about.html", "<p>about")
            .with("docs.html", "<p>docs")
            .with("docs/more.html", "<p>more")
            .with("a.txt.html", "<p>not this one")
            .with("..html", "<p>hidden")
    };
    let rules = || Rules { pretty_urls: true, ..Rules::default() };
    let paths =
        ["/about", "/docs", "/docs/more", "/a.txt", "/about.html", "/sub", "/nowhere", "/about/", "/."];
    let requests: Vec<String> = paths.iter().map(|path| format!("GET {path}")).collect();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let found = fetch_all(rules(), site(), &requests);
    let statuses: Vec<u16> = found.iter().map(|response| response.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 308, 404, 404, 404]);
    assert_eq!((found[0].text(), found[1].text(), found[3].text()), ("<p>about", "<p>docs", "hello"));
    assert_eq!(found[0].field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(fetch("GET /about").status, 404);
}

#[test]
fn a_digest_is_computed_only_for_clients_that_want_it() {
    let mut talk = Talk::new(site());
    let mut is_computed = |field: &str| {
        talk.input(format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n").as_bytes());
        let Ok(Resolved::File(file)) = talk.services.http.site.find(b"/a.txt", &talk.services.core.clock)
        else {
            panic!("no file");
        };
        !format!("{:?}", file.note).contains("digest: OnceCell(<uninit>)")
    };
    assert!(!is_computed("If-None-Match: \"x\""));
    assert!(!is_computed("Range: bytes=0-1"));
    assert!(is_computed("Want-Repr-Digest: sha-256=1"));
}

#[test]
fn file_page_and_folder_of_a_pretty_url_are_distinguished_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rules = Rules { pretty_urls: true, ..Rules::default() };
    let mut talk = Talk::by(rules, DiskStore::new(folder.path()).unwrap());
    let mut get = |accept: &str| {
        talk.outcome.output.clear();
        let accept = format!("Accept-Encoding: {accept}\r\n");
        talk.input(format!("GET /about HTTP/1.1\r\nHost: h\r\n{accept}\r\n").as_bytes());
        let found = responses(&talk.outcome.output, &[]).remove(0);
        (found.status, found.body)
    };
    let mut serves = |status: u16, body: &str, coded: &str| {
        for _ in 0..3 {
            assert_eq!(get("identity"), (status, body.into()));
            assert_eq!(get("br"), (status, coded.into()));
        }
    };
    fs::write(at("about.html"), "page").unwrap();
    fs::write(at("about.html.br"), "coded page").unwrap();
    serves(200, "page", "coded page");
    // The page takes precedence over a folder.
    fs::create_dir(at("about")).unwrap();
    serves(200, "page", "coded page");
    fs::remove_file(at("about.html")).unwrap();
    serves(308, "/about/\n", "/about/\n");
    fs::write(at("about.html"), "page").unwrap();
    fs::write(at("about.html.br"), "coded page").unwrap();
    serves(200, "page", "coded page");
    // A file takes precedence over the page, and has no coded form yet.
    fs::remove_dir(at("about")).unwrap();
    fs::write(at("about"), "file").unwrap();
    serves(200, "file", "file");
    fs::write(at("about.br"), "coded file").unwrap();
    serves(200, "file", "coded file");
    fs::remove_file(at("about")).unwrap();
    serves(200, "page", "coded page");
}

#[test]
fn the_index_of_a_folder_comes_and_goes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    let rules = Rules { list: true, ..Rules::default() };
    let mut talk = Talk::by(rules, DiskStore::new(folder.path()).unwrap());
    let mut get = |accept: &str| {
        talk.outcome.output.clear();
        let fields = format!("Accept: text/plain\r\nAccept-Encoding: {accept}\r\n");
        talk.input(format!("GET /sub/ HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
        responses(&talk.outcome.output, &[]).remove(0).text().to_owned()
    };
    let mut serves = |plain: &str, coded: &str| {
        for _ in 0..3 {
            assert_eq!((&*get("identity"), &*get("br")), (plain, coded));
        }
    };
    for _ in 0..3 {
        fs::write(at("sub/index.html.br"), "coded").unwrap();
        serves("index.html.br\n", "index.html.br\n");
        fs::write(at("sub/index.html"), "index").unwrap();
        fs::write(at("sub/index.html.br"), "coded").unwrap();
        serves("index", "coded");
        fs::remove_file(at("sub/index.html.br")).unwrap();
        serves("index", "index");
        fs::remove_file(at("sub/index.html")).unwrap();
    }
}

#[test]
fn cors_preflights_list_the_allowed_methods_and_fields() {
    let rules = Rules { cors: true, ..Rules::default() };
    let found = fetch_all(
        rules,
        site(),
        &[
            "OPTIONS /a.txt\nOrigin: http://x\nAccess-Control-Request-Method: GET\nAccess-Control-Request-Headers: range",
        ],
    );
    assert_eq!(found[0].status, 204);
    assert_eq!(found[0].field("Access-Control-Allow-Methods"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(found[0].field("Access-Control-Allow-Headers"), Some("*"));
    assert_eq!(fetch("OPTIONS /a.txt").field("Access-Control-Allow-Methods"), None);
}

#[test]
fn generated_pages_honor_preconditions() {
    for (fields, status) in [
        ("", 200),
        ("If-Match: \"x\"", 412),
        ("If-Match: *", 200),
        ("If-None-Match: *", 304),
        ("If-None-Match: \"x\"", 200),
        ("If-Modified-Since: Fri, 15 Jan 2027 08:00:00 GMT", 200),
    ] {
        assert_eq!(fetch(&format!("GET /time\n{fields}")).status, status, "{fields}");
    }
}

#[test]
fn last_modified_is_never_later_than_date() {
    let mut talk = Talk::new(site());
    // The clock is behind the file's modification time.
    talk.now.wall = UNIX_EPOCH + Duration::from_secs(700_000_000);
    talk.wait(Duration::ZERO);
    talk.input(b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    let found = responses(&talk.outcome.output, &[]).remove(0);
    assert_eq!(found.field("Last-Modified"), found.field("Date"));
}

/// Sends a request and returns the raw response.
fn raw(talk: &mut Talk, line: &str, fields: &str) -> String {
    talk.outcome.output.clear();
    talk.input(format!("{line}\r\nHost: h\r\n{fields}\r\n").as_bytes());
    String::from_utf8(talk.outcome.output.clone()).unwrap()
}

#[test]
fn cached_responses_are_identical_to_assembled_ones() {
    let extra_fields = vec![("Server".into(), "evserve".into()), ("X-Own".into(), "line".into())];
    let rules = Rules { extra_fields, ..Rules::default() };
    let mut talk = Talk::by(rules, site());
    // A conditional request is never served from the cached message.
    let conditional = "If-None-Match: \"other\"\r\n";
    for path in ["/a.txt", "/", "/large.bin", "/.well-known/acme"] {
        let get = format!("GET {path} HTTP/1.1");
        let first = raw(&mut talk, &get, "");
        assert_eq!(raw(&mut talk, &get, ""), first);
        assert_eq!(raw(&mut talk, &get, conditional), first);
        let head = raw(&mut talk, &format!("HEAD {path} HTTP/1.1"), "");
        assert!(first.starts_with(&head) && head.ends_with("\r\n\r\n"), "{head}");
        talk.wait(Duration::from_secs(1));
        let second = raw(&mut talk, &get, "");
        assert_ne!(second, first, "the date stands still");
        assert_eq!(raw(&mut talk, &get, conditional), second);
    }
}

#[test]
fn cached_files_are_sent_with_the_right_connection_field() {
    let connection_after = |line: &str, fields: &str, drains: bool| {
        let mut talk = Talk::new(site());
        raw(&mut talk, "GET /a.txt HTTP/1.1", "");
        talk.services.core.draining_since = drains.then_some(talk.now.monotonic);
        let answer = raw(&mut talk, line, fields);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let said = answer.lines().find_map(|line| line.strip_prefix("Connection: ").map(str::to_owned));
        (said.unwrap_or_default(), talk.outcome.ending.is_some())
    };
    let (stays_open, closes) = ((String::new(), false), ("close".to_owned(), true));
    assert_eq!(connection_after("GET /a.txt HTTP/1.1", "", false), stays_open);
    assert_eq!(connection_after("GET /a.txt HTTP/1.1", "Connection: close\r\n", false), closes);
    assert_eq!(
        connection_after("GET /a.txt HTTP/1.1", "Content-Length: 9\r\nExpect: 100-continue\r\n", false),
        closes
    );
    assert_eq!(connection_after("GET /a.txt HTTP/1.1", "", true), closes);
    assert_eq!(connection_after("GET /a.txt HTTP/1.0", "", false), closes);
    let keep_alive = connection_after("GET /a.txt HTTP/1.0", "Connection: keep-alive\r\n", false);
    assert_eq!(keep_alive, ("keep-alive".to_owned(), false));
}

#[test]
fn files_in_memory_have_a_digest_for_clients_that_want_it() {
    let hello = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let site = || site().with("huge", "x".repeat(200_000));
    for (request, digest) in [
        ("GET /a.txt", None),
        ("GET /a.txt\nWant-Repr-Digest: sha-256=1", Some(hello)),
        ("HEAD /a.txt\nWant-Repr-Digest: sha-512=3, sha-256=10", Some(hello)),
        ("GET /a.txt\nWant-Repr-Digest: sha-256=1\nRange: bytes=1-2", Some(hello)),
        ("GET /a.txt\nWant-Repr-Digest: sha-256=0", None),
        ("GET /a.txt\nWant-Repr-Digest: md5=1", None),
        ("GET /a.txt\nWant-Repr-Digest: sha-256=1\nIf-None-Match: *", None),
        ("GET /missing\nWant-Repr-Digest: sha-256=1", None),
        ("GET /huge\nWant-Repr-Digest: sha-256=1", None),
    ] {
        for found in fetch_all(Rules::default(), site(), &[request, request]) {
            assert_eq!(found.field("Repr-Digest"), digest, "{request}");
        }
    }
    // Each coded form is a representation with its own digest.
    let site = site().with("page.html", "<p>words ".repeat(1000));
    let gzip = "GET /page.html\nWant-Repr-Digest: sha-256=1\nAccept-Encoding: gzip";
    let found = fetch_all(Rules::default(), site, &[gzip, "GET /page.html\nWant-Repr-Digest: sha-256=1"]);
    assert_ne!(found[0].field("Repr-Digest").unwrap(), found[1].field("Repr-Digest").unwrap());
}

/// Requests `/f` from a folder of the disk, with these fields.
fn fetch_from(folder: &TempDir, fields: &str) -> Response {
    let mut talk = Talk::new(DiskStore::new(folder.path()).unwrap());
    talk.now.wall = SystemTime::now();
    talk.wait(Duration::ZERO);
    responses(raw(&mut talk, "GET /f HTTP/1.1", fields).as_bytes(), &[]).remove(0)
}

#[test]
fn files_with_placeholder_times_have_tags_of_their_content_and_no_date() {
    let folder = tempfile::tempdir().unwrap();
    for (seconds, length) in [(0, 1000), (1, 1000), (315_532_800, 1000), (315_532_800 - 28_800, 200_000)] {
        let write = |byte: &str| {
            // A build writes new files.
            let _ = fs::remove_file(folder.path().join("f"));
            fs::write(folder.path().join("f"), byte.repeat(length)).unwrap();
            let file = fs::File::options().write(true).open(folder.path().join("f")).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
            let found = fetch_from(&folder, "");
            assert_eq!(found.field("Last-Modified"), None);
            found.field("ETag").unwrap().to_owned()
        };
        let (one, other, again) = (write("a"), write("b"), write("a"));
        assert_ne!(one, other, "{seconds}");
        // The tag of a large file is of the inode.
        assert_eq!(one == again, length == 1000, "{seconds}: {one} {again}");
        assert_eq!(fetch_from(&folder, &format!("If-None-Match: {again}\r\n")).status, 304);
        let since = "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT\r\n";
        assert_eq!(fetch_from(&folder, since).status, 200);
    }
}

#[test]
fn files_that_changed_just_now_have_tags_of_their_content() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let tag = |byte: &str, modified: SystemTime| {
        fs::write(folder.path().join("f"), byte.repeat(1000)).unwrap();
        let file = fs::File::options().write(true).open(folder.path().join("f")).unwrap();
        file.set_modified(modified).unwrap();
        let mut talk = Talk::new(DiskStore::new(folder.path()).unwrap());
        talk.now.wall = now;
        talk.wait(Duration::ZERO);
        let found = responses(raw(&mut talk, "GET /f HTTP/1.1", "").as_bytes(), &[]).remove(0);
        assert!(found.field("Last-Modified").is_some());
        found.field("ETag").unwrap().to_owned()
    };
    let before = |milliseconds| now - Duration::from_millis(milliseconds);
    assert_ne!(tag("a", before(5)), tag("b", before(5)));
    assert_eq!(tag("a", before(5)), tag("a", before(7)));
    assert_eq!(tag("a", before(5000)), tag("b", before(5000)));
}
