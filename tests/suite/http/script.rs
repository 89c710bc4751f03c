//! Checks the responses to a script of raw requests, wherever the input is cut. A case is a call of `check`
//! (statuses and close reason) or of `refused` (the status of a bad head).

use evserve::close_reason::CloseReason;

use crate::conversation::however_cut;
use crate::reading::{Response, responses};

/// The expected state of the connection after a script.
pub enum End {
    Open,
    Closed(CloseReason),
}
use CloseReason::Rejected;
use End::{Closed, Open};

/// Checks the statuses of the responses to `script` and whether the connection closes, wherever the input is
/// cut. Only the last response before a close may have `Connection: close`, and it must.
#[track_caller]
pub fn check(script: impl AsRef<[u8]>, statuses: &[u16], end: End) -> Vec<Response> {
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

/// Returns the methods of the requests in `script`. Only the first is reliable if a request has a body.
fn methods(script: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(script).into_owned();
    text.split("\r\n\r\n")
        .map(|head| head.trim_start().split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

/// Builds a GET request for `/a.txt` with `fields` after Host.
pub fn get(fields: &str) -> String {
    format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// Checks that a request gets `status` and that the connection closes, as it does after every bad head.
#[track_caller]
pub fn refused(script: impl AsRef<[u8]>, status: u16) {
    check(script, &[status], Closed(Rejected));
}

pub fn post(fields: &str, body: &str) -> String {
    format!("POST /a.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")
}
