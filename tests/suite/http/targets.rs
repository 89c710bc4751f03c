//! Targets and what they lead to: files, folders, pages of the server, and methods. To add a case, add a row
//! to the table of `paths_and_what_they_lead_to` or a `check`.

use evserve::close_reason::CloseReason::LastAnswer;
use evserve::store::MemoryStore;

use super::script::End::{Closed, Open};
use super::script::{check, get, refused};
use crate::conversation::{Talk, converse};
use crate::reading::responses;

#[test]
fn a_file_and_its_fields() {
    let found = check(get(""), &[200], Open);
    assert_eq!(found[0].text(), "hello");
    assert_eq!(found[0].field("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(found[0].field("Last-Modified"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(found[0].field("ETag"), Some("\"ae1b981bc490a00-5\""));
    assert_eq!(found[0].field("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(found[0].field("Date"), Some("Fri, 15 Jan 2027 08:00:00 GMT"));
    assert_eq!(found[0].field("Connection"), None);
}

#[test]
fn head_is_get_without_the_body() {
    let whole = check(get(""), &[200], Open);
    let head = check(get("").replace("GET", "HEAD"), &[200], Open);
    assert_eq!(head[0].fields, whole[0].fields);
    assert!(head[0].body.is_empty());
    for path in ["/missing", "/sub", "/time"] {
        check(format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n{}", get("")), &[status_of(path), 200], Open);
    }
}

fn status_of(path: &str) -> u16 {
    let outcome = converse([format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()], false);
    responses(&outcome.output, &[])[0].status
}

#[test]
fn paths_and_what_they_lead_to() {
    for (path, status) in [
        ("/", 200),
        ("/?query", 200),
        ("/a.txt?x=/../", 200),
        ("/%61%2Etxt", 200),
        ("/sub/", 200),
        ("//sub//", 200),
        ("/b%20c%23d.txt", 200),
        ("/note", 200),
        ("/.well-known/acme", 200),
        ("/sub", 308),
        ("/sub?x=1", 308),
        ("/missing", 404),
        ("/empty/", 404),
        ("/.hidden", 404),
        ("/%2ehidden", 404),
        ("/a.txt%2500", 404),
        ("/a%00.txt", 400),
        ("/%", 400),
        ("/%zz", 400),
    ] {
        assert_eq!(status_of(path), status, "{path}");
    }
}

#[test]
fn a_folder_without_its_slash_redirects_within_this_host() {
    for bad in ["OPTIONS /%zz", "POST /%00", "DELETE /%"] {
        check(format!("{bad} HTTP/1.1\r\nHost: h\r\n\r\n"), &[400], Open);
    }
    for (path, location) in [
        ("/sub", "/sub/"),
        ("/sub?a[]=1&b={x}|^", "/sub/?a[]=1&b={x}|^"),
        ("/sub?a=b&c", "/sub/?a=b&c"),
        ("//sub", "/sub/"),
        ("/%73ub", "/sub/"),
    ] {
        let found = check(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"), &[308], Open);
        assert_eq!(found[0].field("Location"), Some(location));
    }
}

#[test]
fn the_site_s_own_page_for_what_it_does_not_have() {
    let mut talk = Talk::new(MemoryStore::default().with("404.html", "<p>lost?"));
    talk.input(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\nHEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
    let found = responses(&talk.outcome.output, &[false, true]);
    assert_eq!((found[0].status, found[0].text()), (404, "<p>lost?"));
    assert_eq!((found[1].status, found[1].field("Content-Length")), (404, Some("8")));
    assert_eq!(found[0].field("ETag"), None);
}

#[test]
fn time_is_a_page_unless_the_site_has_one() {
    let found = check("GET /time HTTP/1.1\r\nHost: h\r\n\r\n", &[200], Open);
    assert_eq!(found[0].field("Cache-Control"), Some("no-store"));
    // Fri Jan 15 08:00:00 2027, in whatever time zone this runs.
    let words: Vec<&str> = found[0].text().split_whitespace().collect();
    assert!(words.len() == 5 && words[4] == "2027" && found[0].text().len() == 24, "{words:?}");
    let mut talk = Talk::new(MemoryStore::default().with("time", "tea"));
    talk.input(b"GET /time HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(responses(&talk.outcome.output, &[])[0].text(), "tea");
}

#[test]
fn methods_and_forms_of_the_target() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        let found = check(format!("{method} /a.txt HTTP/1.1\r\nHost: h\r\n\r\n"), &[405], Open);
        assert_eq!(found[0].field("Allow"), Some("GET, HEAD, OPTIONS"));
    }
    for target in ["*", "/", "/missing", "http://other/"] {
        let found = check(format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n"), &[204], Open);
        assert_eq!(
            (found[0].field("Allow"), found[0].field("Content-Length")),
            (Some("GET, HEAD, OPTIONS"), None)
        );
    }
    let found = check("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", &[405], Closed(LastAnswer));
    assert_eq!(found[0].field("Allow"), Some("GET, HEAD, OPTIONS"));
    for method in ["BREW", "get", "GETS", "X-Y", "PROPFIND", "!#$%&'*+-.^_`|~"] {
        refused(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"), 501);
    }
    check("GET http://any.host:81/a.txt HTTP/1.1\r\nHost: other\r\n\r\n", &[200], Open);
    check("GET HTTP://h HTTP/1.1\r\nHost: h\r\n\r\n", &[200], Open);
    for target in
        ["a.txt", "*", "h:80", "http://", "http:///a", "http://u@h/", "http://h:x/", "ftp://h/", "/a#b", "?"]
    {
        refused(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    }
    refused("GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 421);
}
