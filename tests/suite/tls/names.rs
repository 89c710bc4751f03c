//! The choice of a certificate by the client's name (SNI) and its signature algorithms.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

use super::certificates::serial;
use super::server::{Https, printed, standard_pair};
use crate::process::tool;

/// Returns the subject of the certificate that `openssl s_client` gets with these options.
fn subject(https: &Https, arguments: &[&str]) -> String {
    let printed = printed(&https.s_client(arguments, b"GET / HTTP/1.0\r\n\r\n").expect("openssl"));
    let line = printed.lines().find_map(|line| line.strip_prefix("subject=CN = "));
    line.unwrap_or_else(|| panic!("no certificate: {printed}")).to_owned()
}

#[test]
fn the_name_selects_the_certificate_and_an_unknown_name_gets_the_first() {
    if tool("openssl").is_none() {
        return;
    }
    let https = Https::start_with(
        |folder, authority, first| {
            let wildcard = authority.issue(folder, "wildcard", &["*.example.test", "example.test"]);
            let second = authority.issue(folder, "second", &["second.test"]);
            [first, &wildcard, &second].iter().flat_map(|pair| pair.options().map(str::to_owned)).collect()
        },
        &[],
    );
    for (name, expected) in [
        ("localhost", "standard"),
        ("www.example.test", "wildcard"),
        ("WWW.Example.TEST", "wildcard"),
        ("example.test", "wildcard"),
        ("second.test", "second"),
        // A wildcard stands for one label.
        ("a.b.example.test", "standard"),
        ("www.second.test", "standard"),
        ("unknown.test", "standard"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            assert_eq!(subject(&https, &[version, "-servername", name]), expected, "{name} {version}");
        }
    }
    assert_eq!(subject(&https, &["-noservername"]), "standard");
}

#[test]
fn the_signature_algorithms_select_between_rsa_and_ecdsa() {
    if tool("openssl").is_none() {
        return;
    }
    let https = Https::start_with(
        |folder, authority, _| {
            let pairs = [("rsa", &PKCS_RSA_SHA256), ("ecdsa", &PKCS_ECDSA_P256_SHA256)]
                .map(|(name, kind)| authority.issue_with(folder, name, &["both.test"], kind, serial(2)));
            // The first of all has another name.
            let first = standard_pair(authority, folder, "first", 1);
            [&first, &pairs[0], &pairs[1]].iter().flat_map(|pair| pair.options().map(str::to_owned)).collect()
        },
        &[],
    );
    for (algorithms, expected) in [
        ("ecdsa_secp256r1_sha256", "ecdsa"),
        ("rsa_pss_rsae_sha256", "rsa"),
        ("ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256", "rsa"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let found = subject(&https, &[version, "-servername", "both.test", "-sigalgs", algorithms]);
            assert_eq!(found, expected, "{algorithms} {version}");
        }
    }
}
