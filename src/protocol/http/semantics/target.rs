//! The target of a request (RFC 9110 section 7.1): the four forms of the request-target (RFC 9112 section
//! 3.2), the decoding of its path, and the grammar of its authority, which the Host field shares (RFC 3986
//! section 3.2.2, RFC 9110 section 7.2).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::error::HttpError;
use super::grammar::hex;
use super::method::Method;

/// The target of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// A path on this server, from the origin-form or the absolute-form, still percent-encoded. The
    /// authority of an absolute-form is validated and then ignored.
    Path {
        /// The path, which begins with a slash.
        path: &'a [u8],
        /// Whether the path contains no percent-encoding.
        is_plain: bool,
        /// The part after the question mark.
        query: Option<&'a [u8]>,
    },
    /// `*`: the server as a whole.
    Server,
    /// The host and port of a CONNECT.
    Authority,
}

impl<'a> Target<'a> {
    /// Parses the target of a request with this method.
    pub(crate) fn parse(target: &'a [u8], method: Method) -> Result<Target<'a>, HttpError> {
        // Most targets are only a path, which a single search can tell.
        if let [b'/', ..] = target
            && method != Method::Connect
            && memchr::memchr3(b'#', b'?', b'%', target).is_none()
        {
            return Ok(Target::Path { path: target, is_plain: true, query: None });
        }
        if memchr::memchr(b'#', target).is_some() {
            return Err(HttpError::bad_request("The request target contains a fragment"));
        }
        if method == Method::Connect {
            let whole = !target.starts_with(b":") && target.last().is_some_and(u8::is_ascii_digit);
            return match whole && target.contains(&b':') && is_authority(target) {
                true => Ok(Target::Authority),
                false => Err(HttpError::bad_request("The target of CONNECT is not host:port")),
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

    /// Parses `http://authority/path?query` or the same with `https:`. Clients send it to proxies, but a server must
    /// accept it as well (RFC 9112 section 3.2.2).
    fn absolute(target: &'a [u8]) -> Result<Target<'a>, HttpError> {
        let rest = strip_scheme(target, b"http://")
            .or_else(|| strip_scheme(target, HTTPS))
            .ok_or(HttpError::bad_request("The request target is neither a path nor an http URL"))?;
        let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // RFC 9110 section 4.2.1: an empty host is invalid in an http URL.
        if !is_authority(authority) || authority.is_empty() || authority.starts_with(b":") {
            return Err(HttpError::bad_request("The URL's host is malformed"));
        }
        // An empty path means "/". A path must borrow from the target, so this one is a slash of "http://".
        let root = &target[target.len() - rest.len() - 1..][..1];
        Ok(match (Target::path(path), path) {
            (_, []) => Target::Path { path: root, is_plain: true, query: None },
            (Target::Path { query, .. }, [b'?', ..]) => Target::Path { path: root, is_plain: true, query },
            (target, _) => target,
        })
    }
}

const HTTPS: &[u8] = b"https://";

/// Returns whether a target needs a connection with TLS (RFC 9110 section 7.4).
pub(crate) fn needs_tls(target: &[u8]) -> bool {
    !target.starts_with(b"/") && strip_scheme(target, HTTPS).is_some()
}

fn strip_scheme<'a>(target: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = target.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Decodes a path once. A `%` without two hexadecimal digits is an error, and so is a NUL, which no file name
/// can contain.
pub(crate) fn decode(path: &[u8]) -> Result<Cow<'_, [u8]>, HttpError> {
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
            return Err(HttpError::bad_request("The path contains a NUL"));
        }
        decoded.push(byte);
        rest = behind;
    }
    Ok(Cow::Owned(decoded))
}

const BAD_ESCAPE: HttpError =
    HttpError::bad_request("A % in the path is not followed by two hexadecimal digits");

/// Returns the value of a name in a query, without decoding it.
pub(crate) fn query_value<'a>(query: Option<&'a [u8]>, name: &[u8]) -> Option<&'a [u8]> {
    query?.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// Returns whether a query has a name, with or without a value.
pub(crate) fn query_has(query: Option<&[u8]>, name: &[u8]) -> bool {
    let mut pairs = query.unwrap_or_default().split(|byte| *byte == b'&');
    pairs.any(|pair| pair.split(|byte| *byte == b'=').next() == Some(name))
}

/// Returns whether `value` is `uri-host [ ":" port ]`. The empty value is valid: a client sends it if its
/// target has no authority.
pub(crate) fn is_authority(value: &[u8]) -> bool {
    let Some((host, port)) = split(value) else { return false };
    port.is_none_or(is_port) && (is_ip_literal(host) || is_reg_name(host))
}

/// Splits the port off. Returns `None` if a bracket is not closed, or if something other than a port follows
/// the host.
fn split(value: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = match value {
        [b'[', ..] => memchr::memchr(b']', value)? + 1,
        _ => memchr::memchr(b':', value).unwrap_or(value.len()),
    };
    match &value[end..] {
        [] => Some((&value[..end], None)),
        [b':', port @ ..] => Some((&value[..end], Some(port))),
        _ => None,
    }
}

/// Returns whether `port` is `*DIGIT` (RFC 3986 section 3.2.3) and at most 65535.
fn is_port(port: &[u8]) -> bool {
    let mut number = 0_u32;
    port.iter().all(|digit| {
        number = number * 10 + u32::from(digit.wrapping_sub(b'0'));
        digit.is_ascii_digit() && number <= u32::from(u16::MAX)
    })
}

/// `"[" ( IPv6address / IPvFuture ) "]"`
fn is_ip_literal(host: &[u8]) -> bool {
    let Some(inner) = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")) else {
        return false;
    };
    match inner {
        [b'v' | b'V', future @ ..] => is_ip_future(future),
        _ => std::str::from_utf8(inner).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
    }
}

/// `1*HEXDIG "." 1*( unreserved / sub-delims / ":" )`: the part after the `v`.
fn is_ip_future(text: &[u8]) -> bool {
    let Some(dot) = memchr::memchr(b'.', text) else { return false };
    let (version, address) = (&text[..dot], &text[dot + 1..]);
    !version.is_empty()
        && version.iter().all(u8::is_ascii_hexdigit)
        && !address.is_empty()
        && address.iter().all(|byte| *byte == b':' || is_name_byte(*byte))
}

/// `*( unreserved / pct-encoded / sub-delims )`, which includes IPv4 addresses.
fn is_reg_name(host: &[u8]) -> bool {
    let mut rest = host;
    while let Some(odd) = rest.iter().position(|byte| !is_name_byte(*byte)) {
        rest = match &rest[odd..] {
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            _ => return false,
        }
    }
    true
}

/// `unreserved / sub-delims`
fn is_name_byte(byte: u8) -> bool {
    // A table, because every byte of every Host is checked.
    static NAME_BYTES: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = matches!(byte as u8, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~'
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
            byte += 1;
        }
        table
    };
    NAME_BYTES[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::super::status::Status;
    use super::*;

    fn path<'a>(path: &'a str, query: Option<&'a str>) -> Result<Target<'a>, Status> {
        let (is_plain, query) = (!path.contains('%'), query.map(str::as_bytes));
        Ok(Target::Path { path: path.as_bytes(), is_plain, query })
    }

    #[test]
    fn the_four_forms_of_a_target_are_parsed() {
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
            (Get, "https://a", path("/", None)),
            (Get, "HTTPS://a?b", path("/", Some("b"))),
            (Get, "https://a:443/x?y", path("/x", Some("y"))),
            (Get, "https:///a", Err(Status::BadRequest)),
        ];
        for (method, target, expected) in cases {
            let got = Target::parse(target.as_bytes(), method).map_err(|error| error.status);
            assert_eq!(got, expected, "{method:?} {target}");
        }
    }

    #[test]
    fn paths_are_decoded_once_and_strictly() {
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

    #[test]
    fn hosts_are_checked_against_the_grammar() {
        let good: &[&str] = &[
            "",
            "a",
            "example.com",
            "EXAMPLE.com:80",
            "127.0.0.1:7890",
            "a:",
            "a:0",
            "a:00080",
            "a:65535",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]:",
            "[v1.fe:80]",
            "under_score",
            "a%20b",
            "a,b",
            "xn--bcher-kva.de",
        ];
        let bad: &[&str] = &[
            " ",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "user@a:80",
            "a:b",
            "a:-1",
            "a:+1",
            "a:65536",
            "a:1:2",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[::1]x",
            "[::1]80",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "[v.x]",
            "[v1.]",
            "[vg.x]",
            "a%",
            "a%2",
            "a%zz",
            "a\\b",
            "\"a\"",
            "a<b",
            "a\u{e9}",
            "a, b",
            "http://a",
        ];
        for host in good {
            assert!(is_authority(host.as_bytes()), "{host:?} is a host");
        }
        for host in bad {
            assert!(!is_authority(host.as_bytes()), "{host:?} is no host");
        }
        assert!(!is_authority(b"a\xff") && !is_authority(b"a\0b"));
    }
}
