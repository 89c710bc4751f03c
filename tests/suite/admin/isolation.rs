//! The admin interface and the site do not reach each other: no path of one is served by the other, and options of the
//! site change no response of the admin interface. To add an option, add it to the test of the options.

use std::fs;

use super::{Admin, OPTION};
use crate::process::{Server, small_site, wait_for};

const ADMIN_PATHS: [&str; 7] =
    ["/page.css", "/page.js", "/chart.js", "/events", "/loop.json", "/metrics", "/healthz"];

#[test]
fn the_site_serves_no_path_of_the_admin_interface() {
    let library = tempfile::tempdir().unwrap();
    let files = ["--files", library.path().to_str().unwrap(), "--allow-delete", "--list"];
    let admin = Admin::start(&files);
    for path in ADMIN_PATHS {
        assert_eq!(admin.server.get(path).status, 404, "{path}");
    }
    assert_eq!(admin.server.get("/").text(), "<p>front");
    let mut client = admin.server.connect();
    let field = format!("X-Evserve-Token: {}", admin.token());
    client.send(format!("DELETE /connections/2 HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n"));
    assert_eq!(client.response().status, 405);
    client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

#[test]
fn the_admin_interface_serves_no_file() {
    let library = tempfile::tempdir().unwrap();
    fs::write(library.path().join("kept.txt"), "kept").unwrap();
    let files =
        ["--files", library.path().to_str().unwrap(), "--allow-delete", "--overwrite", "--list", "--spa"];
    let admin = Admin::start(&files);
    for path in [
        "/index.html",
        "/1k.txt",
        "/large.bin",
        "/sub/",
        "/sub",
        "/files/",
        "/files/kept.txt",
        "/session",
        "/time",
        "/..",
        "/%2e%2e/",
        "//",
        "/events/",
        "/healthz/",
        "/Metrics",
    ] {
        let response = admin.request("GET", path, "Accept: text/html\r\n");
        assert!(matches!(response.status, 400 | 404), "{path}: {}", response.status);
    }
    let body = "Content-Length: 3\r\nX-Evserve-Token: ";
    for (method, path) in
        [("PUT", "/files/new.txt"), ("PUT", "/new.txt"), ("POST", "/files/"), ("PATCH", "/files/x")]
    {
        let mut client = admin.connect();
        let fields = format!("{body}{}", admin.token());
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\nabc"));
        assert_eq!(client.response().status, 404, "{method} {path}");
    }
    let token = format!("X-Evserve-Token: {}\r\n", admin.token());
    assert_eq!(admin.request("DELETE", "/files/kept.txt", &token).status, 404);
    assert_eq!(fs::read_dir(library.path()).unwrap().count(), 1);
    assert_eq!(admin.state("")["counters"]["requests"], 0);
}

#[test]
fn options_of_the_site_do_not_change_the_admin_interface() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let site = small_site();
    fs::write(site.path().join("404.html"), "<p>an error page of the site").unwrap();
    let options = [
        "--header",
        "X-Site: yes",
        "--header",
        "Content-Security-Policy: default-src *",
        "--cors",
        "--cache-control",
        "*=max-age=60",
        "--spa",
        "--access-log",
        log.to_str().unwrap(),
        "--file",
        "off",
    ];
    let command = std::process::Command::new(crate::process::PROGRAM);
    let admin = Admin::of(Server::start_with(command, site, &[&OPTION[..], &options].concat()));
    let of_site = admin.server.get("/1k.txt");
    assert_eq!(of_site.field("X-Site"), Some("yes"));
    for path in
        ["/", "/page.css", "/chart.js", "/loop.json", "/metrics", "/healthz", "/missing", "/connections/1"]
    {
        let response = admin.request("GET", path, "Origin: http://evil.example\r\nAccept: text/html\r\n");
        assert_eq!(response.field("X-Site"), None, "{path}");
        assert_eq!(response.field("Access-Control-Allow-Origin"), None, "{path}");
        assert_eq!(response.field("Cache-Control"), Some("no-store"), "{path}");
        assert!(
            response.field("Content-Security-Policy").unwrap().starts_with("default-src 'none'"),
            "{path}"
        );
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"), "{path}");
        assert_eq!(response.field("Cross-Origin-Resource-Policy"), Some("same-origin"), "{path}");
        assert!(!response.text().contains("of the site<"), "{path}");
    }
    admin.server.get("/1k.txt");
    let lines = wait_for("the log", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        (text.lines().count() >= 2).then_some(text)
    });
    assert!(lines.lines().all(|line| line.contains("GET /1k.txt")), "{lines}");
}

#[cfg(feature = "tls")]
#[test]
fn the_admin_interface_is_not_redirected_to_https() {
    let state = tempfile::tempdir().unwrap();
    let options = ["--https", "127.0.0.1:0", "--self-signed", "--redirect-https", "--hsts", "1h", "--state"];
    let admin = Admin::start(&[&options[..], &[state.path().to_str().unwrap()]].concat());
    assert_eq!(admin.server.get("/1k.txt").status, 308);
    for path in ["/", "/metrics", "/loop.json", "/healthz"] {
        let response = admin.get(path);
        assert_eq!((response.status, response.field("Strict-Transport-Security")), (200, None), "{path}");
    }
}
