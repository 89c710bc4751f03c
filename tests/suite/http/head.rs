//! Request heads: versions, Host, field lines, limits, garbage. To add a case, add a row to a table of
//! malformed heads, or call `check` or `refused` with a script.

use std::time::Duration;

use super::script::End::Open;
use super::script::{check, get, refused};
use crate::conversation::{Talk, converse, however_cut, site};
use crate::reading::responses;

#[test]
fn unsupported_and_malformed_versions_are_rejected() {
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
fn missing_duplicate_and_malformed_host_fields_are_rejected() {
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
fn malformed_field_lines_are_rejected() {
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
fn oversized_heads_are_rejected() {
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
fn empty_lines_before_a_request_are_ignored_up_to_a_limit() {
    check(format!("\r\n{}\r\n\n{}", get(""), get("")), &[200, 200], Open);
    check("\r\n".repeat(32), &[], Open);
    refused("\r\n".repeat(33), 400);
    refused("\n".repeat(5000), 400);
    refused("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400);
}

#[test]
fn error_responses_to_head_have_no_body() {
    let head_only = |script: &str, statuses: &[u16]| {
        let outcome = however_cut(script.as_bytes(), true);
        let found = responses(&outcome.output, &[true; 4]);
        let got: Vec<u16> = found.iter().map(|response| response.status).collect();
        assert_eq!(got, statuses, "{script:.200}");
    };
    head_only("HEAD / HTTP/1.1\r\n\r\n", &[400]);
    head_only("HEAD / HTTP/2.0\r\n\r\n", &[505]);
    head_only("HEAD * HTTP/1.1\r\nHost: h\r\n\r\n", &[400]);
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
fn corrupted_requests_get_valid_responses_and_never_hang() {
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
