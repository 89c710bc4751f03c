//! URIs in responses (RFC 3986): the percent-encoding of names, and the addresses of redirects.

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// The ASCII bytes that are encoded in a path segment, because they are not `pchar` (RFC 3986 section 3.3).
pub(crate) const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The ASCII bytes that are encoded in a query, although clients should send it encoded: the query
/// percent-encode set of the WHATWG's URL Standard.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// Returns the address of a folder: its path with a slash at the end, so that relative links resolve within
/// the folder. Repeated slashes are removed, because a browser takes what follows a leading `//` for a host.
pub(crate) fn folder_address(path: &[u8], query: Option<&[u8]>) -> String {
    let mut address = String::from("/");
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        address.extend(percent_encode(name, SEGMENT));
        address.push('/');
    }
    if let Some(query) = query {
        address.push('?');
        address.extend(percent_encode(query, QUERY));
    }
    address
}

/// Returns the host of an authority without its port (RFC 3986 section 3.2).
pub(crate) fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// Returns the address of the same resource over HTTPS on `port`, or `None` without a host.
pub(crate) fn https_address(host: &[u8], port: u16, path: &[u8], query: Option<&[u8]>) -> Option<String> {
    let name = host_name(std::str::from_utf8(host).ok()?);
    if name.is_empty() {
        return None;
    }
    let mut address = format!("https://{name}");
    if port != 443 {
        address.push_str(&format!(":{port}"));
    }
    address.extend(percent_encode(path, QUERY));
    if let Some(query) = query {
        address.push('?');
        address.extend(percent_encode(query, QUERY));
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_this_host_and_are_encoded() {
        let location =
            |path: &str, query: Option<&str>| folder_address(path.as_bytes(), query.map(str::as_bytes));
        assert_eq!(location("/a", None), "/a/");
        assert_eq!(location("//evil.example", None), "/evil.example/");
        assert_eq!(location("/a b/\r\nX: y", Some("q=%20\"x")), "/a%20b/%0D%0AX:%20y/?q=%20%22x");
        assert_eq!(location("/\\evil", None), "/%5Cevil/");
        assert_eq!(location("/é%", None), "/%C3%A9%25/");
    }
    #[test]
    fn https_addresses_keep_the_host_path_and_query_and_name_a_port_other_than_443() {
        let address = |host: &str, port, path: &str, query: Option<&str>| {
            https_address(host.as_bytes(), port, path.as_bytes(), query.map(str::as_bytes))
        };
        for (host, port, expected) in [
            ("a.test", 443, "https://a.test/"),
            ("a.test", 8443, "https://a.test:8443/"),
            ("a.test:80", 443, "https://a.test/"),
            ("a.test:", 443, "https://a.test/"),
            ("127.0.0.1:8080", 8443, "https://127.0.0.1:8443/"),
            ("[::1]", 443, "https://[::1]/"),
            ("[::1]:8080", 443, "https://[::1]/"),
            ("[::1]:8080", 8443, "https://[::1]:8443/"),
        ] {
            assert_eq!(address(host, port, "/", None).as_deref(), Some(expected), "{host} {port}");
        }
        let full = address("a", 443, "/b%20c//d", Some("e=%2f&\"<"));
        assert_eq!(full.as_deref(), Some("https://a/b%20c//d?e=%2f&%22%3C"));
        assert_eq!((address("", 443, "/", None), address(":80", 443, "/", None)), (None, None));
        assert_eq!(https_address(b"\xff", 443, b"/", None), None);
    }
}
