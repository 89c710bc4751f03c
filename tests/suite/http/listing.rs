//! Folder listings: formats, order, and large folders. To add a case, call `list` or `names` with a site and
//! a request.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use evserve::site::Rules;
use evserve::store::{DirEntry, DirReader, DiskStore, FileVersion, MemoryStore, Opened, Store, StoreError};

use crate::conversation::Talk;
use crate::process::{PROGRAM, Server, folder_in_memory};
use crate::reading::{Response, responses};

fn list(site: impl Store + 'static, request: &str) -> Response {
    let mut talk = Talk::by(Rules { list: true, ..Rules::default() }, site);
    let (line, fields) = request.split_once('\n').unwrap_or((request, ""));
    let fields: String = fields.lines().map(|field| format!("{field}\r\n")).collect();
    talk.input(format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
    responses(&talk.outcome.output, &[line.starts_with("HEAD")]).remove(0)
}

fn folder() -> MemoryStore {
    MemoryStore::default()
        .with("b.txt", "22")
        .with("a10.txt", "1")
        .with("a9.txt", "333")
        .with(".secret", "x")
        .with("zoo/index.html", "<p>zoo")
        .with("plain/x", "y")
}

fn names(site: impl Store + 'static, path: &str) -> String {
    let found = list(site, &format!("GET {path}\nAccept: text/plain"));
    assert_eq!(found.field("Content-Type"), Some("text/plain; charset=utf-8"));
    found.text().lines().collect::<Vec<_>>().join(" ")
}

#[test]
fn http_1_0_listings_close_the_connection() {
    use evserve::close_reason::CloseReason::{CloseRequested, ServerClosed};
    for (fields, close) in [("", CloseRequested), ("Connection: keep-alive\r\n", ServerClosed)] {
        let mut talk = Talk::by(Rules { list: true, ..Rules::default() }, crate::conversation::site());
        talk.input(format!("GET /empty/ HTTP/1.0\r\n{fields}\r\n").as_bytes());
        assert_eq!(talk.outcome.ending, Some(close), "{fields:?}");
        let output = String::from_utf8_lossy(&talk.outcome.output);
        assert!(
            output.contains("Connection: close\r\n") && !output.contains("Transfer-Encoding"),
            "{output}"
        );
    }
}

#[test]
fn the_listing_format_follows_the_accept_header() {
    for (fields, kind, start) in [
        ("", "text/html; charset=utf-8", "<!doctype html>"),
        ("Accept: */*", "text/html; charset=utf-8", "<!doctype html>"),
        ("Accept: application/json", "application/json", "[\n{\"name\":\"plain\",\"type\":\"folder\","),
        ("Accept: text/plain", "text/plain; charset=utf-8", "plain/\nzoo/\na9.txt\na10.txt\nb.txt\n"),
        ("Accept: image/png", "text/html; charset=utf-8", "<!doctype html>"),
        ("User-Agent: Wget/1.21.3\nAccept: */*", "text/html; charset=utf-8", "<!doctype html>"),
        ("User-Agent: python-requests/2.31 curl/8", "text/html; charset=utf-8", "<!doctype html>"),
        // Without a preference in Accept, curl gets text.
        ("User-Agent: curl/8.5.0\nAccept: */*", "text/plain; charset=utf-8", "plain/\nzoo/\na9.txt\n"),
        ("User-Agent: curl/8.5.0", "text/plain; charset=utf-8", "plain/\nzoo/\na9.txt\n"),
        ("User-Agent: curl/8.5.0\nAccept: text/*", "text/plain; charset=utf-8", "plain/\nzoo/\na9.txt\n"),
        ("User-Agent: curl/8.5.0\nAccept: application/json", "application/json", "[\n"),
        (
            "User-Agent: curl/8.5.0\nAccept: text/html, */*;q=0.1",
            "text/html; charset=utf-8",
            "<!doctype html>",
        ),
        ("Accept: text/*", "text/html; charset=utf-8", "<!doctype html>"),
    ] {
        let found = list(folder(), &format!("GET /\n{fields}"));
        assert_eq!((found.status, found.field("Content-Type")), (200, Some(kind)), "{fields}");
        assert_eq!(
            (found.field("Vary"), found.field("Transfer-Encoding")),
            (Some("Accept, User-Agent"), Some("chunked"))
        );
        assert!(found.text().starts_with(start), "{fields}: {}", found.text());
        assert!(!found.text().contains(".secret"));
    }
    for query in ["?text", "?sort=name&text=1"] {
        let found = list(folder(), &format!("GET /{query}\nAccept: text/html"));
        assert!(found.text().starts_with("plain/\nzoo/\n"), "{query}");
    }
    let head = list(folder(), "HEAD /");
    assert!(head.status == 200 && head.body.is_empty());
}

#[test]
fn only_folders_without_an_index_page_are_listed() {
    assert_eq!(list(folder(), "GET /zoo/").text(), "<p>zoo");
    assert_eq!(list(folder(), "GET /plain").field("Location"), Some("/plain/"));
    assert_eq!(names(folder(), "/plain/"), "x");
    for path in ["/nowhere/", "/b.txt/", "/.secret/", "/plain/x/"] {
        assert_eq!(list(folder(), &format!("GET {path}")).status, 404, "{path}");
    }
    let mut talk = Talk::new(folder());
    talk.input(b"GET /plain/ HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(responses(&talk.outcome.output, &[])[0].status, 404);
}

#[test]
fn the_query_string_sets_the_sort_order() {
    assert_eq!(names(folder(), "/?sort=name&order=desc"), "zoo/ plain/ b.txt a10.txt a9.txt");
    assert_eq!(names(folder(), "/?sort=size"), "plain/ zoo/ a10.txt b.txt a9.txt");
    assert_eq!(names(folder(), "/?sort=nonsense&order=&page=x"), "plain/ zoo/ a9.txt a10.txt b.txt");
}

#[test]
fn http_1_0_listings_are_not_chunked() {
    let mut talk = Talk::by(Rules { list: true, ..Rules::default() }, folder());
    talk.input(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nAccept: text/plain\r\n\r\n");
    assert!(talk.outcome.ending.is_some(), "the end of the connection is the end of the body");
    let text = String::from_utf8(talk.outcome.output).unwrap();
    assert!(text.contains("Connection: close\r\n") && !text.contains("chunked"), "{text}");
    assert!(text.ends_with("\r\n\r\nplain/\nzoo/\na9.txt\na10.txt\nb.txt\n"), "{text}");
}

#[test]
fn requests_pipelined_after_a_listing_are_answered_in_order() {
    let mut talk = Talk::by(Rules { list: true, ..Rules::default() }, folder());
    talk.input(&b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /b.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3));
    let found = responses(&talk.outcome.output, &[]);
    assert_eq!(found.len(), 6);
    assert!(found.iter().skip(1).step_by(2).all(|response| response.text() == "22"));
}

#[test]
fn listings_honor_preconditions_and_ignore_ranges() {
    assert_eq!(list(folder(), "GET /\nIf-None-Match: *").status, 304);
    assert_eq!(list(folder(), "GET /\nIf-None-Match: \"x\"").status, 200);
    assert_eq!(list(folder(), "GET /\nIf-Match: \"x\"").status, 412);
    assert_eq!(list(folder(), "GET /\nRange: bytes=0-1").status, 200);
}

#[test]
fn disk_listings_escape_names_and_omit_unservable_entries() {
    let site = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| site.path().join(name);
    fs::write(path("a:b?c#d%e"), "12345").unwrap();
    fs::write(site.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "1").unwrap();
    fs::create_dir(path("sub")).unwrap();
    fs::write(path(".hidden"), "").unwrap();
    symlink("sub", path("link")).unwrap();
    symlink(outside.path(), path("leads-out")).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for lookup in [None, Some(evserve::store::PathResolution::Walk)] {
        let store = match lookup {
            None => DiskStore::new(site.path()).unwrap(),
            Some(lookup) => DiskStore::with_resolution(site.path(), lookup).unwrap(),
        };
        let found = list(store, "GET /\nAccept: application/json");
        let lines: Vec<&str> = found.text().lines().filter(|line| line.starts_with('{')).collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[0].starts_with("{\"name\":\"link\",\"type\":\"folder\""));
        assert!(lines[1].starts_with("{\"name\":\"sub\",\"type\":\"folder\""));
        assert!(lines[2].starts_with("{\"name\":\"a:b?c#d%e\",\"type\":\"file\",\"size\":5"));
        assert!(
            lines[2].contains("\"href\":\"./a:b%3Fc%23d%25e\"") && lines[3].contains("\"href\":\"./%FF\"")
        );
    }
}

/// Creates a folder of 12,345 files.
fn large_folder() -> (tempfile::TempDir, DiskStore) {
    let folder = folder_in_memory();
    for index in 0..12_345 {
        File::create(folder.path().join(format!("file-{index}"))).unwrap();
    }
    let store = DiskStore::new(folder.path()).unwrap();
    (folder, store)
}

#[test]
fn a_large_folder_is_listed_completely_over_many_turns() {
    let (_folder, store) = large_folder();
    let mut talk = Talk::by(Rules { list: true, ..Rules::default() }, store);
    let (mut turns, mut most) = (0, 0);
    talk.each_turn(b"GET / HTTP/1.1\r\nHost: h\r\nAccept: text/plain\r\n\r\n", |bytes| {
        turns += 1;
        most = bytes.max(most);
    });
    assert!(turns > 12_345 / 256 && most < 64 * 1024, "{turns} turns, {most} bytes");
    let found = responses(&talk.outcome.output, &[]).remove(0);
    let mut names: Vec<&str> = found.text().lines().collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 12_345);
}

#[test]
fn the_pages_of_a_large_listing_hold_every_entry_once() {
    let (folder, store) = large_folder();
    let next = "<?page=2>; rel=\"next\"";
    let first = list(store, "GET /");
    assert_eq!(first.field("Link"), Some(next));
    for note in ["too many entries to sort", "at most 10000 entries", "<a href=\"?page=2\">Next"] {
        assert!(first.text().contains(note), "{note}");
    }
    let mut pages = Vec::new();
    for (page, count, link) in [(1, 10_000, Some(next)), (2, 2345, None), (3, 0, None)] {
        for accept in ["text/html", "text/plain"] {
            let store = DiskStore::new(folder.path()).unwrap();
            let found = list(store, &format!("GET /?page={page}\nAccept: {accept}"));
            assert_eq!(found.field("Link"), link, "page {page}");
            let entries = found.text().split("file-").skip(1).map(|rest| rest.split(['"', '\n', '<']).next());
            let mut names: Vec<String> = entries.map(|name| name.unwrap().to_owned()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "page {page}");
            pages.push(names);
        }
    }
    let (page, text): (Vec<_>, Vec<_>) = pages.into_iter().enumerate().partition(|(index, _)| index % 2 == 0);
    let all = |pages: Vec<(usize, Vec<String>)>| -> std::collections::BTreeSet<String> {
        pages.into_iter().flat_map(|(_, names)| names).collect()
    };
    let (page, text) = (all(page), all(text));
    assert_eq!((page.len(), page == text), (12_345, true));
}

#[test]
fn the_next_page_of_a_sorted_listing_keeps_its_order() {
    let site = (0..10_100).fold(MemoryStore::default(), |site, number| site.with(&format!("{number}"), "x"));
    let first = list(site.clone(), "GET /?order=desc&sort=name");
    assert_eq!(first.field("Link"), Some("<?sort=name&order=desc&page=2>; rel=\"next\""));
    assert!(first.text().contains("<a href=\"?sort=name&amp;order=desc&amp;page=2\">"));
    let second = list(site.clone(), "GET /?sort=name&order=desc&page=2\nAccept: text/plain");
    assert_eq!(second.text().lines().next(), Some("99"));
    assert_eq!(names(site, "/").split(' ').count(), 10_100);
}

/// A site with a folder that can be read up to `good` entries.
struct BadFolder {
    good: usize,
}

struct BadReader(usize);

impl Store for BadFolder {
    fn open(&self, _: &[u8]) -> Result<Opened, StoreError> {
        Err(StoreError::NotFound)
    }

    fn version(&self, _: &[u8]) -> Option<FileVersion> {
        None
    }

    fn list(&self, _: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        Ok(Box::new(BadReader(self.good)))
    }
}

impl DirReader for BadReader {
    fn next(&mut self, count: usize) -> Result<Vec<DirEntry>, StoreError> {
        let Some(left) = self.0.checked_sub(count) else {
            return Err(StoreError::Failed(std::io::Error::other("a broken disk")));
        };
        self.0 = left;
        let modified = std::time::UNIX_EPOCH;
        Ok((0..count)
            .map(|number| DirEntry { name: format!("{number}").into(), length: Some(1), modified })
            .collect())
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error() {
    let found = list(BadFolder { good: 1000 }, "GET /\nAccept: application/json");
    assert_eq!((found.status, found.field("Content-Type")), (500, Some("application/json")));
    // Once a part is sent, only the connection's end can say so.
    let mut talk = Talk::by(Rules { list: true, ..Rules::default() }, BadFolder { good: 20_000 });
    talk.input(b"GET / HTTP/1.1\r\nHost: h\r\nAccept: text/plain\r\n\r\n");
    assert_eq!(talk.outcome.ending, Some(evserve::close_reason::CloseReason::Failed));
    assert!(
        talk.outcome.output.starts_with(b"HTTP/1.1 200 ") && !talk.outcome.output.ends_with(b"0\r\n\r\n")
    );
}

#[test]
fn a_page_that_is_cut_is_logged() {
    let (folder, _) = large_folder();
    let arguments = ["--list", "--file", "off"];
    let server = Server::spawn(Command::new(PROGRAM), folder.path(), folder_in_memory(), &arguments);
    assert!(server.get("/").field("Link").is_some());
    server.wait_for_line("the page of / shows 10000 entries; ?page=2 shows the next ones");
}
