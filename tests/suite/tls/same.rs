//! The same requests over plain HTTP and over HTTPS get the same responses. To add a request, add a row.

use super::server::{Https, content};
use crate::reading::{Response, responses};

/// Sends the requests on one plain connection.
fn plain(https: &Https, requests: &[u8]) -> Vec<u8> {
    let mut client = https.server.connect();
    client.send(requests);
    client.rest()
}

/// Returns the responses without the values that depend on the time or on chance.
fn comparable(bytes: &[u8], heads: &[bool]) -> Vec<Response> {
    let mut found = responses(bytes, heads);
    for response in &mut found {
        for (name, value) in &mut response.fields {
            if name == "Date" {
                value.clear();
            }
            if let Some((kind, boundary)) = value.clone().split_once("; boundary=") {
                response.body = String::from_utf8_lossy(&response.body).replace(boundary, "").into_bytes();
                *value = kind.to_owned();
            }
        }
    }
    found
}

#[test]
fn plain_and_encrypted_responses_have_the_same_fields_and_bodies() {
    let https = Https::start(&["--list", "--hsts", "1h", "--header", "X-Own: yes"]);
    let site = https.server.site.path();
    std::fs::write(site.join("page.html"), "<p>words ".repeat(9000)).unwrap();
    std::fs::write(https.library().join("stored"), content(100_000)).unwrap();
    let rows = [
        "GET / HTTP/1.1",
        "GET / HTTP/1.1",
        "HEAD /large.bin HTTP/1.1",
        "GET /large.bin HTTP/1.1",
        "GET /1k.txt HTTP/1.1\nRange: bytes=10-19",
        "GET /1k.txt HTTP/1.1\nRange: bytes=10-19,30-39",
        "GET /1k.txt HTTP/1.1\nRange: bytes=5000-",
        "GET /1k.txt HTTP/1.1\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
        "GET /page.html HTTP/1.1\nAccept-Encoding: gzip",
        "GET /page.html HTTP/1.1",
        "GET /sub HTTP/1.1",
        "GET /sub/ HTTP/1.1",
        "GET /nowhere HTTP/1.1",
        "GET /nowhere HTTP/1.1\nAccept: text/html",
        "OPTIONS * HTTP/1.1",
        "POST / HTTP/1.1\nContent-Length: 0",
        "GET /files/ HTTP/1.1",
        "GET /files/ HTTP/1.1\nAccept: application/json",
        "GET /files/stored HTTP/1.1",
        "PUT /files/stored HTTP/1.1\nContent-Length: 0",
        "DELETE /files/stored HTTP/1.1",
        "BREW / HTTP/1.1\nConnection: close",
    ];
    let heads: Vec<bool> = rows.iter().map(|row| row.starts_with("HEAD")).collect();
    let requests: String =
        rows.iter().map(|row| format!("{}\r\nHost: localhost\r\n\r\n", row.replace('\n', "\r\n"))).collect();
    let Some(encrypted) = https.exchange(&requests) else { return };
    let expected = comparable(&plain(&https, requests.as_bytes()), &heads);
    let mut found = comparable(&encrypted, &heads);
    assert_eq!(found.len(), rows.len());
    for ((row, expected), found) in rows.iter().zip(&expected).zip(&mut found) {
        // Every response over TLS has the field, and no other.
        assert_eq!(expected.field("Strict-Transport-Security"), None, "{row}");
        assert_eq!(found.field("Strict-Transport-Security"), Some("max-age=3600"), "{row}");
        found.fields.retain(|(name, _)| name != "Strict-Transport-Security");
        assert!(found.body == expected.body, "{row}");
        assert_eq!((found.status, &found.fields), (expected.status, &expected.fields), "{row}");
    }
}

#[test]
fn http_1_0_and_malformed_requests_get_the_same_responses() {
    let https = Https::start(&[]);
    for request in [
        "GET /1k.txt HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
        "nonsense\r\n\r\n",
        "PUT /files/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ] {
        let Some(encrypted) = https.exchange(request) else { return };
        let (found, expected) =
            (comparable(&encrypted, &[]), comparable(&plain(&https, request.as_bytes()), &[]));
        assert_eq!(found, expected, "{request:?}");
        assert!(!found.is_empty(), "{request:?}");
    }
}

#[test]
fn an_https_url_as_the_target_is_served_over_tls_only() {
    let https = Https::start(&[]);
    let request = "GET https://localhost/1k.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(comparable(&plain(&https, request.as_bytes()), &[])[0].status, 421);
    let Some(encrypted) = https.exchange(request) else { return };
    assert_eq!(comparable(&encrypted, &[])[0].body, [b'k'; 1024]);
    let Some(encrypted) = https.exchange(request.replace("https", "http")) else { return };
    assert_eq!(comparable(&encrypted, &[])[0].status, 200);
}
