//! The header fields that decide how a message is read: Host, framing, expectation, connection.

use super::body::Framing;
use super::grammar::{number, trim};
use super::host;
use super::status::{Refusal, Status};
use super::wishes::Present;

/// What a request says about the life of its connection (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// HTTP/1.1 without `close`: it goes on, and nothing needs to be said.
    Implied,
    /// HTTP/1.0 with `keep-alive`: it goes on, and that must be said.
    Agreed,
    /// It ends with the answer.
    Close,
}

/// The fields that every request is judged by.
#[derive(Default)]
pub struct Fields<'a> {
    /// Present and valid, or absent.
    pub host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    expects_continue: bool,
    expects_other: bool,
    close: bool,
    keep_alive: bool,
    /// Which others there are that the answer may hang on.
    pub present: Present,
}

impl<'a> Fields<'a> {
    /// Picks them out.
    pub fn collect(fields: &[httparse::Header<'a>]) -> Result<Fields<'a>, Refusal> {
        let mut found = Fields::default();
        for httparse::Header { name, value } in fields {
            let is = |expected: &str| name.eq_ignore_ascii_case(expected);
            match name.len() {
                4 if is("host") => once(&mut found.host, value, "Host is given twice")?,
                6 if is("expect") => found.expect(value),
                10 if is("connection") => found.connection(value),
                14 if is("content-length") => {
                    once(&mut found.content_length, value, "Content-Length is given twice")?;
                }
                17 if is("transfer-encoding") => {
                    once(&mut found.transfer_encoding, value, "Transfer-Encoding is given twice")?;
                }
                _ => found.present.note(name),
            }
        }
        match found.host {
            Some(host) if !host::is_valid(host) => Err(Refusal::bad("The Host field is malformed")),
            _ => Ok(found),
        }
    }

    /// Only whole tokens count (RFC 9110 section 7.6.1).
    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(trim) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// How the body is delimited.
    /// RFC 9112 section 6.3, on the strict side wherever it leaves a choice: two parsers that
    /// disagree about where a message ends are how requests are smuggled.
    pub fn framing(&self, version_1_0: bool) -> Result<Framing, Refusal> {
        match (self.transfer_encoding, self.content_length) {
            (Some(_), Some(_)) => {
                Err(Refusal::bad("Transfer-Encoding and Content-Length exclude each other"))
            }
            // Section 6.1: faulty framing.
            (Some(_), None) if version_1_0 => Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding")),
            (Some(coding), None) => transfer_framing(coding),
            (None, Some(length)) => Ok(Framing::Length(content_length(length)?)),
            (None, None) => Ok(Framing::Length(0)),
        }
    }

    fn expect(&mut self, value: &[u8]) {
        for expectation in value.split(|byte| *byte == b',').map(trim).filter(|value| !value.is_empty()) {
            let known = expectation.eq_ignore_ascii_case(b"100-continue");
            self.expects_continue |= known;
            self.expects_other |= !known;
        }
    }

    /// Whether the client waits for a 100. There is one expectation, and 1.0 has none (RFC 9110
    /// section 10.1.1).
    pub fn expects_continue(&self, version_1_0: bool) -> Result<bool, Refusal> {
        match (version_1_0, self.expects_other) {
            (false, true) => {
                Err(Refusal::new(Status::ExpectationFailed, "The only expectation known is 100-continue"))
            }
            _ => Ok(self.expects_continue && !version_1_0),
        }
    }

    /// How the connection goes on.
    pub fn persistence(&self, version_1_0: bool) -> Persistence {
        match (self.close, version_1_0, self.keep_alive) {
            (true, ..) | (false, true, false) => Persistence::Close,
            (false, true, true) => Persistence::Agreed,
            (false, false, _) => Persistence::Implied,
        }
    }
}

fn once<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8], twice: &'static str) -> Result<(), Refusal> {
    match field.replace(value) {
        Some(_) => Err(Refusal::bad(twice)),
        None => Ok(()),
    }
}

/// RFC 9112 section 6.1: unknown codings before a last `chunked` are 501; without it as the last
/// one the body's end could not be told.
fn transfer_framing(coding: &[u8]) -> Result<Framing, Refusal> {
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let mut codings = coding.rsplit(|byte| *byte == b',').map(trim);
    let last = codings.next().unwrap_or_default();
    let known_before = codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked") || coding.is_empty());
    if last.eq_ignore_ascii_case(b"chunked") && !known_before {
        return Err(Refusal::new(Status::NotImplemented, "The only transfer coding known is chunked"));
    }
    Err(Refusal::bad("The Transfer-Encoding is malformed"))
}

/// `1*DIGIT` (RFC 9110 section 8.6): no sign, no list, no white space, and not beyond 64 bits.
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    number(value).ok_or(Refusal::bad("The Content-Length is malformed"))
}
