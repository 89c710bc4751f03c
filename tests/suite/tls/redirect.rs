//! `--redirect-https` and `--hsts`.

use std::fs;

use super::server::Https;
use crate::process::tool;
use crate::reading::Response;

/// Sends a request over plain HTTP and returns the response.
#[track_caller]
fn plain(https: &Https, request: &str) -> Response {
    let mut client = https.server.connect();
    client.send(request);
    client.end_output();
    let response = client.response();
    client.expect_end();
    response
}

#[test]
fn plain_requests_are_redirected_with_their_path_and_query() {
    let https = Https::start(&["--redirect-https"]);
    let port = https.address.port();
    for (target, host, expected) in [
        ("/", "localhost", "https://localhost:PORT/"),
        ("/a%20b/c.html?q=1&r=%2f", "localhost", "https://localhost:PORT/a%20b/c.html?q=1&r=%2f"),
        ("/nowhere?", "localhost", "https://localhost:PORT/nowhere?"),
        ("/", "localhost:8080", "https://localhost:PORT/"),
        ("/x", "127.0.0.1:80", "https://127.0.0.1:PORT/x"),
        ("/x", "[::1]", "https://[::1]:PORT/x"),
        ("/x", "[::1]:8080", "https://[::1]:PORT/x"),
        ("/x", "name.example.", "https://name.example.:PORT/x"),
        ("http://absolute.test:81/y?z", "absolute.test:81", "https://absolute.test:PORT/y?z"),
        ("//evil.example/", "localhost", "https://localhost:PORT//evil.example/"),
        ("/files/", "localhost", "https://localhost:PORT/files/"),
        ("/.well-known/acme-challenge", "localhost", "https://localhost:PORT/.well-known/acme-challenge"),
        ("/.well-known/other", "localhost", "https://localhost:PORT/.well-known/other"),
    ] {
        for method in ["GET", "POST"] {
            let response = plain(
                &https,
                &format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"),
            );
            let expected = expected.replace("PORT", &port.to_string());
            assert_eq!((response.status, response.field("Location")), (308, Some(&*expected)), "{target}");
            assert_eq!(response.field("Strict-Transport-Security"), None);
        }
    }
    // Over TLS, there is none.
    let Some(page) = https.curl(&[&https.url("/")]) else { return };
    assert_eq!(page.stdout, b"<p>front");
}

#[test]
fn curl_follows_the_redirect_and_repeats_an_upload_over_tls() {
    if tool("curl").is_none() {
        return;
    }
    let https = Https::start(&["--redirect-https"]);
    let plain = |path: &str| format!("http://{}{path}", https.server.address);
    let page = https.curl(&["-L", "-w", "%{num_redirects}", &plain("/")]).unwrap();
    assert_eq!(page.stdout, b"<p>front1");
    let own = https.folder.path().join("own");
    fs::write(&own, super::server::content(300_000)).unwrap();
    let put = ["-L", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}", "-T", own.to_str().unwrap()];
    let stored = https.curl(&[&put[..], &[&plain("/files/stored")]].concat()).unwrap();
    assert_eq!(stored.stdout, b"201 1", "{stored:?}");
    assert_eq!(fs::read(https.library().join("stored")).unwrap(), fs::read(own).unwrap());
}

#[test]
fn uploads_over_plain_http_are_redirected_and_not_stored() {
    let https = Https::start(&["--redirect-https", "--allow-delete", "--overwrite"]);
    fs::write(https.library().join("kept"), "kept").unwrap();
    let form = "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"b\"\r\n\r\nx\r\n--b--\r\n";
    for (head, body) in [
        ("PUT /files/a HTTP/1.1\r\nContent-Length: 3", "abc".to_owned()),
        ("PUT /files/a HTTP/1.1\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n".to_owned()),
        ("PUT /files/kept HTTP/1.1\r\nContent-Length: 3", "abc".to_owned()),
        (
            &format!(
                "POST /files/ HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}",
                form.len()
            ),
            form.to_owned(),
        ),
        ("DELETE /files/kept HTTP/1.1", String::new()),
        ("PATCH /files/a HTTP/1.1\r\nContent-Length: 3", "abc".to_owned()),
    ] {
        let response = plain(&https, &format!("{head}\r\nHost: localhost\r\n\r\n{body}"));
        assert_eq!(response.status, 308, "{head}");
    }
    // A client that waits for 100 Continue need not send its body.
    let response = plain(
        &https,
        "PUT /files/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(response.status, 308);
    let names: Vec<_> =
        fs::read_dir(https.library()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["kept"]);
    assert_eq!(fs::read(https.library().join("kept")).unwrap(), b"kept");
}

#[test]
fn a_request_without_a_host_cannot_be_redirected() {
    let https = Https::start(&["--redirect-https"]);
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost:\r\n\r\n"] {
        let response = plain(&https, request);
        assert_eq!((response.status, response.field("Location")), (400, None), "{request:?}");
    }
    let response = plain(&https, "GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert_eq!(response.status, 308);
}

#[test]
fn a_host_cannot_add_fields_or_leave_the_place_of_the_host() {
    let https = Https::start(&["--redirect-https"]);
    for host in ["a/b", "a?b", "a#b", "a@b", "a b", "a\\b", "a\tb", "[::1", "a:b:80", "\u{e9}"] {
        let response = plain(&https, &format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!((response.status, response.field("Location")), (400, None), "{host:?}: {response:?}");
    }
}

#[test]
fn an_authority_reads_challenges_over_plain_http() {
    let https = Https::start(&["--redirect-https"]);
    let challenges = https.server.site.path().join(".well-known/acme-challenge");
    fs::create_dir_all(&challenges).unwrap();
    fs::write(challenges.join("token_1-x"), "token_1-x.thumbprint").unwrap();
    // The authority asks with HTTP/1.1 for exactly this path (RFC 8555 section 8.3).
    let get = |path: &str| {
        let mut client = https.server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: example.test\r\n\r\n"));
        client.response()
    };
    let challenge = get("/.well-known/acme-challenge/token_1-x");
    assert_eq!((challenge.status, challenge.text()), (200, "token_1-x.thumbprint"));
    assert_eq!(challenge.field("Strict-Transport-Security"), None);
    assert_eq!(get("/.well-known/acme-challenge/missing").status, 404);
    // The exception is no way around the redirect.
    for path in [
        "/.well-known/acme-challenge/..",
        "/.well-known/acme-challenge/../../index.html",
        "/.well-known/acme-challenge/%2e%2e/%2e%2e/index.html",
    ] {
        assert_eq!(get(path).status, 308, "{path}");
    }
}

#[test]
fn hsts_is_in_every_response_over_tls_and_in_none_over_plain_http() {
    for redirect in [false, true] {
        let https =
            Https::start(if redirect { &["--hsts", "30d", "--redirect-https"] } else { &["--hsts", "30d"] });
        let requests: String =
            ["/", "/", "/large.bin", "/nowhere", "/sub", "/files/", "/.well-known/acme-challenge/x"]
                .iter()
                .map(|path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
                .collect();
        // The page is in the cache after the first round of requests.
        for _ in 0..2 {
            let last = requests.clone() + "bad\r\n\r\n";
            let Some(encrypted) = https.exchange(&last) else { return };
            let found = crate::reading::responses(&encrypted, &[]);
            assert_eq!(found.len(), 8);
            for response in &found {
                assert_eq!(
                    response.field("Strict-Transport-Security"),
                    Some("max-age=2592000"),
                    "{:?}",
                    response.fields
                );
            }
            for request in last.split_inclusive("\r\n\r\n") {
                let mut client = https.server.connect();
                client.send(request);
                assert_eq!(client.response().field("Strict-Transport-Security"), None, "{request:?}");
            }
        }
    }
}

#[test]
fn without_the_option_there_is_no_hsts() {
    let https = Https::start(&[]);
    let Some(page) = https.exchange("GET / HTTP/1.0\r\n\r\n") else { return };
    assert!(!String::from_utf8_lossy(&page).contains("Strict-Transport-Security"));
}
