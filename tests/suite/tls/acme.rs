//! A certificate from a certificate authority by ACME (RFC 8555), as the documents describe: certbot puts its challenges
//! into the site's folder. The authority is Pebble, with a DNS server that resolves every name to this machine.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::server::{Https, address_in, printed};
use crate::process::{PROGRAM, Server, small_site, tool, wait_for};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program, and waits until it accepts connections at `address`.
fn start(command: &mut Command, address: SocketAddr) -> Running {
    let program =
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_for("the program to listen", || TcpStream::connect(address).ok());
    program
}

/// Returns an address of this machine for the programs of this test only: they cannot report ports that the system
/// chose.
fn own_host() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high & 63, low, 1)
}

/// Runs certbot with all of its files in `folder`, trusting Pebble's interface.
fn certbot(program: &Path, folder: &Path, ca: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    for (option, name) in [("--config-dir", "config"), ("--work-dir", "work"), ("--logs-dir", "logs")] {
        command.arg(option).arg(folder.join(name));
    }
    let output = command.args(arguments).arg("-n").env("REQUESTS_CA_BUNDLE", ca).output().unwrap();
    let log = || fs::read_to_string(folder.join("logs/letsencrypt.log")).unwrap_or_default();
    assert!(output.status.success(), "{}\n{}", printed(&output), log());
}

/// Returns the certificate that the server presents for `name`, in PEM.
fn presented(openssl: &Path, address: SocketAddr, name: &str) -> String {
    let address = address.to_string();
    let session = Command::new(openssl)
        .args(["s_client", "-connect", &address, "-servername", name])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = printed(&session);
    let begin = shown.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("{shown}"));
    shown[begin..].split("-----END").next().unwrap().to_owned()
}

#[test]
fn certbot_gets_a_certificate_and_renews_it() {
    let tools = ["certbot", "pebble", "pebble-challtestsrv", "curl", "openssl"].map(tool);
    let [Some(bot), Some(pebble), Some(dns), Some(curl), Some(openssl)] = tools else { return };
    let https = Https::start(&["--redirect-https"]);
    let (folder, name) = (https.folder.path(), "www.example.test");
    let host = own_host();
    let [dns_at, dns_management, api, management] =
        [8053, 8055, 14_000, 15_000].map(|port| SocketAddr::from((host, port)));
    let pair = https.authority.issue(folder, "pebble", &[&host.to_string()]);
    let _dns = start(
        Command::new(dns)
            .args(["-dns01", &dns_at.to_string(), "-management", &dns_management.to_string()])
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""]),
        // Its name server listens later than its other interface.
        dns_at,
    );
    let config = serde_json::json!({ "pebble": {
        "listenAddress": api, "managementListenAddress": management, "httpPort": https.server.address.port(),
        "tlsPort": 1, "certificate": pair.certificate, "privateKey": pair.key,
    }});
    fs::write(folder.join("pebble.json"), config.to_string()).unwrap();
    let _pebble = start(
        Command::new(pebble)
            .arg("-config")
            .arg(folder.join("pebble.json"))
            .args(["-dnsserver", &dns_at.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            // By default it rejects one valid request in twenty, which certbot repeats only sometimes.
            .env("PEBBLE_WFE_NONCEREJECT", "0"),
        api,
    );
    let directory = format!("https://{api}/dir");
    let webroot = https.server.site.path().to_str().unwrap();
    let certonly = ["certonly", "--webroot", "-w", webroot, "-d", name, "--server", &directory];
    let anonymous = ["--agree-tos", "--register-unsafely-without-email"];
    certbot(&bot, folder, https.authority_file(), &[&certonly[..], &anonymous].concat());

    let live = folder.join("config/live").join(name);
    let at = |file: &str| live.join(file).to_str().unwrap().to_owned();
    let (chain, key) = (at("fullchain.pem"), at("privkey.pem"));
    let options = ["--https", "0", "--cert", &chain, "--key", &key, "--file", "off"];
    let server = Server::start_with(Command::new(PROGRAM), small_site(), &options);
    let address = address_in(&server.wait_for_line("listening https"));
    let roots = Command::new(&curl).args(["-sk", &format!("https://{management}/roots/0")]).output().unwrap();
    let root = folder.join("root.pem");
    fs::write(&root, roots.stdout).unwrap();
    let resolve = format!("{name}:{}:127.0.0.1", address.port());
    let page = Command::new(&curl)
        .args(["-sS", "--cacert", root.to_str().unwrap(), "--resolve", &resolve])
        .arg(format!("https://{name}:{}/", address.port()))
        .output()
        .unwrap();
    assert_eq!(page.stdout, b"<p>front", "{}", printed(&page));

    let first = presented(&openssl, address, name);
    let renew = ["renew", "--force-renewal", "--no-random-sleep-on-renew"];
    certbot(&bot, folder, https.authority_file(), &renew);
    wait_for("the renewed certificate", || (presented(&openssl, address, name) != first).then_some(()));
}
