//! A running server with a listener for HTTPS, and the clients that connect to it.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rcgen::PKCS_ECDSA_P256_SHA256;
use tempfile::TempDir;

use super::certificates::{Authority, Pair, serial};
use crate::process::{PROGRAM, Server, run, small_site, tool};

/// A server for HTTPS.
pub struct Https {
    pub server: Server,
    /// The address that HTTPS listens on.
    pub address: SocketAddr,
    pub authority: Authority,
    /// A pair for localhost and 127.0.0.1 with the serial number 1, which the server uses unless it was given others.
    pub pair: Pair,
    /// Holds the certificates, and in `library` the library.
    pub folder: TempDir,
}

impl Https {
    /// Starts a server with a certificate, a small site and a library.
    pub fn start(options: &[&str]) -> Https {
        Https::start_with(|_, _, pair| pair.options().map(str::to_owned).to_vec(), options)
    }

    /// Starts a server with the options that `own` makes of the folder, the authority and the pair, and `options`.
    pub fn start_with(own: impl FnOnce(&Path, &Authority, &Pair) -> Vec<String>, options: &[&str]) -> Https {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        let pair = standard_pair(&authority, folder.path(), "standard", 1);
        let library = folder.path().join("library");
        fs::create_dir(&library).unwrap();
        let own = own(folder.path(), &authority, &pair);
        let mut all =
            vec!["--http", "0", "--https", "0", "--file", "off", "--files", library.to_str().unwrap()];
        all.extend(own.iter().map(String::as_str));
        all.extend(options);
        let server = Server::start_with(Command::new(PROGRAM), small_site(), &all);
        let address = address_in(&server.wait_for_line("listening https"));
        Https { server, address, authority, pair, folder }
    }

    /// Returns the URL of a path over HTTPS.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub fn library(&self) -> PathBuf {
        self.folder.path().join("library")
    }

    pub fn authority_file(&self) -> &str {
        self.authority.certificate.to_str().unwrap()
    }

    /// Runs curl, which trusts the authority, and returns its output, or `None` without curl.
    pub fn curl(&self, arguments: &[&str]) -> Option<Output> {
        let mut command = Command::new(tool("curl")?);
        command.args(["-sS", "--cacert", self.authority_file()]).args(arguments);
        Some(command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs `openssl s_client`, which trusts the authority, with `input`. It ends when the server closes.
    pub fn s_client(&self, arguments: &[&str], input: &[u8]) -> Option<Output> {
        let address = self.address.to_string();
        let own = ["s_client", "-connect", &address, "-CAfile", self.authority_file(), "-ign_eof"];
        Some(fed(tool("openssl")?, &[&own[..], arguments].concat(), input))
    }

    /// Runs a Python script, after [`PRELUDE`], with the port and the authority's file as its first arguments, and
    /// `input`.
    pub fn python(&self, script: &str, arguments: &[&str], input: &[u8]) -> Option<Output> {
        let port = self.address.port().to_string();
        let script = format!("{PRELUDE}\n{script}");
        let own = ["-c", &script, &port, self.authority_file()];
        Some(fed(tool("python3")?, &[&own[..], arguments].concat(), input))
    }

    /// Sends `requests` over one TLS connection and returns what is received until close_notify, which must come.
    pub fn exchange(&self, requests: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        // Sends and receives in turn, so that neither end blocks the other.
        let script = "import select
client, output = connect(), sys.stdout.buffer
client.setblocking(False)
unsent = memoryview(sys.stdin.buffer.read())
while True:
    try:
        unsent = unsent[client.send(unsent[:16384]):] if unsent else unsent
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        pass
    except OSError:
        # The server has closed. What it has sent before can still be received.
        unsent = b''
    try:
        part = client.recv(65536)
        if not part:
            break
        output.write(part)
    except ssl.SSLWantReadError:
        select.select([client], [client] if unsent else [], [], 20)";
        Some(successful(self.python(script, &[], requests.as_ref())?).stdout)
    }

    /// Starts a program that speaks with the server for a while.
    pub fn start_python(&self, script: &str, arguments: &[&str]) -> Option<Child> {
        let mut command = Command::new(tool("python3")?);
        command.args(["-c", &format!("{PRELUDE}\n{script}"), &self.address.port().to_string()]);
        command.arg(self.authority_file()).args(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(piped.spawn().unwrap())
    }
}

/// The beginning of every Python script: `connect` returns a TLS connection, which reports an end without close_notify
/// as an error.
const PRELUDE: &str = "import http.client, socket, ssl, sys, time
PORT = int(sys.argv[1])
CONTEXT = ssl.create_default_context(cafile=sys.argv[2])
def connect(context=CONTEXT, name='localhost'):
    plain = socket.create_connection(('127.0.0.1', PORT), timeout=20)
    return context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False)";

/// Issues a certificate for localhost and 127.0.0.1 with this serial number.
pub fn standard_pair(authority: &Authority, folder: &Path, name: &str, number: u8) -> Pair {
    let hosts = ["localhost", "127.0.0.1"];
    authority.issue_with(folder, name, &hosts, &PKCS_ECDSA_P256_SHA256, serial(number))
}

/// Returns the lines that are warnings or errors, except one about the descriptor limit of this machine.
pub fn warnings(lines: &[String]) -> Vec<&String> {
    let is_warning = |line: &&String| line.contains("[WARN] ") || line.contains("[ERROR] ");
    lines.iter().filter(is_warning).filter(|line| !line.contains("RLIMIT_NOFILE")).collect()
}

/// Runs a server that fails to start. Returns the line that says why, without the program's name.
#[track_caller]
pub fn failure(arguments: &[&str]) -> String {
    let (code, out, err) = run(arguments);
    let mut lines = err.lines().filter(|line| !line.contains("RLIMIT_NOFILE"));
    let line = lines.next().and_then(|line| line.strip_prefix("evserve: "));
    assert!((code, out.as_str(), lines.next()) == (1, "", None), "{arguments:?}: {code}, {out}{err}");
    line.unwrap_or_else(|| panic!("{arguments:?}: {err}")).to_owned()
}

/// An address that no server can listen on. A start that has to fail before it listens fails here if it does not, so
/// the test ends.
pub const NOWHERE: &str = "192.0.2.1:80";

/// Returns the address in a line such as `listening https https://127.0.0.1:443/`.
pub fn address_in(line: &str) -> SocketAddr {
    line.rsplit_once("//").unwrap().1.trim_end_matches('/').parse().unwrap()
}

/// Returns `output` if its program has succeeded.
#[track_caller]
pub fn successful(output: Output) -> Output {
    assert!(output.status.success(), "{}", printed(&output));
    output
}

/// Returns all that a program has printed.
pub fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a program with `input`.
fn fed(program: PathBuf, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // The program may end before it has read everything.
        scope.spawn(move || pipe.write_all(input));
        child.wait_with_output().unwrap()
    })
}

/// Returns `length` bytes in which no four-byte word occurs twice.
pub fn content(length: usize) -> Vec<u8> {
    let words = (0..u32::try_from(length / 4).unwrap()).map(|index| index.wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).collect()
}

/// The length of a large file.
pub const LARGE: usize = 10 << 20;
