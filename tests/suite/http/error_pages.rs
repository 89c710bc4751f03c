//! Pages for errors: the site's own and those of the server, as HTML or JSON. To add a case, add a request or
//! a row with the beginning of its body.

use evserve::site::Rules;

use super::static_files::answers;
use crate::conversation::{Talk, site};
use crate::reading::responses;

#[test]
fn errors_come_as_the_client_likes_them() {
    let site = || site().with("404.html", "<p>lost").with("416.html", "<p>too far");
    let found = answers(
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
        "{\"status\":404,\"title\":\"Not Found\",\"detail\":\"There is nothing at this address\"}\n"
    );
    assert_eq!(found[1].field("Content-Type"), Some("application/json"));
    assert_eq!(found[3].field("Content-Range"), Some("bytes */5"));
    assert!(found[4].text().contains("412 Precondition Failed"));
    assert_eq!(found[5].field("Allow"), Some("GET, HEAD, OPTIONS"));
    assert!(found[5].text().starts_with("{\"status\":405,"));
    // A page of that name is a file like others.
    let page = answers(Rules::default(), site(), &["GET /404.html"]).remove(0);
    assert!(page.status == 200 && page.field("ETag").is_some());
}

#[test]
fn what_is_refused_at_the_head_has_the_site_s_page_too() {
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
