//! The library over HTTPS: the same script in plain and in TLS, however the records are cut. To add a request, add it to
//! `script`.

use std::cell::RefCell;

use evserve::protocol::Kind;
use tempfile::TempDir;

use super::forms::{FORM, form};
use super::http::{folder, request, rules, talk};
use super::resuming::{address, content, part};
use crate::conversation::start;
use crate::reading::{Response, responses};
use crate::simulation::tls_scripts::{WAYS, converse};

/// Uploads of every kind, refused ones, downloads, listings and deletions.
fn script() -> Vec<u8> {
    let bytes = content();
    let resumed = |range: std::ops::Range<usize>| {
        let fields = part(range.start).replace('\n', "\r\n");
        let line = format!("PATCH {} HTTP/1.1\r\nHost: h\r\n", address(&bytes));
        let head = format!("{line}Content-Length: {}\r\n{fields}\r\n\r\n", range.len());
        [head.as_bytes(), &bytes[range]].concat()
    };
    let chunked = "PUT /files/chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
        4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n";
    let large = "x".repeat(900);
    let texts = [
        request("PUT /files/new", "", "hello"),
        request("PUT /files/new", "", "hello"),
        request("PUT /files/new", "", "other"),
        request("PUT /files/large", "", &large),
        request("PUT /files/.bad", "", "x"),
        request("PUT /files/foreign", "Sec-Fetch-Site: cross-site", "x"),
        chunked.to_owned(),
        request("POST /files/", FORM, &form(&[("one", "1\r\n--\r\n-"), ("two", &large), ("old.txt", "x")])),
        request("GET /files/two", "", ""),
        request("GET /files/two", "Range: bytes=10-19,30-39", ""),
        request("GET /files/?text", "", ""),
        request("DELETE /files/new", "", ""),
        request("GET /files/new", "", ""),
    ];
    let mut script = texts.concat().into_bytes();
    script.extend(resumed(0..100));
    script.extend(resumed(100..bytes.len()));
    script.extend(request("GET /files/the%20file", "", "").bytes());
    script
}

/// What of a response does not depend on when its file was stored, or on a random boundary.
fn lasting(response: &Response) -> (u16, bool, Vec<u8>) {
    (
        response.status,
        response.closes(),
        if response.status == 206 { Vec::new() } else { response.body.clone() },
    )
}

#[test]
fn the_library_is_the_same_over_tls() {
    let folders: RefCell<Vec<TempDir>> = RefCell::default();
    let services = || {
        folders.borrow_mut().push(folder());
        talk(folders.borrow().last().unwrap(), rules())
    };
    let script = script();
    let mut plain = services();
    plain.input(&script);
    let expected: Vec<_> = responses(&plain.outcome.output, &[]).iter().map(lasting).collect();
    let statuses: Vec<u16> = expected.iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [201, 204, 409, 201, 400, 403, 201, 409, 200, 206, 200, 204, 404, 204, 201, 200]);
    for way in WAYS {
        let (outcome, _) = converse((Kind::Http, services().services, start()), &script, false, way);
        let found: Vec<_> = responses(&outcome.output, &[]).iter().map(lasting).collect();
        assert!(found == expected && outcome.ending.is_none(), "{way:?}: {:?}", outcome.ending);
    }
}
