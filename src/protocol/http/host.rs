//! The grammar of an authority, as `Host` and absolute targets carry it: RFC 3986 section 3.2.2
//! and RFC 9110 section 7.2.

use std::net::Ipv6Addr;

/// Whether `value` is `uri-host [ ":" port ]`. The empty value is one: it is what a client sends
/// whose target has no authority.
pub fn is_valid(value: &[u8]) -> bool {
    let Some((host, port)) = split(value) else { return false };
    port.is_none_or(is_port) && (is_ip_literal(host) || is_reg_name(host))
}

/// Cuts a port off. `None` when a bracket is not closed.
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

/// `port = *DIGIT` (RFC 3986 section 3.2.3), and one that TCP can have.
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

/// `1*HEXDIG "." 1*( unreserved / sub-delims / ":" )`, behind the `v`.
fn is_ip_future(text: &[u8]) -> bool {
    let Some(dot) = memchr::memchr(b'.', text) else { return false };
    let (version, address) = (&text[..dot], &text[dot + 1..]);
    !version.is_empty()
        && version.iter().all(u8::is_ascii_hexdigit)
        && !address.is_empty()
        && address.iter().all(|byte| *byte == b':' || is_name_byte(*byte))
}

/// `*( unreserved / pct-encoded / sub-delims )`. IPv4 addresses are such names, too.
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

/// unreserved / sub-delims
fn is_name_byte(byte: u8) -> bool {
    // A table: this looks at every byte of every Host.
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
    use super::is_valid;

    #[test]
    fn the_grammar_of_host() {
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
            assert!(is_valid(host.as_bytes()), "{host:?} is a host");
        }
        for host in bad {
            assert!(!is_valid(host.as_bytes()), "{host:?} is no host");
        }
        assert!(!is_valid(b"a\xff") && !is_valid(b"a\0b"));
    }
}
