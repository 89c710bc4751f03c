//! Request targets and methods: files, folders, and generated pages. To add a case, add a row to the table of
//! `paths_are_decoded_and_lead_to_files_and_folders`, or a `check`.

use evserve::close_reason::CloseReason::{Rejected, ServerClosed};
use evserve::store::MemoryStore;

use super::script::End::{Closed, Open};
use super::script::{check, get, refused};
use crate::conversation::{Talk, converse};
use crate::reading::responses;

#[test]
fn files_are_sent_with_their_type_and_validators() {
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
fn head_returns_the_fields_of_get_without_the_body() {
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
fn paths_are_decoded_and_lead_to_files_and_folders() {
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
fn folders_without_a_trailing_slash_redirect_on_the_same_host() {
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
fn missing_paths_get_the_404_page_of_the_site() {
    let mut talk = Talk::new(MemoryStore::default().with("404.html", "<p>lost?"));
    talk.input(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\nHEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
    let found = responses(&talk.outcome.output, &[false, true]);
    assert_eq!((found[0].status, found[0].text()), (404, "<p>lost?"));
    assert_eq!((found[1].status, found[1].field("Content-Length")), (404, Some("8")));
    assert_eq!(found[0].field("ETag"), None);
}

#[test]
fn the_time_page_yields_to_a_file_of_that_name() {
    let found = check("GET /time HTTP/1.1\r\nHost: h\r\n\r\n", &[200], Open);
    assert_eq!(found[0].field("Cache-Control"), Some("no-store"));
    // "Fri Jan 15 08:00:00 2027" in UTC. The server uses the local time zone.
    let words: Vec<&str> = found[0].text().split_whitespace().collect();
    assert!(words.len() == 5 && words[4] == "2027" && found[0].text().len() == 24, "{words:?}");
    let mut talk = Talk::new(MemoryStore::default().with("time", "tea"));
    talk.input(b"GET /time HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(responses(&talk.outcome.output, &[])[0].text(), "tea");
}

#[test]
fn unsupported_methods_and_target_forms_are_rejected() {
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
    let found = check("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", &[405], Closed(ServerClosed));
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
}

/// Over TLS it is the address of the server itself.
#[test]
fn an_https_address_without_tls_is_another_server() {
    for (method, has_body) in [("GET", true), ("HEAD", false)] {
        let script = format!("{method} https://h/ HTTP/1.1\r\nHost: h\r\n\r\n");
        for pieces in [vec![script.as_bytes()], script.as_bytes().chunks(1).collect()] {
            let outcome = converse(pieces, true);
            let found = responses(&outcome.output, &[!has_body]);
            assert_eq!((found[0].status, found[0].body.is_empty()), (421, !has_body));
            assert_eq!(outcome.ending, Some(Rejected));
        }
    }
}
