//! Parses responses as a strict client does. Tests check them with `Response::field`, `closes` and `text`.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of a field, which must not occur twice.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// Returns whether the response has `Connection: close`.
    pub fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

/// Removes a response from the front of `bytes`, or returns `None` if it is incomplete. `head_only` is set
/// for the response to a HEAD.
pub fn take_response(bytes: &mut &[u8], head_only: bool) -> Option<Response> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head of text");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().expect("a status line");
    let status = status_line.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("no response: {head:?}"));
    let status: u16 = status[..3].parse().expect("a status");
    let fields: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut response = Response { status, fields, body: Vec::new() };
    let length = match response.field("Content-Length") {
        Some(length) if !head_only => length.parse().expect("a length"),
        Some(_) => 0,
        None if response.field("Transfer-Encoding").is_some() && !head_only => {
            let mut rest = &bytes[end + 4..];
            response.body = take_chunks(&mut rest)?;
            *bytes = rest;
            return Some(response);
        }
        None if head_only => 0,
        None => {
            assert!(matches!(status, 204 | 304), "a response without a length: {head:?}");
            0
        }
    };
    let rest = &bytes[end + 4..];
    response.body = rest.get(..length)?.to_vec();
    *bytes = &rest[length..];
    Some(response)
}

/// Removes a chunked body (RFC 9112 section 7.1) from the front of `bytes`, or returns `None` if it is
/// incomplete.
fn take_chunks(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).expect("a size of text");
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no size: {size:?}"));
        let chunk = bytes.get(end + 2..end + 2 + size + 2)?;
        assert!(chunk.ends_with(b"\r\n"), "a chunk without an end");
        body.extend_from_slice(&chunk[..size]);
        *bytes = &bytes[end + 2 + size + 2..];
        if size == 0 {
            return Some(body);
        }
    }
}

/// Parses all responses in `bytes` and panics if the last one is incomplete. `heads` tells which requests
/// were HEAD.
pub fn responses(mut bytes: &[u8], heads: &[bool]) -> Vec<Response> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let head_only = heads.get(found.len()).copied().unwrap_or(false);
        let Some(response) = take_response(&mut bytes, head_only) else {
            panic!("half a response: {:?}", String::from_utf8_lossy(bytes));
        };
        found.push(response);
    }
    found
}
