//! Addresses in responses (RFC 3986): how names are percent-encoded, and where a redirect leads.

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// The bytes that are not `pchar` (RFC 3986 section 3.3).
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

/// The bytes that a query, which comes encoded, may not contain all the same: the query percent-encode set
/// of the WHATWG's URL Standard.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// The address of a folder: the path with a slash at its end, so that the folder's relative links lead
/// into it. The path is put together again: doubled slashes, which a browser would take for another host,
/// are gone.
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
}
