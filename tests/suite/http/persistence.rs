//! Connections across requests: pipelining, persistence, deadlines and EOF. To add a case, add a `check` of
//! several requests, or a `Talk` that waits.

use std::time::Duration;

use evserve::close_reason::CloseReason::{self, CloseRequested, PeerClosed, PeerLeft, ServerClosed};

use super::script::End::{Closed, Open};
use super::script::{check, get, post};
use crate::conversation::{Talk, converse, site};
use crate::reading::{Response, responses};

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
    // An incomplete request does not delay the response to the previous one.
    check(get("") + "GET /a.t", &[200], Open);
}

#[test]
fn http_version_and_connection_field_decide_persistence() {
    check(get("Connection: close\r\n") + &get(""), &[200], Closed(CloseRequested));
    check(get("Connection: x , CLOSE,y\r\n"), &[200], Closed(CloseRequested));
    check(get("Connection: x\r\nConnection: close\r\n"), &[200], Closed(CloseRequested));
    check(get("Connection: keep-alive, close\r\n"), &[200], Closed(CloseRequested));
    check(get("Connection: closed, not-close, \"close\"\r\nX: close\r\n"), &[200], Open);
    check(get("Connection: keep-alive\r\n"), &[200], Open);
    check("GET / HTTP/1.0\r\n\r\n", &[200], Closed(CloseRequested));
    check("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", &[200], Closed(CloseRequested));
    check("GET / HTTP/1.0\r\nConnection: keep-alive-not\r\n\r\n", &[200], Closed(CloseRequested));
    let kept = converse([&b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"[..]], false);
    assert_eq!(kept.ending, None);
    assert_eq!(responses(&kept.output, &[])[0].field("Connection"), Some("keep-alive"));
}

#[test]
fn eof_inside_a_request_gets_a_400_response() {
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
            // A complete request gets its response, an incomplete one 400; any other EOF only closes.
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
fn slow_bytes_do_not_extend_the_head_deadline() {
    let mut talk = Talk::new(site());
    // At one byte per second the request takes longer than the 10 seconds of the deadline.
    for byte in get("").bytes().take(20) {
        talk.input(&[byte]);
        talk.wait(Duration::from_secs(1));
    }
    assert_eq!(talk.outcome.ending, Some(CloseReason::HeadTimeout));
    let found = responses(&talk.outcome.output, &[]);
    assert_eq!((found[0].status, found[0].closes()), (408, true));

    // The same after an earlier request.
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
fn idle_connections_are_closed_without_a_response() {
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
fn connections_close_after_one_response_while_draining() {
    let mut talk = Talk::new(site());
    talk.input(get("").as_bytes());
    talk.services.core.draining_since = Some(talk.now.monotonic);
    talk.input(get("").as_bytes());
    assert_eq!(talk.outcome.ending, Some(ServerClosed));
    let found = responses(&talk.outcome.output, &[]);
    assert_eq!(found.iter().map(Response::closes).collect::<Vec<_>>(), [false, true]);

    // A connection with no request in progress is closed after 250 ms.
    let mut talk = Talk::new(site());
    talk.input(get("").as_bytes());
    talk.services.core.draining_since = Some(talk.now.monotonic);
    talk.wait(Duration::from_millis(250));
    assert_eq!(talk.outcome.ending, Some(CloseReason::Drained));
}
