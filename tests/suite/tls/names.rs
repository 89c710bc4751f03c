//! Certificates and keys of every kind and format, and the choice among them by the client's name (SNI) and its
//! signature algorithms.

use std::fs;
use std::path::Path;

use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
};

use super::certificates::serial;
use super::server::{Https, printed, standard_pair};
use crate::process::{Server, at_once, output, tool};

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

#[test]
fn every_kind_of_key_is_used_over_both_versions() {
    if tool("openssl").is_none() {
        return;
    }
    at_once(
        [
            ("p256", &PKCS_ECDSA_P256_SHA256),
            ("p384", &PKCS_ECDSA_P384_SHA384),
            ("p521", &PKCS_ECDSA_P521_SHA512),
            ("ed25519", &PKCS_ED25519),
            ("rsa", &PKCS_RSA_SHA256),
        ],
        |(name, kind)| {
            let https = Https::start_with(
                |folder, authority, _| {
                    let pair = authority.issue_with(folder, name, &["localhost"], kind, serial(2));
                    pair.options().map(str::to_owned).to_vec()
                },
                &[],
            );
            for version in ["-tls1_2", "-tls1_3"] {
                let shown = https.s_client(&[version, "-verify_return_error"], b"GET / HTTP/1.0\r\n\r\n");
                let shown = printed(&shown.unwrap());
                assert!(shown.contains("Verify return code: 0") && shown.contains("<p>front"), "{shown}");
            }
        },
    );
}

/// Starts a server with these contents of the two files, and asserts that a client gets a page.
#[track_caller]
fn accepts(https: &Https, what: &str, certificate: &str, key: &str) {
    let [cert_file, key_file] =
        ["cert", "key"].map(|name| https.folder.path().join(format!("{what}-{name}")));
    fs::write(&cert_file, certificate).unwrap();
    fs::write(&key_file, key).unwrap();
    let options = ["--http", "0", "--https", "0", "--file", "off"];
    let files = ["--cert", cert_file.to_str().unwrap(), "--key", key_file.to_str().unwrap()];
    let server = Server::start(&[&options[..], &files].concat());
    let url = server.wait_for_line("listening https").rsplit(' ').next().unwrap().to_owned();
    let page = https.curl(&[&url]).unwrap();
    assert_eq!(page.stdout, b"<p>front", "{what}: {}", printed(&page));
}

#[test]
fn keys_and_chains_are_read_in_the_formats_of_common_programs() {
    let Some(openssl) = tool("openssl").filter(|_| tool("curl").is_some()) else { return };
    let https = Https::start(&[]);
    let hosts = ["localhost", "127.0.0.1"];
    let rsa = https.authority.issue_with(https.folder.path(), "rsa", &hosts, &PKCS_RSA_SHA256, |_| {});
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let convert = |path: &Path, arguments: &[&str]| {
        output(&openssl, &[&[arguments[0], "-in", path.to_str().unwrap()], &arguments[1..]].concat())
    };
    let (certificate, key) = (read(&https.pair.certificate), read(&https.pair.key));
    let sec1 = convert(&https.pair.key, &["ec"]);
    assert!(sec1.contains("BEGIN EC PRIVATE KEY"), "{sec1}");
    let pkcs1 = convert(&rsa.key, &["rsa", "-traditional"]);
    assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"), "{pkcs1}");
    let parameters = output(&openssl, &["ecparam", "-name", "prime256v1"]);
    let text = convert(&https.pair.certificate, &["x509", "-text"]);
    let authority = read(&https.authority.certificate);
    let (both, chain) = (format!("{key}{certificate}"), format!("{certificate}{authority}"));
    let crlf = |text: &str| text.replace("\r\n", "\n").replace('\n', "\r\n");
    at_once(
        [
            ("sec1", &certificate, &sec1),
            ("pkcs1", &read(&rsa.certificate), &pkcs1),
            ("parameters", &certificate, &(parameters + &sec1)),
            ("text", &text, &key),
            ("chain", &chain, &key),
            ("both", &both, &both),
            ("crlf", &crlf(&certificate), &crlf(&key)),
            ("no-last-line-end", &certificate.trim_end().to_owned(), &key.trim_end().to_owned()),
            ("empty-lines", &format!("\n\n{certificate}\n"), &format!("\n{key}\n\n")),
        ],
        |(what, certificate, key)| accepts(&https, what, certificate, key),
    );
}
