//! Error pages: the site's own and the built-in ones, as HTML or JSON. To add a case, add a request, or a row
//! with the start of the expected body.

use evserve::site::Rules;

use super::static_files::fetch_all;
use crate::conversation::{Talk, site};
use crate::reading::responses;

#[test]
fn error_pages_follow_the_accept_header() {
    let site = || site().with("404.html", "<p>lost").with("416.html", "<p>too far");
    let found = fetch_all(
        Rules::default(),
        site(),
        &[
            "GET /missing",
            "GET /missing\nAccept: application/json",
            "GET /missing\nAccept: text/html, application/json;q=0.9",
            "GET /a.txt\nRange: bytes=99-",
            "GET /a.txt\nIf-Match: \"x\"",
            "POST /a.txt\nAccept: application/json",
            "HEAD /missing",
        ],
    );
    let statuses: Vec<u16> = found.iter().map(|response| response.status).collect();
    assert_eq!(statuses, [404, 404, 404, 416, 412, 405, 404]);
    for response in &found {
        let coding_too = matches!(response.status, 412 | 416);
        assert_eq!(
            response.field("Vary"),
            Some(if coding_too { "Accept, Accept-Encoding" } else { "Accept" })
        );
    }
    assert_eq!((found[0].text(), found[2].text(), found[3].text()), ("<p>lost", "<p>lost", "<p>too far"));
    assert_eq!(
        found[1].text(),
        "{\"status\":404,\"title\":\"Not Found\",\"detail\":\"No file or folder has this address\"}\n"
    );
    assert_eq!(found[1].field("Content-Type"), Some("application/json"));
    assert_eq!(found[3].field("Content-Range"), Some("bytes */5"));
    assert!(found[4].text().contains("412 Precondition Failed"));
    assert_eq!(found[5].field("Allow"), Some("GET, HEAD, OPTIONS"));
    assert!(found[5].text().starts_with("{\"status\":405,"));
    // Requested by its own path, the error page is an ordinary file.
    let page = fetch_all(Rules::default(), site(), &["GET /404.html"]).remove(0);
    assert!(page.status == 200 && page.field("ETag").is_some());
}

#[test]
fn requests_with_a_bad_head_get_the_error_pages_of_the_site() {
    let site = || site().with("501.html", "<p>never heard of it").with("400.html", "<p>what?");
    for (script, body) in [
        ("BREW /a.txt HTTP/1.1\r\nHost: h\r\n\r\n", "<p>never heard of it"),
        ("BREW /a.txt HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n", "{\"status\":501,"),
        ("GET / HTTP/1.1\r\n\r\n", "<p>what?"),
        ("GET / HTTP/1.1\r\nBroken\r\nAccept: application/json\r\n\r\n", "<p>what?"),
        ("GET /%zz HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n", "{\"status\":400,"),
    ] {
        let mut talk = Talk::new(site());
        talk.input(script.as_bytes());
        let found = responses(&talk.outcome.output, &[]).remove(0);
        assert!(found.text().starts_with(body), "{script}: {found:?}");
    }
}

#[test]
fn errors_in_a_body_follow_the_accept_header_of_its_head() {
    for (fields, start) in [
        ("", "<p>what?"),
        ("Accept: application/json\r\n", "{\"status\":400,"),
        ("Accept: text/html\r\n", "<p>what?"),
    ] {
        let head = format!("POST /a.txt HTTP/1.1\r\nHost: h\r\n{fields}");
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhel");
        let mut talk = Talk::new(site().with("400.html", "<p>what?"));
        talk.input(format!("{chunked}lo!").as_bytes());
        assert!(responses(&talk.outcome.output, &[])[0].text().starts_with(start), "{fields}");
        let mut talk = Talk::new(site().with("400.html", "<p>what?"));
        talk.input(chunked.as_bytes());
        talk.eof();
        assert!(responses(&talk.outcome.output, &[])[0].text().starts_with(start), "{fields}");
    }
}
