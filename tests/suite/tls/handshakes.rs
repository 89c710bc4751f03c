//! Handshakes of `openssl s_client`: versions, resumption, early data, protocol names, and pipelined requests.

use rustix::process::Signal;

use super::server::{Https, printed, standard_pair};
use crate::process::{at_once, tool};
use crate::reading::responses;

const GET: &[u8] = b"GET /1k.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The options of openssl for each version of TLS, and the name of the version.
const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

#[test]
fn openssl_verifies_the_chain_over_both_versions() {
    if tool("openssl").is_none() {
        return;
    }
    let https = Https::start(&[]);
    for (option, version) in VERSIONS {
        let output = https.s_client(&[option, "-verify_hostname", "localhost"], GET).unwrap();
        let printed = printed(&output);
        assert!(printed.contains(&format!("New, {version}, Cipher is")), "{printed}");
        assert!(printed.contains("Verify return code: 0 (ok)"), "{printed}");
        assert!(printed.contains("HTTP/1.1 200 OK") && printed.contains(&"k".repeat(1024)), "{printed}");
        assert!(!printed.contains("unexpected eof") && output.status.success(), "{printed}");
    }
}

#[test]
fn sessions_are_resumed_over_both_versions_and_after_a_renewal() {
    if tool("openssl").is_none() {
        return;
    }
    for (option, version) in VERSIONS {
        let https = Https::start(&[]);
        let file = https.folder.path().join(version);
        let file = file.to_str().unwrap();
        let first = printed(&https.s_client(&[option, "-sess_out", file], GET).unwrap());
        assert!(first.contains(&format!("New, {version}")), "{first}");
        let again = printed(&https.s_client(&[option, "-sess_in", file], GET).unwrap());
        assert!(again.contains(&format!("Reused, {version}")), "{again}");
        assert!(again.contains(&"k".repeat(1024)), "{again}");
        // A new certificate does not end the sessions.
        let folder = https.folder.path();
        let renewed = standard_pair(&https.authority, folder, &format!("renewed{option}"), 2);
        std::fs::rename(renewed.key, &https.pair.key).unwrap();
        std::fs::rename(renewed.certificate, &https.pair.certificate).unwrap();
        https.server.signal(Signal::HUP);
        https.server.wait_for_line("read the certificates again");
        let again = printed(&https.s_client(&[option, "-sess_in", file], GET).unwrap());
        assert!(again.contains(&format!("Reused, {version}")) && again.contains("200 OK"), "{again}");
    }
}

#[test]
fn a_ticket_of_another_server_starts_a_new_session() {
    if tool("openssl").is_none() {
        return;
    }
    let (one, other) = (Https::start(&[]), Https::start(&[]));
    for (option, version) in VERSIONS {
        let file = one.folder.path().join(version);
        let file = file.to_str().unwrap();
        one.s_client(&[option, "-sess_out", file], GET).unwrap();
        let again = printed(&other.s_client(&[option, "-sess_in", file], GET).unwrap());
        assert!(again.contains(&format!("New, {version}")) && again.contains("200 OK"), "{again}");
    }
}

#[test]
fn early_data_is_not_offered() {
    if tool("openssl").is_none() {
        return;
    }
    let https = Https::start(&[]);
    let path = |name: &str| https.folder.path().join(name).to_str().unwrap().to_owned();
    let (session, early) = (path("session"), path("early"));
    std::fs::write(&early, GET).unwrap();
    let first = printed(&https.s_client(&["-tls1_3", "-sess_out", &session], GET).unwrap());
    assert!(first.contains("Max Early Data: 0"), "{first}");
    // A client whose ticket allows none sends none.
    let arguments = ["-tls1_3", "-sess_in", &session, "-early_data", &early];
    let again = printed(&https.s_client(&arguments, GET).unwrap());
    assert!(
        again.contains("Early data was not sent") || again.contains("Early data was rejected"),
        "{again}"
    );
    assert_eq!(again.matches("HTTP/1.1 200 OK").count(), 1, "{again}");
}

#[test]
fn http_1_1_and_http_1_0_are_the_protocol_names() {
    if tool("openssl").is_none() {
        return;
    }
    let https = Https::start(&[]);
    for (offered, expected) in [
        ("http/1.1", Ok("http/1.1")),
        ("h2,http/1.1", Ok("http/1.1")),
        ("http/1.0", Ok("http/1.0")),
        ("http/1.0,http/1.1", Ok("http/1.1")),
        ("h2", Err("alert")),
    ] {
        let printed = printed(&https.s_client(&["-alpn", offered], GET).unwrap());
        match expected {
            Ok(name) => assert!(printed.contains(&format!("ALPN protocol: {name}")), "{offered}: {printed}"),
            Err(word) => {
                assert!(printed.contains(word) && !printed.contains("200 OK"), "{offered}: {printed}")
            }
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    if tool("openssl").is_none() {
        return;
    }
    let https = Https::start(&[]);
    let paths = ["/", "/1k.txt", "/nowhere", "/large.bin"].repeat(20);
    let mut requests: String =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
    requests += std::str::from_utf8(GET).unwrap();
    at_once(VERSIONS, |(option, _)| {
        let output = https.s_client(&[option, "-quiet"], requests.as_bytes()).unwrap();
        let found = responses(&output.stdout, &[]);
        let lengths: Vec<_> = found.iter().map(|response| (response.status, response.body.len())).collect();
        let not_found = lengths[2].1;
        let round = [(200, 8), (200, 1024), (404, not_found), (200, 5_000_000)];
        assert_eq!(lengths, [&round.repeat(20)[..], &[(200, 1024)]].concat());
        assert!(found[79].body == crate::process::large_file());
    });
}
