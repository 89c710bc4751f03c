//! Starts with certificates and keys that cannot be used, or that clients will reject. To add a case, add a row
//! (arguments, the file that is named, words) to `unusable_files_are_reported_in_one_line`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, date_time_ymd};

use super::certificates::{Authority, Pair};
use super::server::{Https, NOWHERE, standard_pair, warnings};
use crate::process::{output, run, small_site, tool};

/// The files of a test.
struct Files {
    folder: tempfile::TempDir,
    pair: Pair,
    other: Pair,
    authority: Authority,
}

impl Files {
    fn new() -> Files {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        let pair = standard_pair(&authority, folder.path(), "pair", 1);
        let other = standard_pair(&authority, folder.path(), "other", 2);
        Files { folder, pair, other, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

/// Runs a server with HTTPS and these options, which has to fail. Returns the line that says why.
#[track_caller]
fn failure(arguments: &[&str]) -> String {
    let site = small_site();
    let own = ["--html", site.path().to_str().unwrap(), "--https", NOWHERE, "--file", "off"];
    super::server::failure(&[&own[..], arguments].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn unusable_files_are_reported_in_one_line() {
    let files = Files::new();
    let (certificate, key) = (&files.pair.certificate, &files.pair.key);
    let sub = files.path("sub");
    fs::create_dir(&sub).unwrap();
    let (missing, empty) = (files.path("missing"), files.write("empty", ""));
    let garbage = files.write("garbage", [0xfe; 5000]);
    let no_base64 =
        files.write("no-base64", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    let no_x509 = files.write("no-x509", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let no_key = files.write("no-key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let encrypted = files.path("encrypted");
    let mut rows = vec![
        (vec![&missing, key], &missing, "cannot read the certificate"),
        (vec![certificate, &missing], &missing, "cannot read the key"),
        (vec![&sub, key], &sub, "is a folder"),
        (vec![certificate, &sub], &sub, "is a folder"),
        (vec![&empty, key], &empty, "holds no certificate"),
        (vec![certificate, &empty], &empty, "holds no private key"),
        (vec![&garbage, key], &garbage, "holds no certificate"),
        (vec![certificate, &garbage], &garbage, "holds no private key"),
        (vec![&no_base64, key], &no_base64, "is no valid PEM"),
        (vec![&no_x509, key], &no_x509, "holds no valid X.509 certificate"),
        (vec![certificate, &no_key], &no_key, "cannot use the key"),
        (vec![certificate, &files.other.key], &files.other.key, "does not belong to the certificate"),
        (vec![key, certificate], key, "holds no certificate"),
        (vec![certificate, certificate], certificate, "holds no private key"),
        (vec![certificate, key, &missing], &missing, "cannot read the certificate"),
        (vec![certificate, key, &empty], &empty, "holds no certificate"),
        (vec![certificate, key, &sub], &sub, "is a folder"),
        (vec![certificate, key, &no_x509], &no_x509, "holds no valid X.509 certificate"),
    ];
    if files.pair.encrypt_key(&encrypted) {
        rows.push((vec![certificate, &encrypted], &encrypted, "is encrypted"));
    }
    let old = files.path("old-encrypted");
    if let Some(openssl) = tool("openssl") {
        let own = ["ec", "-in", text(key), "-out", text(&old), "-aes256", "-passout", "pass:secret"];
        output(&openssl, &own);
        assert!(fs::read_to_string(&old).unwrap().contains("Proc-Type: 4,ENCRYPTED"));
        rows.push((vec![certificate, &old], &old, "is encrypted"));
    }
    let closed = files.write("closed", fs::read(key).unwrap());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it nevertheless.
    if fs::read(&closed).is_err() {
        rows.push((vec![certificate, &closed], &closed, "cannot read the key"));
    }
    for (given, named, words) in rows {
        let options = ["--cert", "--key", "--client-ca"];
        let arguments: Vec<&str> =
            options.iter().zip(&given).flat_map(|(option, path)| [*option, text(path)]).collect();
        let line = failure(&arguments);
        assert!(line.contains(text(named)) && line.contains(words), "{arguments:?}: {line}");
        // A key is never printed.
        assert!(!line.contains("AAAA") && line.len() < 500, "{line}");
    }
}

#[test]
fn the_first_unusable_pair_of_several_is_named() {
    let files = Files::new();
    let empty = files.write("empty", "");
    let second = ["--cert", text(&empty), "--key", text(&files.other.key)];
    let line = failure(&[&files.pair.options()[..], &second].concat());
    assert!(line.contains(text(&empty)), "{line}");
}

#[test]
fn a_cut_off_file_is_reported_wherever_it_ends() {
    let files = Files::new();
    let cut = files.path("cut");
    for (is_key, path) in [(false, &files.pair.certificate), (true, &files.pair.key)] {
        let whole = fs::read(path).unwrap();
        let end = whole.trim_ascii_end().len();
        let places = (1..end).step_by(end / 16).chain([26, 27, 28, 29, 64, end - 27, end - 5, end - 1]);
        for place in places {
            fs::write(&cut, &whole[..place]).unwrap();
            let (certificate, key) = match is_key {
                true => (&files.pair.certificate, &cut),
                false => (&cut, &files.pair.key),
            };
            let line = failure(&["--cert", text(certificate), "--key", text(key)]);
            assert!(line.contains(text(&cut)) && !line.contains("panicked"), "{place} of {end}: {line}");
        }
    }
    // A chain whose second certificate is cut off.
    let own = fs::read_to_string(&files.pair.certificate).unwrap();
    let above = fs::read_to_string(&files.authority.certificate).unwrap();
    files.write("cut", own + &above[..above.len() - 30]);
    let line = failure(&["--cert", text(&cut), "--key", text(&files.pair.key)]);
    assert!(line.contains(text(&cut)) && line.contains("PEM"), "{line}");
}

#[test]
fn options_that_do_not_fit_together_are_reported_in_one_line() {
    let files = Files::new();
    let [_, certificate, _, key] = files.pair.options();
    let site = small_site();
    let html = ["--html", site.path().to_str().unwrap(), "--http", NOWHERE, "--file", "off"];
    let rows: [(&[&str], &str); 7] = [
        (&["--https", "0"], "--https"),
        (&["--file-tls", "0"], "--file-tls"),
        (&["--https", "0", "--cert", certificate], "--cert"),
        (&["--https", "0", "--key", key], "--key"),
        (&["--cert", certificate, "--key", key], "--cert"),
        (&["--redirect-https"], "--redirect-https"),
        (&["--https", "0", "--self-signed", "--hsts", "soon"], "--hsts"),
    ];
    for (arguments, named) in rows {
        let line = super::server::failure(&[&html[..], arguments].concat());
        assert!(line.contains(named), "{arguments:?}: {line}");
    }
}

#[test]
fn https_alone_is_a_listener() {
    let site = small_site();
    let html = site.path().to_str().unwrap();
    // An error that comes after the check of the listeners.
    for option in ["--https", "--file-tls"] {
        let own = ["--html", html, "--http", "off", "--file", "off", "--self-signed", option];
        let (code, out, err) = run(&[&own[..], &[NOWHERE]].concat());
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains(&format!("cannot listen on {NOWHERE}")), "{err}");
    }
}

#[test]
fn a_certificate_outside_its_validity_is_reported_and_used() {
    for (change, words) in [
        (
            (|parameters| parameters.not_after = date_time_ymd(2020, 1, 1)) as fn(&mut CertificateParams),
            "has expired",
        ),
        (|parameters| parameters.not_before = date_time_ymd(2900, 1, 1), "is not valid yet"),
    ] {
        let mut named = PathBuf::new();
        let https = Https::start_with(
            |folder, authority, _| {
                let hosts = ["localhost", "127.0.0.1"];
                let pair = authority.issue_with(folder, "odd", &hosts, &PKCS_ECDSA_P256_SHA256, change);
                named.clone_from(&pair.certificate);
                pair.options().map(str::to_owned).to_vec()
            },
            &[],
        );
        let line = https.server.wait_for_line("clients will reject it");
        assert!(line.contains("[WARN] ") && line.contains(words) && line.contains(text(&named)), "{line}");
        assert_eq!(warnings(&https.server.lines()), [&line]);
        let Some(rejected) = https.curl(&[&https.url("/")]) else { continue };
        assert_eq!(rejected.status.code(), Some(60));
        assert_eq!(https.curl(&["-k", &https.url("/")]).unwrap().stdout, b"<p>front");
    }
}
