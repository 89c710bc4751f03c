//! The renewal of certificates while the server runs: files that are replaced, and files that become unusable.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::Signal;

use super::certificates::{Authority, Pair};
use super::server::{Https, address_in, standard_pair, warnings};
use crate::process::{PROGRAM, Server, output, small_site, tool, wait_for};

/// A client that makes requests on new connections until its input ends, and prints the serial number of each
/// certificate.
const CLIENT: &str = "import threading
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
count = 0
while not ended.is_set():
    client = http.client.HTTPSConnection('localhost', PORT, timeout=20, context=CONTEXT)
    client.connect()
    serial = client.sock.getpeercert()['serialNumber']
    client.request('GET', '/1k.txt')
    response = client.getresponse()
    assert response.status == 200 and response.read() == b'k' * 1024
    client.close()
    count += 1
    print(int(serial, 16), flush=True)
print('ended', flush=True)";

/// A running client, and what it has printed.
struct Visitor {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Visitor {
    fn start(https: &Https) -> Option<Visitor> {
        let mut child = https.start_python(CLIENT, &[])?;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Some(Visitor { child, lines })
    }

    /// Waits for a connection with this certificate. Returns the number of connections before it.
    #[track_caller]
    fn wait_for(&mut self, serial: u8) -> usize {
        let mut others = 0;
        wait_for(&format!("certificate {serial}"), || {
            let line = self.lines.next().expect("a failed request").unwrap();
            others += usize::from(line != serial.to_string());
            (line == serial.to_string()).then_some(())
        });
        others
    }

    /// Asserts that all requests have succeeded.
    #[track_caller]
    fn end(mut self) {
        drop(self.child.stdin.take());
        let last = self.lines.map(Result::unwrap).last();
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(last.as_deref(), Some("ended"));
    }
}

/// Points the links `live.crt` and `live.key` to a pair, each by a rename, as certbot does.
fn switch_links(folder: &Path, pair: &Pair) {
    let live = Pair::named(folder, "live");
    for (target, link) in [(&pair.certificate, live.certificate), (&pair.key, live.key)] {
        let new = link.with_extension("new");
        symlink(target, &new).unwrap();
        fs::rename(&new, &link).unwrap();
    }
}

/// Starts a server whose certificate and key are symbolic links.
fn linked() -> Https {
    Https::start_with(
        |folder, _, pair| {
            switch_links(folder, pair);
            Pair::named(folder, "live").options().map(str::to_owned).to_vec()
        },
        &[],
    )
}

#[test]
fn a_new_certificate_is_taken_while_clients_connect() {
    let https = linked();
    let folder = https.folder.path();
    let Some(mut visitor) = Visitor::start(&https) else { return };
    visitor.wait_for(1);
    for number in 2..4 {
        let pair = standard_pair(&https.authority, folder, &format!("renewed-{number}"), number);
        switch_links(folder, &pair);
        visitor.wait_for(number);
    }
    // Files that are overwritten in place, not replaced, count too.
    let pair = standard_pair(&https.authority, folder, "written", 4);
    let live = Pair::named(folder, "live");
    fs::copy(&pair.certificate, fs::canonicalize(live.certificate).unwrap()).unwrap();
    fs::copy(&pair.key, fs::canonicalize(live.key).unwrap()).unwrap();
    visitor.wait_for(4);
    visitor.end();
    let is_logged = || https.server.count_lines("read the certificates again") >= 3;
    wait_for("a line for each renewal", || is_logged().then_some(()));
}

#[test]
fn sighup_takes_a_new_certificate_at_once() {
    let https = linked();
    let Some(mut visitor) = Visitor::start(&https) else { return };
    visitor.wait_for(1);
    let pair = standard_pair(&https.authority, https.folder.path(), "renewed", 2);
    switch_links(https.folder.path(), &pair);
    https.server.signal(Signal::HUP);
    visitor.wait_for(2);
    visitor.end();
    // Without a connection in between.
    let https = linked();
    let pair = standard_pair(&https.authority, https.folder.path(), "renewed", 2);
    switch_links(https.folder.path(), &pair);
    https.server.signal(Signal::HUP);
    https.server.wait_for_line("read the certificates again");
}

/// Makes the pair unusable. Returns what the warning contains.
type Breaks = fn(&Authority, &Path, &Pair) -> &'static str;

#[test]
fn an_unusable_pair_is_reported_once_and_the_old_one_stays() {
    let cases: [(&str, Breaks); 10] = [
        ("another key", |authority, folder, pair| {
            fs::copy(standard_pair(authority, folder, "other", 9).key, &pair.key).unwrap();
            "does not belong to the certificate"
        }),
        ("an empty certificate", |_, _, pair| {
            fs::write(&pair.certificate, "").unwrap();
            "holds no certificate"
        }),
        ("an empty key", |_, _, pair| {
            fs::write(&pair.key, "").unwrap();
            "holds no private key"
        }),
        ("a key of garbage", |_, _, pair| {
            fs::write(&pair.key, [0xff; 3000]).unwrap();
            "holds no private key"
        }),
        ("a certificate of garbage", |_, _, pair| {
            let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
            fs::write(&pair.certificate, pem).unwrap();
            "holds no valid X.509 certificate"
        }),
        ("no certificate", |_, _, pair| {
            fs::remove_file(&pair.certificate).unwrap();
            "cannot read the certificate"
        }),
        ("no key", |_, _, pair| {
            fs::remove_file(&pair.key).unwrap();
            "cannot read the key"
        }),
        ("a folder", |_, _, pair| {
            fs::remove_file(&pair.certificate).unwrap();
            fs::create_dir(&pair.certificate).unwrap();
            "is a folder"
        }),
        ("a named pipe", |_, _, pair| {
            fs::remove_file(&pair.certificate).unwrap();
            mknodat(CWD, &pair.certificate, FileType::Fifo, 0o600.into(), 0).unwrap();
            "is no regular file"
        }),
        ("an encrypted key", |authority, folder, pair| {
            if !standard_pair(authority, folder, "other", 9).encrypt_key(&pair.key) {
                fs::write(&pair.key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
            }
            "is encrypted"
        }),
    ];
    crate::process::at_once(cases, |(name, breaks)| {
        let https = Https::start(&[]);
        let Some(mut visitor) = Visitor::start(&https) else { return };
        visitor.wait_for(1);
        let expected = breaks(&https.authority, https.folder.path(), &https.pair);
        let warning = https.server.wait_for_line("the old certificates stay in use");
        assert!(warning.contains("[WARN] ") && warning.contains(expected), "{name}: {warning}");
        assert!(warning.contains(https.folder.path().to_str().unwrap()), "{name}: {warning}");
        // Later checks find the same files, and are silent.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2500) {
            assert_eq!(visitor.wait_for(1), 0, "{name}");
        }
        assert_eq!(warnings(&https.server.lines()), [&warning], "{name}");
        let good = standard_pair(&https.authority, https.folder.path(), "good", 2);
        if https.pair.certificate.is_dir() {
            fs::remove_dir(&https.pair.certificate).unwrap();
        }
        fs::rename(&good.key, &https.pair.key).unwrap();
        fs::rename(&good.certificate, &https.pair.certificate).unwrap();
        visitor.wait_for(2);
        visitor.end();
    });
}

#[test]
fn a_connection_outlives_a_renewal() {
    let https = linked();
    let script = "client = connect()
sys.stdout.write('ready\\n'); sys.stdout.flush()
sys.stdin.readline()
client.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
received = b''
while part := client.recv(65536):
    received += part
assert received.endswith(b'<p>front')";
    let Some(mut child) = https.start_python(script, &[]) else { return };
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let pair = standard_pair(&https.authority, https.folder.path(), "renewed", 2);
    switch_links(https.folder.path(), &pair);
    https.server.signal(Signal::HUP);
    https.server.wait_for_line("read the certificates again");
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_certificate_from_a_pipe_is_read_once() {
    let Some(bash) = tool("bash") else { return };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let pair = standard_pair(&authority, folder.path(), "pair", 1);
    let mut command = Command::new(bash);
    let script = "exec \"$0\" --https 0 --file off --cert <(cat \"$1\") --key <(cat \"$2\") \"${@:3}\"";
    command.args(["-c", script, PROGRAM]).args([&pair.certificate, &pair.key]);
    let server = Server::start_with(command, small_site(), &["--http", "0"]);
    let Some(curl) = tool("curl") else { return };
    let address = address_in(&server.wait_for_line("listening https"));
    let authority = authority.certificate.to_str().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        let page = output(&curl, &["-sS", "--cacert", authority, &format!("https://{address}/")]);
        assert_eq!(page, "<p>front");
        server.signal(Signal::HUP);
    }
    assert_eq!(warnings(&server.lines()), [""; 0]);
}
