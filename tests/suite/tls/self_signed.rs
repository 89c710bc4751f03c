//! `--self-signed`: the certificate that the server makes, and the folder that keeps it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{PKCS_ECDSA_P256_SHA256, date_time_ymd};

use super::certificates::{Authority, Pair};
use super::server::{Https, NOWHERE, failure, printed, warnings};
use crate::process::{output, small_site, tool};

/// Starts a server with a certificate of its own, kept in `state` if it is given.
fn start(state: Option<&Path>) -> Https {
    let mut options = vec!["--self-signed".to_owned()];
    if let Some(folder) = state {
        options.extend(["--state".to_owned(), folder.to_str().unwrap().to_owned()]);
    }
    Https::start_with(|_, _, _| options, &[])
}

/// Returns the fingerprint that the log names.
fn logged(https: &Https) -> String {
    let line = https.server.wait_for_line("SHA-256 fingerprint");
    line.rsplit(' ').next().unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_logged_fingerprint_is_that_of_the_certificate() {
    let Some(openssl) = tool("openssl") else { return };
    let https = start(None);
    let shown = printed(&https.s_client(&["-showcerts"], b"GET / HTTP/1.0\r\n\r\n").unwrap());
    assert!(shown.contains("200 OK"), "{shown}");
    let begin = shown.find("-----BEGIN CERTIFICATE-----").unwrap();
    let end = "-----END CERTIFICATE-----";
    let pem = &shown[begin..shown.find(end).unwrap() + end.len()];
    let file = https.folder.path().join("received.pem");
    fs::write(&file, pem).unwrap();
    let x509 = |arguments: &[&str]| {
        output(&openssl, &[&["x509", "-noout", "-in", file.to_str().unwrap()], arguments].concat())
    };
    let fingerprint = x509(&["-fingerprint", "-sha256"]);
    assert_eq!(fingerprint.trim().rsplit('=').next().unwrap(), logged(&https));
    let names = x509(&["-ext", "subjectAltName"]);
    let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    for name in ["DNS:localhost", "IP Address:127.0.0.1", &format!("DNS:{host}")] {
        assert!(names.contains(name), "{name}: {names}");
    }
    // A client that trusts exactly this certificate can connect, by each of the names.
    let own = ["--cacert", file.to_str().unwrap()];
    let by_name = https.url("/").replace("127.0.0.1", "localhost");
    for url in [https.url("/"), by_name] {
        let Some(fetched) = https.curl(&[&own[..], &[&url]].concat()) else { return };
        assert_eq!(fetched.stdout, b"<p>front", "{}", printed(&fetched));
    }
    assert_eq!(https.curl(&[&https.url("/")]).unwrap().status.code(), Some(60));
    // Browsers accept no more than 398 days.
    assert!(
        output(&openssl, &["x509", "-noout", "-in", file.to_str().unwrap(), "-checkend", "0"])
            .contains("will not")
    );
    let long = ["x509", "-noout", "-in", file.to_str().unwrap(), "-checkend", &(398 * 86_400).to_string()];
    assert!(!std::process::Command::new(&openssl).args(long).output().unwrap().status.success());
}

#[test]
fn without_a_state_folder_every_start_makes_another() {
    assert_ne!(logged(&start(None)), logged(&start(None)));
}

#[test]
fn a_state_folder_keeps_the_certificate_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("new/state");
    let first = logged(&start(Some(&state)));
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("self-signed.key")), 0o600);
    let mut names: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["self-signed.crt", "self-signed.key"]);
    assert_eq!(logged(&start(Some(&state))), first);
    // Without one of the files, it makes both again.
    fs::remove_file(state.join("self-signed.crt")).unwrap();
    let second = logged(&start(Some(&state)));
    assert_ne!(second, first);
    assert_eq!(logged(&start(Some(&state))), second);
}

#[test]
fn a_kept_certificate_that_has_expired_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let expired = authority.issue_with(
        folder.path(),
        "self-signed",
        &["localhost"],
        &PKCS_ECDSA_P256_SHA256,
        |parameters| {
            parameters.not_after = date_time_ymd(2020, 1, 1);
        },
    );
    let old = fs::read(&expired.certificate).unwrap();
    let https = start(Some(folder.path()));
    https.server.wait_for_line("has expired: making another");
    assert_eq!(warnings(&https.server.lines()), [""; 0]);
    let kept = Pair::named(folder.path(), "self-signed");
    assert_ne!(fs::read(kept.certificate).unwrap(), old);
    assert_eq!(mode(&kept.key), 0o600);
    let fingerprint = logged(&https);
    assert_eq!(logged(&start(Some(folder.path()))), fingerprint);
}

#[test]
fn an_unusable_state_folder_is_reported_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let site = small_site();
    let html = site.path().to_str().unwrap();
    let fails = |state: &Path, words: &str| {
        let state = state.to_str().unwrap();
        let own = ["--html", html, "--file", "off", "--https", NOWHERE, "--self-signed"];
        let line = failure(&[&own[..], &["--state", state]].concat());
        assert!(line.contains(state) && line.contains(words), "{line}");
    };
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    fails(&file, "give --state a writable folder");
    fails(&file.join("below"), "give --state a writable folder");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // Root writes nevertheless.
    if fs::write(closed.join("x"), "").is_err() {
        fails(&closed, "give --state a writable folder");
    }
    // procfs has no new files, even for root.
    if Path::new("/proc/self").is_dir() {
        fails(Path::new("/proc/evserve-state"), "give --state a writable folder");
    }
    let damaged = folder.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    for name in ["self-signed.crt", "self-signed.key"] {
        fs::write(damaged.join(name), "").unwrap();
    }
    fails(&damaged, "makes a new certificate");
}
