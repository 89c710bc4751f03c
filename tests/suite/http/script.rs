//! A script of requests as bytes, and the check of what comes of it however it is cut. A case is a call of
//! `check` (statuses and ending) or of `refused` (the one status of a bad head).

use evserve::close_reason::CloseReason;

use crate::conversation::however_cut;
use crate::reading::{Response, responses};

/// What should come of a script.
pub enum End {
    /// The connection goes on.
    Open,
    /// It ends, for this reason.
    Closed(CloseReason),
}
use CloseReason::Refused;
use End::{Closed, Open};

/// Checks that `script` gets these statuses and this ending, however it is cut, and that the last
/// response before an ending says so, and no other.
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

/// The methods of a script of bodiless requests; of others only the first is right.
fn methods(script: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(script).into_owned();
    text.split("\r\n\r\n")
        .map(|head| head.trim_start().split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

/// A request for `/a.txt` with these fields besides Host.
pub fn get(fields: &str) -> String {
    format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// Checks one request for its status. 4xx and 5xx of heads end the connection.
#[track_caller]
pub fn refused(script: impl AsRef<[u8]>, status: u16) {
    check(script, &[status], Closed(Refused));
}

pub fn post(fields: &str, body: &str) -> String {
    format!("POST /a.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")
}
