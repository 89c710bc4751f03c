//! The client over TLS: transfers, the servers that it trusts, and connections that are cut off. To add a certificate
//! that is rejected, add a row (certificate, `--ca`, message).

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::evclient::{Fixture, assert_fails, client, run};
use super::interrupted::cutting_proxy;
use crate::process::{at_once, large_file, wait_until_read};

/// A server that listens with TLS and without.
struct Secured {
    fixture: Fixture,
    /// The address with TLS.
    address: String,
}

impl Secured {
    /// Starts a server with these arguments.
    fn with(arguments: &[&str]) -> Secured {
        let mut fixture = Fixture::new();
        fixture.restart_with(&[&["--file-tls", "0"], arguments].concat());
        let line = fixture.server.as_ref().unwrap().wait_for_line("listening file-tls tls://");
        Secured { address: line.split("tls://").nth(1).unwrap().to_owned(), fixture }
    }

    /// Starts a server with a certificate of [`Authority`].
    fn with_certificate(folder: &Path, name: &str) -> Secured {
        let at = |ending: &str| folder.join(format!("{name}.{ending}")).display().to_string();
        Secured::with(&["--cert", &at("crt"), "--key", &at("key")])
    }

    /// Starts a server whose self-signed certificate is the file `self-signed.crt` in the client's folder.
    fn self_signed(arguments: &[&str]) -> Secured {
        let state = tempfile::tempdir().unwrap();
        let kept = ["--self-signed", "--state", state.path().to_str().unwrap()];
        let secured = Secured::with(&[&kept, arguments].concat());
        let own = secured.own().join("self-signed.crt");
        fs::copy(state.path().join("self-signed.crt"), own).unwrap();
        secured
    }

    fn own(&self) -> &Path {
        self.fixture.own.path()
    }

    /// Runs the client with TLS, at an address, and with trust in the file `self-signed.crt`.
    fn run_at(&self, address: &str, words: &[&str]) -> std::process::Output {
        run(self.own(), &[&["--tls", "--ca", "self-signed.crt", address], words].concat(), b"")
    }

    #[track_caller]
    fn run_ok(&self, words: &[&str]) -> String {
        let output = self.run_at(&self.address, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Signs certificates, which are files of a folder.
struct Authority<'a> {
    folder: &'a Path,
    issuer: Issuer<'static, KeyPair>,
}

impl<'a> Authority<'a> {
    /// Makes an authority, whose own certificate is `NAME.crt`.
    fn new(folder: &'a Path, name: &str) -> Authority<'a> {
        let key = KeyPair::generate().unwrap();
        let parameters = authority(&[], name);
        let certificate = parameters.self_signed(&key).unwrap();
        fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
        Authority { folder, issuer: Issuer::new(parameters, key) }
    }

    /// Signs `NAME.crt` with its key `NAME.key`, for a host or an address.
    fn sign(&self, name: &str, host: &str, days: std::ops::Range<i64>) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([host.to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) = (day(days.start), day(days.end));
        write_pair(self.folder, name, &parameters.signed_by(&key, &self.issuer).unwrap(), &key);
    }
}

/// Returns the time `days` from now.
fn day<T: From<SystemTime>>(days: i64) -> T {
    let distance = Duration::from_secs(days.unsigned_abs() * 24 * 60 * 60);
    let now = SystemTime::now();
    if days < 0 { now - distance } else { now + distance }.into()
}

/// Returns the parameters of the certificate of an authority.
fn authority(names: &[&str], common: &str) -> CertificateParams {
    let mut parameters =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, common);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
}

fn write_pair(folder: &Path, name: &str, certificate: &rcgen::Certificate, key: &KeyPair) {
    fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[test]
fn files_are_listed_uploaded_and_downloaded_over_tls() {
    let secured = Secured::self_signed(&[]);
    assert_eq!(secured.run_ok(&["list"]), "");
    secured.run_ok(&["put", "large"]);
    assert!(secured.fixture.stored("large") == large_file());
    fs::write(secured.own().join("small"), "small").unwrap();
    fs::write(secured.own().join("empty"), "").unwrap();
    // A batch continues after a file that fails.
    let output = secured.run_at(&secured.address, &["put", "small", "nothing", "empty"]);
    assert_fails(&output, 1, "1 of 3 files failed");
    fs::create_dir(secured.own().join("to")).unwrap();
    secured.run_ok(&["get", "large", "small", "empty", "--to", "to"]);
    for name in ["large", "small", "empty"] {
        assert!(secured.fixture.own(&format!("to/{name}")) == secured.fixture.own(name), "{name}");
    }
    assert_eq!(secured.run_ok(&["get", "small", "-"]), "small");
    assert!(secured.run_ok(&["stat", "small"]).starts_with("           5 20"));
    let menu = ["--tls", "--ca", "self-signed.crt", &secured.address];
    let output = run(secured.own(), &menu, b"list\nput small --as menu\nquit\n");
    assert!(output.status.success() && secured.fixture.stored("menu") == b"small");
    let say = ["say", menu[3], "--tls", "--ca", "self-signed.crt"];
    let said = String::from_utf8(run(secured.own(), &say, b"LIST nothing\n").stdout).unwrap();
    assert!(said.contains("answer: "), "{said}");
}

#[test]
fn the_legacy_dialects_work_over_tls() {
    at_once([("joined", "--dialect=joined"), ("listed", "--dialect=listed")], |(name, dialect)| {
        let secured = Secured::self_signed(&[dialect]);
        secured.run_ok(&[dialect, "put", "large", "--as", name]);
        assert!(secured.fixture.stored(name) == large_file());
        secured.run_ok(&[dialect, "get", name]);
        assert!(secured.fixture.own(name) == large_file());
        assert!(secured.run_ok(&[dialect, "list"]).contains(name));
    });
}

#[test]
fn a_unix_socket_needs_a_certificate_for_localhost() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let ca = folder.path().join("ca.crt").display().to_string();
    for (name, host, code, why) in [
        ("good", "localhost", 0, ""),
        ("bad", "other.example", 3, "is not for localhost, but for other.example"),
    ] {
        authority.sign(name, host, -1..1);
        let at = |ending: &str| folder.path().join(format!("{name}.{ending}")).display().to_string();
        let socket = format!("unix:{}", at("socket"));
        let secured = Secured::with(&["--file-tls", &socket, "--cert", &at("crt"), "--key", &at("key")]);
        assert_fails(&run(secured.own(), &["--tls", "--ca", &ca, &socket, "list"], b""), code, why);
    }
}

#[test]
fn transfers_that_were_cut_off_resume_over_tls() {
    let secured = Secured::self_signed(&[]);
    let limit = large_file().len() / 2;
    let (address, thread) = cutting_proxy(&secured.address, Some(limit), None);
    assert_fails(&secured.run_at(&address, &["put", "large"]), 3, "connection");
    thread.join().unwrap();
    assert_fails(&secured.run_at(&secured.address, &["put", "large"]), 0, "large: resuming at ");
    assert!(secured.fixture.stored("large") == large_file());
    let (address, thread) = cutting_proxy(&secured.address, None, Some(limit));
    let output = secured.run_at(&address, &["get", "large", "--to", "copy"]);
    assert_fails(&output, 3, "large: the connection was cut off");
    thread.join().unwrap();
    assert!(!secured.own().join("copy").exists());
    let output = secured.run_at(&secured.address, &["get", "large", "--to", "copy"]);
    assert_fails(&output, 0, "large: resuming at ");
    assert!(secured.fixture.own("copy") == large_file() && secured.fixture.hidden().is_empty());
}

/// The certificate that a client trusts, its exit code, and what it says.
type Verdict = (&'static str, i32, &'static str);

#[test]
fn certificates_that_are_not_trusted_are_rejected_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    Authority::new(folder.path(), "theirs");
    ours.sign("good", "127.0.0.1", -1..1);
    ours.sign("renamed", "files.example", -1..1);
    ours.sign("expired", "127.0.0.1", -9..-1);
    ours.sign("early", "127.0.0.1", 1..9);
    // As `openssl req -x509` makes it.
    let key = KeyPair::generate().unwrap();
    let own = authority(&["127.0.0.1"], "own").self_signed(&key).unwrap();
    write_pair(folder.path(), "own", &own, &key);
    fs::write(folder.path().join("empty.crt"), "").unwrap();
    fs::write(folder.path().join("broken.crt"), &own.pem()[..100]).unwrap();
    let cases: &[(&str, &[Verdict])] = &[
        (
            "good",
            &[
                ("ours", 0, ""),
                ("good", 0, ""),
                ("theirs", 3, "is not trusted; give --ca FILE"),
                ("nothing", 1, "nothing.crt: No such file"),
                ("empty", 1, "empty.crt holds no certificate"),
                ("broken", 1, "broken.crt is no valid PEM"),
            ],
        ),
        (
            "renamed",
            &[
                ("ours", 3, "is not for 127.0.0.1, but for files.example"),
                ("renamed", 3, "is not for 127.0.0.1, but for files.example"),
            ],
        ),
        ("expired", &[("ours", 3, "has expired"), ("expired", 3, "has expired")]),
        ("early", &[("ours", 3, "is not valid yet"), ("early", 3, "is not valid yet")]),
        ("own", &[("own", 0, ""), ("ours", 3, "is not trusted"), ("theirs", 3, "is not trusted")]),
    ];
    at_once(cases, |(certificate, clients)| {
        let secured = Secured::with_certificate(folder.path(), certificate);
        for (ca, code, why) in *clients {
            let ca = folder.path().join(format!("{ca}.crt")).display().to_string();
            let output = run(secured.own(), &["--tls", "--ca", &ca, &secured.address, "list"], b"");
            assert_fails(&output, *code, why);
            let lines = output.stderr.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(lines, usize::from(*code > 0), "{certificate} {ca}");
            // Without --ca, the system's certificates are used, here those of the file.
            let mut command = client(secured.own(), &["--tls", &secured.address, "list"]);
            let output = command.env("SSL_CERT_FILE", &ca).env_remove("SSL_CERT_DIR").output().unwrap();
            match code {
                1 => assert_fails(&output, 1, "no certificates of authorities"),
                _ => assert_fails(&output, *code, why),
            }
        }
        // The connection is not verified, and a warning says so.
        let output = run(secured.own(), &["--tls", "--insecure", &secured.address, "list"], b"");
        assert_fails(&output, 0, "anybody could be at its other end");
    });
}

#[test]
fn the_certificate_of_another_self_signed_server_is_not_trusted() {
    let (one, other) = (Secured::self_signed(&[]), Secured::self_signed(&[]));
    assert_fails(&one.run_at(&other.address, &["list"]), 3, "is not trusted; give --ca FILE");
}

#[test]
fn a_server_that_demands_certificates_of_its_clients_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    Authority::new(folder.path(), "ca").sign("server", "127.0.0.1", -1..1);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (ca, certificate, key) = (at("ca.crt"), at("server.crt"), at("server.key"));
    let secured = Secured::with(&["--cert", &certificate, "--key", &key, "--client-ca", &ca]);
    let output = run(secured.own(), &["--tls", "--ca", &ca, &secured.address, "list"], b"");
    assert_fails(&output, 3, "only clients with a certificate");
}

#[test]
fn plain_and_encrypted_connections_to_the_wrong_port_say_what_to_do() {
    let secured = Secured::self_signed(&[]);
    let http = secured.fixture.server.as_ref().unwrap().address.to_string();
    for plain in [&secured.fixture.address, &http] {
        assert_fails(&secured.run_at(plain, &["list"]), 3, "leave out --tls");
    }
    for dialect in ["lines", "joined", "listed"] {
        for words in [&["list"][..], &["get", "a"], &["put", "large"], &[]] {
            let words = [&["--dialect", dialect, &secured.address], words].concat();
            let output = run(secured.own(), &words, b"");
            assert_fails(&output, 3, "the port needs TLS; give the option --tls");
            assert_eq!(output.stderr.iter().filter(|byte| **byte == b'\n').count(), 1, "{words:?}");
        }
    }
    // A server that closes at once.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || drop(listener.accept().unwrap()));
    assert_fails(&secured.run_at(&address, &["list"]), 3, "leave out --tls");
    thread.join().unwrap();
}

/// What a scripted server does after its last reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It sends close_notify, and closes.
    Notified,
    /// It closes without, as a cut connection looks.
    Cut,
    /// It waits for the end of the client's output, which must have close_notify.
    Awaited,
}

/// Runs the client against a server that replies to each message with an entry of the script. The server sends an
/// entry `>TEXT` as soon as the client has read the previous entry, before the client's next message.
fn run_scripted(own: &TempDir, words: &[&str], script: &[&[u8]], end: End) -> std::process::Output {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    write_pair(own.path(), "server", &certificate, &key);
    let chain = vec![CertificateDer::from_pem_slice(certificate.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let session = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(session, listener.accept().unwrap().0);
            for answer in script {
                match answer.strip_prefix(b">") {
                    Some(answer) => {
                        wait_until_read(&stream.sock);
                        stream.write_all(answer).unwrap();
                    }
                    None => {
                        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                        stream.write_all(answer).unwrap();
                    }
                }
            }
            match end {
                End::Notified => {
                    stream.conn.send_close_notify();
                    stream.flush().unwrap();
                }
                End::Cut => {}
                End::Awaited => {
                    let ended = stream.read(&mut [0; 4096]).map_err(|error| error.kind());
                    assert_eq!(ended, Ok::<usize, ErrorKind>(0));
                }
            }
        });
        let words = [&["--tls", "--ca", "server.crt", address.as_str()], words].concat();
        run(own.path(), &words, b"")
    })
}

/// The words of the client, what the server sends, how it ends, the client's exit code, and what it says.
type Ending = (&'static [&'static str], &'static [&'static [u8]], End, i32, &'static str);

#[test]
fn an_end_without_close_notify_is_never_a_success() {
    const CUT_OFF: &str = "the connection was cut off";
    const GET: &[&[u8]] = &[b"OK", b">hi##"];
    let cases: &[Ending] = &[
        // The legacy dialects take the end after `##` for the end of the file.
        (&["--dialect=joined", "get", "a"], GET, End::Notified, 0, ""),
        (&["--dialect=joined", "get", "a"], GET, End::Cut, 3, CUT_OFF),
        (&["--dialect=listed", "get", "a"], GET, End::Notified, 0, ""),
        (&["--dialect=listed", "get", "a"], GET, End::Cut, 3, CUT_OFF),
        (&["get", "a", "-"], &[b"OK 5\r\nhel"], End::Notified, 3, "ended at 3 of 5 bytes"),
        (&["get", "a", "-"], &[b"OK 5\r\nhel"], End::Cut, 3, CUT_OFF),
        (&["list"], &[b"OK 1\r\n"], End::Notified, 3, "the server closed the connection"),
        (&["list"], &[b"OK 1\r\n"], End::Cut, 3, CUT_OFF),
        (&["list"], &[b"OK 0\r\n", b"OK bye\r\n"], End::Awaited, 0, ""),
    ];
    at_once(cases, |(words, script, end, code, why)| {
        let own = tempfile::tempdir().unwrap();
        assert_fails(&run_scripted(&own, words, script, *end), *code, why);
        let is_stored = fs::read(own.path().join("a")).is_ok_and(|bytes| bytes == b"hi");
        assert_eq!(is_stored, words.len() == 3 && *code == 0, "{words:?} {end:?}");
    });
}
