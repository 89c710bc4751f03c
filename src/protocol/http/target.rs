//! The request-target: its four forms (RFC 9112 section 3.2), and the path that it names.

use std::borrow::Cow;

use super::grammar::hex;
use super::host;
use super::method::Method;
use super::status::{Refusal, Status};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A path of this server, from the origin-form or the absolute-form, still percent-encoded.
    /// An absolute-form's authority replaces `Host` (section 3.2.2).
    Path {
        /// Begins with a slash.
        path: &'a [u8],
        /// Whether the path is the same decoded.
        is_plain: bool,
        /// What follows the question mark.
        query: Option<&'a [u8]>,
    },
    /// `*`: the server as a whole.
    Server,
    /// An authority, for CONNECT.
    Authority,
}

impl<'a> Target<'a> {
    /// Parses a target for `method`.
    pub fn parse(target: &'a [u8], method: Method) -> Result<Target<'a>, Refusal> {
        // Most targets are a path and nothing else, and one search tells.
        if let [b'/', ..] = target
            && method != Method::Connect
            && memchr::memchr3(b'#', b'?', b'%', target).is_none()
        {
            return Ok(Target::Path { path: target, is_plain: true, query: None });
        }
        if memchr::memchr(b'#', target).is_some() {
            return Err(Refusal::bad("A request-target has no fragment"));
        }
        if method == Method::Connect {
            let whole = !target.starts_with(b":") && target.last().is_some_and(u8::is_ascii_digit);
            return match whole && target.contains(&b':') && host::is_valid(target) {
                true => Ok(Target::Authority),
                false => Err(Refusal::bad("CONNECT takes a host and a port")),
            };
        }
        match target {
            [b'/', ..] => Ok(Target::path(target)),
            b"*" if method == Method::Options => Ok(Target::Server),
            _ => Target::absolute(target),
        }
    }

    fn path(target: &'a [u8]) -> Target<'a> {
        let (path, query) = match memchr::memchr(b'?', target) {
            Some(at) => (&target[..at], Some(&target[at + 1..])),
            None => (target, None),
        };
        Target::Path { path, is_plain: memchr::memchr(b'%', path).is_none(), query }
    }

    /// `http://authority/path?query`, as clients send it to proxies; a server must take it.
    fn absolute(target: &'a [u8]) -> Result<Target<'a>, Refusal> {
        let Some(rest) = strip_scheme(target, b"http://") else {
            return Err(match strip_scheme(target, b"https://") {
                // RFC 9110 section 7.4: not what this connection was secured for.
                Some(_) => Refusal::new(Status::MisdirectedRequest, "This connection is not secured"),
                None => Refusal::bad("The request-target is neither a path nor an http URL"),
            });
        };
        let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // RFC 9110 section 4.2.1: an empty host is invalid in an http URL.
        if !host::is_valid(authority) || authority.is_empty() || authority.starts_with(b":") {
            return Err(Refusal::bad("The URL's host is malformed"));
        }
        Ok(match (Target::path(path), path) {
            (_, []) => Target::Path { path: b"/", is_plain: true, query: None },
            (Target::Path { query, .. }, [b'?', ..]) => Target::Path { path: b"/", is_plain: true, query },
            (target, _) => target,
        })
    }
}

fn strip_scheme<'a>(target: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = target.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Decodes a path once, strictly: a `%` without two hexadecimal digits is an error, and so is a
/// NUL, which no file name has.
pub fn decode(path: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    let Some(first) = memchr::memchr2(b'%', 0, path) else { return Ok(Cow::Borrowed(path)) };
    let mut decoded = Vec::with_capacity(path.len());
    decoded.extend_from_slice(&path[..first]);
    let mut rest = &path[first..];
    while let [byte, behind @ ..] = rest {
        let (byte, behind) = match (byte, behind) {
            (b'%', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, behind),
                _ => return Err(BAD_ESCAPE),
            },
            (b'%', _) => return Err(BAD_ESCAPE),
            (byte, behind) => (*byte, behind),
        };
        if byte == 0 {
            return Err(Refusal::bad("The path contains a NUL"));
        }
        decoded.push(byte);
        rest = behind;
    }
    Ok(Cow::Owned(decoded))
}

const BAD_ESCAPE: Refusal = Refusal::bad("The path has a % that two hexadecimal digits do not follow");

/// The value of a name in a query, as it comes.
pub fn query_value<'a>(query: Option<&'a [u8]>, name: &[u8]) -> Option<&'a [u8]> {
    query?.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path<'a>(path: &'a str, query: Option<&'a str>) -> Result<Target<'a>, Status> {
        let (is_plain, query) = (!path.contains('%'), query.map(str::as_bytes));
        Ok(Target::Path { path: path.as_bytes(), is_plain, query })
    }

    #[test]
    fn the_four_forms() {
        use Method::{Connect, Get, Options};
        let cases = [
            (Get, "/", path("/", None)),
            (Get, "/a%20b?c=d?e", path("/a%20b", Some("c=d?e"))),
            (Get, "//a?", path("//a", Some(""))),
            (Get, "http://a", path("/", None)),
            (Get, "HTTP://a:80?q/r", path("/", Some("q/r"))),
            (Get, "http://[::1]/x?y", path("/x", Some("y"))),
            (Options, "http://a", path("/", None)),
            (Options, "*", Ok(Target::Server)),
            (Connect, "a:443", Ok(Target::Authority)),
            (Connect, "/", Err(Status::BadRequest)),
            (Connect, "a", Err(Status::BadRequest)),
            (Connect, "a:", Err(Status::BadRequest)),
            (Connect, ":80", Err(Status::BadRequest)),
            (Get, "*", Err(Status::BadRequest)),
            (Get, "a:80", Err(Status::BadRequest)),
            (Get, "index.html", Err(Status::BadRequest)),
            (Get, "/a#b", Err(Status::BadRequest)),
            (Get, "http:///a", Err(Status::BadRequest)),
            (Get, "http://:80/a", Err(Status::BadRequest)),
            (Get, "http://user@a/", Err(Status::BadRequest)),
            (Get, "http:/a", Err(Status::BadRequest)),
            (Get, "ftp://a/", Err(Status::BadRequest)),
            (Get, "https://a/", Err(Status::MisdirectedRequest)),
        ];
        for (method, target, expected) in cases {
            let got = Target::parse(target.as_bytes(), method).map_err(|refusal| refusal.status);
            assert_eq!(got, expected, "{method:?} {target}");
        }
    }

    #[test]
    fn decoding_happens_once_and_is_strict() {
        for (encoded, decoded) in [
            ("/plain", &b"/plain"[..]),
            ("/a%20b", b"/a b"),
            ("/%2e%2E/", b"/../"),
            ("/%252e", b"/%2e"),
            ("/%ff%C3%A9", b"/\xff\xc3\xa9"),
            ("/a+b", b"/a+b"),
        ] {
            assert_eq!(decode(encoded.as_bytes()).as_deref(), Ok(decoded), "{encoded}");
        }
        for bad in ["/%", "/%2", "/%2g", "/%g2", "/a%00b", "/%u0041", "/a\0b", "/%+1", "/% 1"] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
