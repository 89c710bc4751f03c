//! A scan with `sslscan`: only TLS 1.2 and 1.3, with strong ciphers and without old features.

use super::server::{Https, printed, warnings};
use crate::process::{output, tool};

#[test]
fn a_scan_finds_no_old_versions_ciphers_or_features() {
    let Some(sslscan) = tool("sslscan") else { return };
    let https = Https::start(&[]);
    let address = https.address.to_string();
    let found = output(&sslscan, &["--no-colour", "--timeout=2", "--sni-name=localhost", &address]);
    for expected in [
        "SSLv2     disabled",
        "SSLv3     disabled",
        "TLSv1.0   disabled",
        "TLSv1.1   disabled",
        "TLSv1.2   enabled",
        "TLSv1.3   enabled",
        "Session renegotiation not supported",
        "TLSv1.3 not vulnerable to heartbleed",
        "TLSv1.2 not vulnerable to heartbleed",
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let ciphers: Vec<&str> =
        found.lines().filter(|line| line.starts_with("Preferred") || line.starts_with("Accepted")).collect();
    assert!(ciphers.len() >= 6, "{found}");
    for line in &ciphers {
        let is_authenticated = line.contains("GCM") || line.contains("CHACHA20");
        let is_ephemeral = line.contains("TLSv1.3") || line.contains("ECDHE");
        assert!(is_authenticated && is_ephemeral, "{line}");
    }
    // This sslscan may be built without zlib; openssl says what was negotiated.
    if let Some(session) = https.s_client(&["-tls1_2"], b"GET / HTTP/1.0\r\n\r\n") {
        let shown = printed(&session);
        assert!(
            shown.contains("Compression: NONE") && shown.contains("Secure Renegotiation IS supported"),
            "{shown}"
        );
    }
    assert_eq!(warnings(&https.server.lines()), [""; 0]);
    assert_eq!(https.server.get("/").status, 200);
}
