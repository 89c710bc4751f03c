//! `--client-ca`: only clients with a certificate of the authority get in.

use rustix::process::Signal;

use super::certificates::{Authority, Pair};
use super::server::{Https, printed};
use crate::process::{at_once, tool, wait_for};

fn start() -> Https {
    Https::start_with(
        |folder, _, pair| {
            let clients = Authority::new(folder, "clients");
            clients.issue(folder, "member", &["member"]);
            Authority::new(folder, "strangers").issue(folder, "stranger", &["stranger"]);
            let authority = clients.certificate.to_str().unwrap().to_owned();
            pair.options()
                .map(str::to_owned)
                .into_iter()
                .chain(["--client-ca".to_owned(), authority])
                .collect()
        },
        &["--log-level", "debug"],
    )
}

#[test]
fn only_clients_with_a_certificate_of_the_authority_get_in() {
    if tool("curl").is_none() {
        return;
    }
    let https = start();
    let folder = https.folder.path();
    let versions: [&[&str]; 2] = [&["--tlsv1.2", "--tls-max", "1.2"], &["--tlsv1.3"]];
    let cases = versions.iter().flat_map(|version| (0..20).map(move |round| (version, round)));
    at_once(cases, |(version, _)| {
        let fetch = |name: Option<&str>| {
            let pair = Pair::named(folder, name.unwrap_or_default());
            let own = pair.options();
            let own = if name.is_some() { &own[..] } else { &[][..] };
            https.curl(&[*version, own, &[&https.url("/")]].concat()).unwrap()
        };
        let member = fetch(Some("member"));
        assert_eq!(member.stdout, b"<p>front", "{version:?}: {}", printed(&member));
        for name in [None, Some("stranger")] {
            let rejected = fetch(name);
            assert!(!rejected.status.success() && rejected.stdout.is_empty(), "{version:?} {name:?}");
            let said = printed(&rejected);
            assert!(said.contains("alert"), "{version:?} {name:?}: {said}");
        }
    });
    let failed = |line: &&String| line.contains("[DEBUG]") && line.contains("TLS: ");
    let count = || https.server.lines().iter().filter(failed).count();
    // A line is written after the alert.
    wait_for("a line for each rejection", || (count() >= 80).then_some(()));
    assert_eq!(count(), 80);
}

#[test]
fn a_rejected_client_reads_the_alert_although_it_has_sent_a_large_request() {
    // With TLS 1.3, the client sends its request before it knows that its certificate is rejected.
    let script = "
for round in range(30):
    client = connect()
    try:
        client.sendall(b'PUT /files/x HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 100000\\r\\n\\r\\n' + bytes(100000))
    except OSError:
        pass
    try:
        client.recv(1)
        print('an answer')
    except ssl.SSLError as error:
        print(error.reason)
    except OSError as error:
        print(error)";
    let https = start();
    let Some(output) = https.python(script, &[], b"") else { return };
    let said = printed(&output);
    assert_eq!(said, "TLSV13_ALERT_CERTIFICATE_REQUIRED\n".repeat(30));
}

#[test]
fn another_authority_is_taken_and_ends_the_sessions_of_the_old_one() {
    if tool("openssl").is_none() {
        return;
    }
    let https = start();
    let folder = https.folder.path();
    let connect = |version: &str, name: &str, session: &[&str]| {
        let pair = Pair::named(folder, name);
        let own = [version, "-cert", pair.certificate.to_str().unwrap(), "-key", pair.key.to_str().unwrap()];
        printed(&https.s_client(&[&own[..], session].concat(), b"GET / HTTP/1.0\r\n\r\n").unwrap())
    };
    let session = |version: &str| folder.join(format!("session{version}")).to_str().unwrap().to_owned();
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(connect(version, "member", &["-sess_out", &session(version)]).contains("200 OK"));
        let again = connect(version, "member", &["-sess_in", &session(version)]);
        assert!(again.contains("Reused") && again.contains("200 OK"), "{again}");
        assert!(!connect(version, "stranger", &[]).contains("200 OK"));
    }
    std::fs::rename(folder.join("strangers.pem"), folder.join("clients.pem")).unwrap();
    https.server.signal(Signal::HUP);
    https.server.wait_for_line("read the certificates again");
    for version in ["-tls1_2", "-tls1_3"] {
        let shown = connect(version, "member", &["-sess_in", &session(version)]);
        assert!(!shown.contains("200 OK") && shown.contains("alert"), "{version}: {shown}");
        assert!(connect(version, "stranger", &[]).contains("200 OK"));
    }
}
