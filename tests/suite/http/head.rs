//! HTTP as bytes: every rule that a request can keep or break, and the answer to it.

use std::time::Duration;

use evserve::close_reason::CloseReason;
use evserve::store::MemoryStore;

use crate::conversation::{Talk, converse, however_cut, site};
use crate::reading::{Response, responses};

/// What should come of a script.
enum End {
    /// The connection goes on.
    Open,
    /// It ends, for this reason.
    Closed(CloseReason),
}
use CloseReason::{Answered, BodyUnwanted, LastAnswer, PeerClosed, PeerLeft, Refused};
use End::{Closed, Open};

/// Checks that `script` gets these statuses and this ending, however it is cut, and that the last
/// response before an ending says so, and no other.
#[track_caller]
fn check(script: impl AsRef<[u8]>, statuses: &[u16], end: End) -> Vec<Response> {
    let script = script.as_ref();
    let outcome = however_cut(script, false);
    let shown = String::from_utf8_lossy(&script[..script.len().min(300)]).into_owned();
    let heads: Vec<bool> = methods(script).iter().map(|method| method == "HEAD").collect();
    let found = responses(&outcome.output, &heads);
    let got: Vec<u16> = found.iter().map(|response| response.status).collect();
    assert_eq!(got, statuses, "{shown}");
    let expected = match end {
        Open => None,
        Closed(reason) => Some(reason),
    };
    assert_eq!(outcome.ending, expected, "{shown}");
    for (index, response) in found.iter().enumerate() {
        let last = index + 1 == found.len() && expected.is_some();
        assert_eq!(response.closes(), last, "response {index} to {shown}");
        assert!(response.field("Date").is_some());
    }
    found
}

/// The methods of a script of bodiless requests; of others only the first is right.
fn methods(script: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(script).into_owned();
    text.split("\r\n\r\n")
        .map(|head| head.trim_start().split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

/// A request for `/a.txt` with these fields besides Host.
fn get(fields: &str) -> String {
    format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// Checks one request for its status. 4xx and 5xx of heads end the connection.
#[track_caller]
fn refused(script: impl AsRef<[u8]>, status: u16) {
    check(script, &[status], Closed(Refused));
}

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
fn pipelined_requests_are_answered_in_order() {
    let script = format!(
        "{}{}{}{}",
        get(""),
        get("").replace("/a.txt", "/x"),
        get("").replace("a.txt", "sub/"),
        get("")
    );
    let found = check(script, &[200, 404, 200, 200], Open);
    assert_eq!(found[2].text(), "<p>sub");
    // Nothing is held back behind a request that is not whole.
    check(get("") + "GET /a.t", &[200], Open);
}

#[test]
fn persistence() {
    check(get("Connection: close\r\n") + &get(""), &[200], Closed(Answered));
    check(get("Connection: x , CLOSE,y\r\n"), &[200], Closed(Answered));
    check(get("Connection: x\r\nConnection: close\r\n"), &[200], Closed(Answered));
    check(get("Connection: keep-alive, close\r\n"), &[200], Closed(Answered));
    check(get("Connection: closed, not-close, \"close\"\r\nX: close\r\n"), &[200], Open);
    check(get("Connection: keep-alive\r\n"), &[200], Open);
    check("GET / HTTP/1.0\r\n\r\n", &[200], Closed(Answered));
    check("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", &[200], Closed(Answered));
    check("GET / HTTP/1.0\r\nConnection: keep-alive-not\r\n\r\n", &[200], Closed(Answered));
    let kept = converse([&b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"[..]], false);
    assert_eq!(kept.ending, None);
    assert_eq!(responses(&kept.output, &[])[0].field("Connection"), Some("keep-alive"));
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

#[test]
fn versions() {
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        let found = check(format!("GET /a.txt {version}\r\nHost: h\r\n\r\n"), &[200], Open);
        assert_eq!(found[0].text(), "hello");
        refused(format!("GET /a.txt {version}\r\n\r\n"), 400);
    }
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1", "HTTP/9.9"] {
        refused(format!("GET / {version}\r\nHost: h\r\n\r\n"), 505);
    }
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    for version in [
        "HTTP/1",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/01.1",
        "http/1.1",
        "HTTP/1.x",
        "HTTP/1.1 ",
        "HTTPS/1.1",
        "1.1",
    ] {
        refused(format!("GET / {version}\r\nHost: h\r\n\r\n"), 400);
    }
    for line in [
        "GET /\r\n",
        "GET\r\n",
        "GET / \r\n",
        "GET  / HTTP/1.1\r\n",
        "GET /  HTTP/1.1\r\n",
        " GET / HTTP/1.1\r\n",
        "GET\t/ HTTP/1.1\r\n",
    ] {
        refused(format!("{line}Host: h\r\n\r\n"), 400);
    }
}

#[test]
fn host() {
    for host in ["", "h", "h:80", "[::1]:7890", "a_b", "1.2.3.4"] {
        check(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[200], Open);
    }
    check("GET / HTTP/1.1\r\nhOST:h\r\n\r\n", &[200], Open);
    for host in ["a b", "a/b", "u@h", "h:x", "h:80:80", "[::1", "::1", "h,", "a, b", "h%"] {
        let status = if host == "h," { 200 } else { 400 };
        assert_eq!(
            responses(
                &converse([format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()], false).output,
                &[]
            )[0]
            .status,
            status,
            "{host}"
        );
    }
    refused("GET / HTTP/1.1\r\n\r\n", 400);
    refused("GET http://h/ HTTP/1.1\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400);
    refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400);
    refused("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400);
}

#[test]
fn field_lines() {
    check(get("X:\r\nY: \t v \t \r\nZ:\t\u{e9}\r\n"), &[200], Open);
    check("GET /a.txt HTTP/1.1\nHost: h\n\n", &[200], Open);
    for line in [
        "X : y",
        " X: y",
        "X",
        ": y",
        "X\t: y",
        "X y: z",
        "X: a\0b",
        "X: a\x07b",
        "X: a\x7fb",
        "X(: y",
        "X: a\rb",
        "X\0: y",
        "\u{e9}: y",
        "X: a\r\n folded",
        "X: a\r\n\tfolded",
    ] {
        refused(get(&format!("{line}\r\n")), 400);
    }
    refused("GET /a.txt HTTP/1.1\r\n folded: x\r\nHost: h\r\n\r\n", 400);
    refused("GET /a.txt HTTP/1.1\rHost: h\r\n\r\n", 400);
    refused(&b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n"[..], 400);
    refused("GET /\x01", 400);
    refused(&b"\x16\x03\x01\x02\0\x01"[..], 400);
}

#[test]
fn limits_of_the_head() {
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(length - 1));
    check(target(8 * 1024), &[404], Open);
    refused(target(8 * 1024 + 1), 414);
    refused(format!("GET /{}", "a".repeat(20_000)), 414);
    refused("A".repeat(20_000), 501);
    refused([0x80; 20_000], 400);
    refused(format!("GET / HTTP/1.{}", "1".repeat(20_000)), 400);
    let fields = |count: usize| get(&"X: y\r\n".repeat(count - 1));
    check(fields(100), &[200], Open);
    refused(fields(101), 431);
    let head = |length: usize| get(&format!("X: {}\r\n", "y".repeat(length - get("X: \r\n").len())));
    assert_eq!(head(16_384).len(), 16_384);
    check(head(16_384), &[200], Open);
    refused(head(16_385), 431);
    refused(format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "y".repeat(20_000)), 431);
}

#[test]
fn empty_lines_before_a_request_are_dropped_within_a_bound() {
    check(format!("\r\n{}\r\n\n{}", get(""), get("")), &[200, 200], Open);
    check("\r\n".repeat(32), &[], Open);
    refused("\r\n".repeat(33), 400);
    refused("\n".repeat(5000), 400);
    refused("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400);
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /a.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")
}

#[test]
fn bodies_that_nobody_wants_are_read_to_their_end() {
    for method in ["POST", "GET", "HEAD", "OPTIONS", "DELETE"] {
        let status = match method {
            "GET" | "HEAD" => 200,
            "OPTIONS" => 204,
            _ => 405,
        };
        let by_length = post("Content-Length: 5\r\n", "GET /").replace("POST", method);
        check(format!("{by_length}{}", get("")), &[status, 200], Open);
        let chunked = post("Transfer-Encoding: Chunked\r\n", "5;x\r\nGET /\r\n0\r\nT: v\r\n\r\n")
            .replace("POST", method);
        check(format!("{chunked}{}", get("")), &[status, 200], Open);
    }
    check(post("Content-Length: 0\r\n", "") + &get(""), &[405, 200], Open);
    check(post("Content-Length: 010\r\n", "0123456789") + &get(""), &[405, 200], Open);
    // Not before it has come to its end.
    check(post("Content-Length: 5\r\n", "1234"), &[], Open);
    let most = "x".repeat(65_536);
    check(post("Content-Length: 65536\r\n", &most) + &get(""), &[405, 200], Open);
    check(post("Content-Length: 65537\r\n", &most), &[405], Closed(BodyUnwanted));
    check(post("Content-Length: 18446744073709551615\r\n", ""), &[405], Closed(BodyUnwanted));
    check(post("Transfer-Encoding: chunked\r\n", &format!("fffff\r\n{most}")), &[405], Closed(BodyUnwanted));
    check("GET / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", &[200], Closed(Answered));
    // What its framing costs counts, too, and does so wherever the input is cut.
    let all = format!("10000\r\n{most}\r\n0\r\n\r\n");
    check(post("Transfer-Encoding: chunked\r\n", &all) + &get(""), &[405], Closed(BodyUnwanted));
}

#[test]
fn framing_is_decided_once_and_strictly() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: \r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: \u{665}\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        for method in ["POST", "GET", "HEAD"] {
            let script = post(fields, "0\r\n\r\n").replace("POST", method);
            let found = responses(&however_cut(script.as_bytes(), false).output, &[method == "HEAD"]);
            assert_eq!((found.len(), found[0].status, found[0].closes()), (1, 400, true), "{fields:?}");
        }
    }
    refused(post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501);
    refused(post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n").replace("1.1", "1.0"), 400);
    refused(post("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"), 400);
    refused(post("Transfer-Encoding: chunked\r\n", "-1\r\n"), 400);
}

#[test]
fn expectations() {
    // The client hears at once, and what it sends then cannot be told from a request.
    check(post("Expect: 100-Continue\r\nContent-Length: 5\r\n", ""), &[405], Closed(BodyUnwanted));
    check(post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", ""), &[405], Closed(BodyUnwanted));
    check(get("Expect: 100-continue\r\n"), &[200], Open);
    refused(get("Expect: 200-maybe\r\n"), 417);
    refused(get("Expect: 100-continue, x\r\n"), 417);
    check(get("Expect: 100-continue\r\nExpect: 100-continue\r\n"), &[200], Open);
    check("GET / HTTP/1.0\r\nExpect: nonsense\r\n\r\n", &[200], Closed(Answered));
}

#[test]
fn the_end_of_input_at_every_byte() {
    let scripts = [
        get(""),
        post("Content-Length: 5\r\n", "hello"),
        post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ];
    for script in scripts.iter().map(|script| format!("\r\n{}{script}", get("")).into_bytes()) {
        for end in 0..=script.len() {
            let outcome = converse([&script[..end]], true);
            let found = responses(&outcome.output, &[]);
            let whole = found.iter().filter(|response| response.status != 400).count();
            // What was asked for is answered; what was begun is refused; nothing begun is an end.
            let begun = end > 2 && end != 2 + get("").len() && end != script.len();
            let reason = if begun { PeerLeft } else { PeerClosed };
            assert_eq!(outcome.ending, Some(reason), "at {end}");
            assert_eq!(found.len(), whole + usize::from(begun), "at {end}");
            assert_eq!(
                whole,
                usize::from(end >= 2 + get("").len()) + usize::from(end == script.len()),
                "at {end}"
            );
        }
    }
}

#[test]
fn deadlines_of_heads_are_absolute() {
    let mut talk = Talk::new(site());
    // Byte by byte, one a second: the tenth second ends it.
    for byte in get("").bytes().take(20) {
        talk.input(&[byte]);
        talk.wait(Duration::from_secs(1));
    }
    assert_eq!(talk.outcome.ending, Some(CloseReason::HeadTimeout));
    let found = responses(&talk.outcome.output, &[]);
    assert_eq!((found[0].status, found[0].closes()), (408, true));

    // The same behind an answered request.
    let mut talk = Talk::new(site());
    talk.input(get("").as_bytes());
    talk.wait(Duration::from_secs(59));
    talk.input(b"GET");
    talk.wait(Duration::from_secs(9));
    assert_eq!(talk.outcome.ending, None);
    talk.input(b" ");
    talk.wait(Duration::from_secs(1));
    assert_eq!(talk.outcome.ending, Some(CloseReason::HeadTimeout));
}

#[test]
fn idle_connections_end_in_silence() {
    let mut talk = Talk::new(site());
    talk.wait(Duration::from_millis(9_999));
    assert_eq!(talk.outcome.ending, None);
    talk.wait(Duration::from_millis(1));
    assert_eq!(talk.outcome.ending, Some(CloseReason::IdleTimeout));
    assert!(talk.outcome.output.is_empty());

    let mut talk = Talk::new(site());
    talk.input(get("").as_bytes());
    let sent = talk.outcome.output.len();
    talk.wait(Duration::from_secs(59));
    assert_eq!(talk.outcome.ending, None);
    talk.wait(Duration::from_secs(1));
    assert_eq!((talk.outcome.ending, talk.outcome.output.len()), (Some(CloseReason::IdleTimeout), sent));
}

#[test]
fn a_request_whose_body_pauses_is_answered_and_the_body_read_on() {
    let mut talk = Talk::new(site());
    talk.input(post("Content-Length: 100\r\n", "").as_bytes());
    talk.wait(Duration::from_millis(299));
    assert!(talk.outcome.output.is_empty());
    talk.wait(Duration::from_millis(1));
    let found = responses(&talk.outcome.output, &[]);
    assert_eq!((found.len(), found[0].status, found[0].closes()), (1, 405, false));
    // The rest may be slow, but must move.
    for _ in 0..99 {
        talk.wait(Duration::from_secs(29));
        talk.input(b"x");
    }
    assert_eq!(talk.outcome.ending, None);
    talk.input(format!("x{}", get("")).as_bytes());
    assert_eq!(responses(&talk.outcome.output, &[]).len(), 2);

    let mut talk = Talk::new(site());
    talk.input(post("Content-Length: 100\r\n", "x").as_bytes());
    talk.wait(Duration::from_millis(300));
    talk.wait(Duration::from_secs(30));
    assert_eq!(talk.outcome.ending, Some(CloseReason::BodyTimeout));
    assert_eq!(responses(&talk.outcome.output, &[]).len(), 1);

    // How much of a chunked one is to come nobody knows.
    let mut talk = Talk::new(site());
    talk.input(post("Transfer-Encoding: chunked\r\n", "5\r\nhel").as_bytes());
    talk.wait(Duration::from_millis(300));
    assert_eq!(talk.outcome.ending, Some(BodyUnwanted));
    assert!(responses(&talk.outcome.output, &[])[0].closes());
}

#[test]
fn head_never_gets_a_body_not_even_when_it_is_refused() {
    let head_only = |script: &str, statuses: &[u16]| {
        let outcome = however_cut(script.as_bytes(), true);
        let found = responses(&outcome.output, &[true; 4]);
        let got: Vec<u16> = found.iter().map(|response| response.status).collect();
        assert_eq!(got, statuses, "{script:.200}");
    };
    head_only("HEAD / HTTP/1.1\r\n\r\n", &[400]);
    head_only("HEAD / HTTP/2.0\r\n\r\n", &[505]);
    head_only("HEAD * HTTP/1.1\r\nHost: h\r\n\r\n", &[400]);
    head_only("HEAD https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", &[421]);
    head_only("HEAD / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", &[417]);
    head_only("HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", &[501]);
    head_only("HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz", &[400]);
    head_only("HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", &[400]);
    head_only("HEAD / HTTP/1.1\r\nHost: h\r\n", &[400]);
    head_only(&format!("HEAD /{} HTTP/1.1\r\n\r\n", "a".repeat(8192)), &[414]);
    head_only(&format!("HEAD / HTTP/1.1\r\nX: {}", "a".repeat(20_000)), &[431]);
    head_only("HEAD / HTTP/1.1\r\nHost: h\r\n\r\nHEAD / HTTP/1.1\r\n\r\n", &[200, 400]);
    let mut talk = Talk::new(site());
    talk.input(b"HEAD / HTTP/1.1\r\n");
    talk.wait(Duration::from_secs(10));
    assert_eq!(responses(&talk.outcome.output, &[true])[0].status, 408);
}

#[test]
fn while_draining_every_answer_is_the_last() {
    let mut talk = Talk::new(site());
    talk.input(get("").as_bytes());
    talk.services.draining_since = Some(talk.now.monotonic);
    talk.input(get("").as_bytes());
    assert_eq!(talk.outcome.ending, Some(LastAnswer));
    let found = responses(&talk.outcome.output, &[]);
    assert_eq!(found.iter().map(Response::closes).collect::<Vec<_>>(), [false, true]);

    // Who has nothing under way is not waited for.
    let mut talk = Talk::new(site());
    talk.input(get("").as_bytes());
    talk.services.draining_since = Some(talk.now.monotonic);
    talk.wait(Duration::from_millis(250));
    assert_eq!(talk.outcome.ending, Some(CloseReason::Drained));
}

#[test]
fn garbage_is_refused_and_never_hangs() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut script = get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n").into_bytes();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..script.len());
            match random.u8(..3) {
                0 => script[at] = random.u8(..),
                1 => script.insert(at, *random.choice(b"\r\n \t:,\0\xff0aA").unwrap()),
                _ => drop(script.remove(at)),
            }
        }
        let outcome = however_cut(&script, true);
        assert!(outcome.ending.is_some(), "seed {seed}");
        responses(&outcome.output, &[]);
    }
}
