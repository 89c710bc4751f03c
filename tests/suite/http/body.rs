//! Request bodies: framing, discarding, and Expect. To add a case, add a row to the table of framings, or a
//! `check` of a `post`.

use std::time::Duration;

use evserve::close_reason::CloseReason::{self, BodyUnread, CloseRequested};

use super::script::End::{Closed, Open};
use super::script::{check, get, post, refused};
use crate::conversation::{Talk, however_cut, site};
use crate::reading::responses;

#[test]
fn unused_request_bodies_are_read_up_to_64_kib() {
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
    // There is no response before the body is complete.
    check(post("Content-Length: 5\r\n", "1234"), &[], Open);
    let most = "x".repeat(65_536);
    check(post("Content-Length: 65536\r\n", &most) + &get(""), &[405, 200], Open);
    check(post("Content-Length: 65537\r\n", &most), &[405], Closed(BodyUnread));
    check(post("Content-Length: 18446744073709551615\r\n", ""), &[405], Closed(BodyUnread));
    check(post("Transfer-Encoding: chunked\r\n", &format!("fffff\r\n{most}")), &[405], Closed(BodyUnread));
    check("GET / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", &[200], Closed(CloseRequested));
    // The bytes of the chunk framing count towards the limit.
    let all = format!("10000\r\n{most}\r\n0\r\n\r\n");
    check(post("Transfer-Encoding: chunked\r\n", &all) + &get(""), &[405], Closed(BodyUnread));
}

#[test]
fn malformed_or_ambiguous_body_framing_is_rejected() {
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
fn expectations_other_than_100_continue_are_rejected() {
    // The server responds without the body, then closes: the next bytes could be a body or a request.
    check(post("Expect: 100-Continue\r\nContent-Length: 5\r\n", ""), &[405], Closed(BodyUnread));
    check(post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", ""), &[405], Closed(BodyUnread));
    check(get("Expect: 100-continue\r\n"), &[200], Open);
    refused(get("Expect: 200-maybe\r\n"), 417);
    refused(get("Expect: 100-continue, x\r\n"), 417);
    check(get("Expect: 100-continue\r\nExpect: 100-continue\r\n"), &[200], Open);
    check("GET / HTTP/1.0\r\nExpect: nonsense\r\n\r\n", &[200], Closed(CloseRequested));
}

#[test]
fn requests_with_a_stalled_body_get_an_early_response() {
    let mut talk = Talk::new(site());
    talk.input(post("Content-Length: 100\r\n", "").as_bytes());
    talk.wait(Duration::from_millis(299));
    assert!(talk.outcome.output.is_empty());
    talk.wait(Duration::from_millis(1));
    let found = responses(&talk.outcome.output, &[]);
    assert_eq!((found.len(), found[0].status, found[0].closes()), (1, 405, false));
    // The rest may arrive slowly, with pauses of less than 30 seconds.
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

    // The remaining length of a chunked body is unknown, so the connection closes.
    let mut talk = Talk::new(site());
    talk.input(post("Transfer-Encoding: chunked\r\n", "5\r\nhel").as_bytes());
    talk.wait(Duration::from_millis(300));
    assert_eq!(talk.outcome.ending, Some(BodyUnread));
    assert!(responses(&talk.outcome.output, &[])[0].closes());
}
