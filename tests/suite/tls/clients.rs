//! Common clients over HTTPS: curl, wget and Python. To add a client, run it with `Https::curl` and its kind.

use std::fs;
use std::process::Command;

use super::server::{Https, LARGE, address_in, content, successful};
use crate::process::{at_once, output, tool};

/// Runs curl, which must succeed, and returns its standard output.
#[track_caller]
fn curl(https: &Https, arguments: &[&str]) -> String {
    let output = https.curl(arguments).expect("curl");
    String::from_utf8(successful(output).stdout).unwrap()
}

/// The options of curl for each version of TLS.
const VERSIONS: [&[&str]; 2] = [&["--tlsv1.2", "--tls-max", "1.2"], &["--tlsv1.3"]];

#[test]
fn curl_gets_pages_parts_heads_and_304_over_every_version() {
    if tool("curl").is_none() {
        return;
    }
    let https = Https::start(&[]);
    let url = |path: &str| https.url(path);
    at_once(VERSIONS, |version| {
        let curl = |arguments: &[&str]| curl(&https, &[version, arguments].concat());
        assert_eq!(curl(&[&url("/")]), "<p>front");
        assert_eq!(curl(&[&url("/").replace("127.0.0.1", "localhost")]), "<p>front");
        assert_eq!(curl(&["-r", "3-5", &url("/")]), "fro");
        let parts = curl(&["-r", "0-1,5-6", &url("/")]);
        assert!(parts.contains("\r\n\r\n<p\r\n--") && parts.contains("\r\n\r\non\r\n--"), "{parts}");
        let head = curl(&["-I", &url("/large.bin")]);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 5000000\r\n"));
        let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
        let condition = format!("If-None-Match: {tag}");
        let code = ["-o", "/dev/null", "-w", "%{http_code} %{http_version} %{ssl_verify_result}"];
        assert_eq!(curl(&[&code[..], &["-H", &condition, &url("/large.bin")]].concat()), "304 1.1 0");
        assert_eq!(curl(&[&code[..], &[&url("/nowhere")]].concat()), "404 1.1 0");
        assert_eq!(curl(&["-0", &url("/")]), "<p>front");
        let connects = ["-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} "];
        assert_eq!(curl(&[&connects[..], &[&url("/1k.txt"), &url("/")]].concat()), "1 0 ");
    });
}

#[test]
fn curl_stores_and_gets_the_same_10_mib_over_every_version() {
    if tool("curl").is_none() {
        return;
    }
    let https = Https::start(&[]);
    let large = content(LARGE);
    let (own, library) = (https.folder.path().join("own"), https.library());
    fs::write(&own, &large).unwrap();
    let own = own.to_str().unwrap();
    let ways: [&[&str]; 4] = [&[], &["-H", "Expect:"], &["-H", "Transfer-Encoding: chunked"], &["-0"]];
    let cases = VERSIONS.iter().flat_map(|version| ways.iter().enumerate().map(move |way| (version, way)));
    at_once(cases, |(version, (number, way))| {
        let name = format!("{}-{number}", version.len());
        let url = https.url(&format!("/files/{name}"));
        let put = [*version, *way, &["-o", "/dev/null", "-w", "%{http_code}", "-T", own, &url]].concat();
        // HTTP/1.0 has no 100 Continue and no chunks.
        assert_eq!(curl(&https, &put), "201", "{version:?} {way:?}");
        assert!(fs::read(library.join(&name)).unwrap() == large, "{version:?} {way:?}");
        let copy = https.folder.path().join(format!("copy-{name}"));
        curl(&https, &[*version, &["-o", copy.to_str().unwrap(), &url]].concat());
        assert!(fs::read(copy).unwrap() == large, "{version:?}");
    });
    at_once(VERSIONS, |version| {
        let name = format!("form-{}", version.len());
        let file = format!("files=@{own};filename={name}");
        let form = ["-o", "/dev/null", "-w", "%{http_code}", "-H", "Accept: application/json", "-F", &file];
        assert_eq!(curl(&https, &[version, &form, &[&https.url("/files/")]].concat()), "201");
        assert!(fs::read(library.join(&name)).unwrap() == large, "{version:?}");
    });
}

#[test]
fn curl_resumes_a_download_and_sends_a_rejected_upload() {
    if tool("curl").is_none() {
        return;
    }
    let https = Https::start(&["--max-upload", "1M"]);
    let large = content(LARGE);
    fs::write(https.server.site.path().join("10m"), &large).unwrap();
    let copy = https.folder.path().join("copy");
    fs::write(&copy, &large[..1_234_567]).unwrap();
    curl(&https, &["-C", "-", "-o", copy.to_str().unwrap(), &https.url("/10m")]);
    assert!(fs::read(&copy).unwrap() == large);
    for expect in ["Expect: 100-continue", "Expect:"] {
        let put = ["-o", "/dev/null", "-w", "%{http_code}", "-H", expect, "-T", copy.to_str().unwrap()];
        assert_eq!(curl(&https, &[&put[..], &[&https.url("/files/x")]].concat()), "413", "{expect}");
    }
}

#[test]
fn curl_rejects_the_certificate_under_another_authority_or_name() {
    if tool("curl").is_none() {
        return;
    }
    let https = Https::start(&[]);
    let other = super::certificates::Authority::new(https.folder.path(), "other");
    let other = other.certificate.to_str().unwrap();
    assert_eq!(https.curl(&["--cacert", other, &https.url("/")]).unwrap().status.code(), Some(60));
    let port = https.address.port();
    let (resolve, url) = (format!("wrong.test:{port}:127.0.0.1"), format!("https://wrong.test:{port}/"));
    assert_eq!(https.curl(&["--resolve", &resolve, &url]).unwrap().status.code(), Some(60));
}

#[test]
fn wget_gets_10_mib_and_continues_a_part() {
    let Some(wget) = tool("wget") else { return };
    let https = Https::start(&[]);
    let large = content(LARGE);
    fs::write(https.server.site.path().join("10m"), &large).unwrap();
    at_once(["TLSv1_2", "TLSv1_3"], |version| {
        let copy = https.folder.path().join(version);
        let own = ["-q", "--ca-certificate", https.authority_file(), "--secure-protocol", version];
        let (path, url) = (copy.to_str().unwrap(), https.url("/10m"));
        output(&wget, &[&own[..], &["-O", path, &url]].concat());
        assert!(fs::read(&copy).unwrap() == large, "{version}");
        fs::remove_file(&copy).unwrap();
        let folder = https.folder.path().join(format!("continued-{version}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("10m"), &large[..4_000_001]).unwrap();
        let status = Command::new(&wget).args(own).args(["-c", &url]).current_dir(&folder).status().unwrap();
        assert!(status.success() && fs::read(folder.join("10m")).unwrap() == large, "{version}");
    });
}

#[test]
fn python_keeps_a_connection_and_both_ends_close_it_in_order() {
    let script = "
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context = ssl.create_default_context(cafile=sys.argv[2])
    context.minimum_version = context.maximum_version = version
    client = http.client.HTTPSConnection('localhost', PORT, timeout=20, context=context)
    body = b'0123456789' * (1 << 20)
    name = f'/files/{version}'
    for method, path, content, expected in [
        ('GET', '/', None, (200, b'<p>front')),
        ('HEAD', '/1k.txt', None, (200, b'')),
        ('PUT', name, body, (201, None)),
        ('GET', name, None, (200, body)),
        ('GET', '/nowhere', None, (404, None)),
        ('GET', '/1k.txt', None, (200, b'k' * 1024)),
    ]:
        client.request(method, path, content)
        ours = client.sock.getsockname()
        response = client.getresponse()
        received = response.read()
        assert response.status == expected[0], (path, response.status)
        assert expected[1] is None or received == expected[1], path
        assert client.sock.getsockname() == ours
    assert client.sock.version() == {771: 'TLSv1.2', 772: 'TLSv1.3'}[version], client.sock.version()
    # We close first: unwrap sends close_notify and waits for that of the server.
    client.sock.unwrap().close()
    # The server closes first: the end is a close_notify, not a bare FIN.
    with connect(context) as client:
        client.sendall(b'GET / HTTP/1.1\\r\\nHost: h\\r\\nConnection: close\\r\\n\\r\\n')
        received = b''
        while part := client.recv(65536):
            received += part
        assert received.endswith(b'<p>front')
        client.unwrap()
print('done')";
    let https = Https::start(&[]);
    let Some(output) = https.python(script, &[], b"") else { return };
    assert_eq!(successful(output).stdout, b"done\n");
}

#[test]
fn the_file_protocol_works_over_tls_without_a_protocol_name() {
    let https = Https::start(&["--file-tls", "0"]);
    let address = address_in(&https.server.wait_for_line("listening file-tls"));
    let script = "
PORT = int(sys.argv[3])
body = bytes(range(256)) * 4000
with connect() as client:
    lines = client.makefile('rwb')
    lines.write(b'PUT %d a.bin\\r\\n' % len(body) + body + b'GET a.bin\\r\\nQUIT\\r\\n')
    lines.flush()
    said = lines.readline(), lines.readline()
    assert all(line.startswith(b'OK') for line in said), said
    assert lines.read(len(body)) == body
    assert client.selected_alpn_protocol() is None
    # QUIT is answered, and the end is close_notify.
    assert lines.readline().startswith(b'OK') and lines.read() == b''";
    let port = address.port().to_string();
    let Some(output) = https.python(script, &[&port], b"") else { return };
    successful(output);
    assert_eq!(fs::read(https.library().join("a.bin")).unwrap().len(), 256 * 4000);
}
