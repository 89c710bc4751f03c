//! The client: commands and their exit codes, and servers that misbehave. To add a command, call
//! `Fixture::run_ok` or `assert_fails`; to add a bad reply, add a row (command, script of the server, exit
//! code, message).

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::process::{Server, large_file};

pub const EVCLIENT: &str = env!("CARGO_BIN_EXE_evclient");

/// A server with a library, and a folder of the client.
pub struct Fixture {
    pub server: Option<Server>,
    pub address: String,
    pub library: TempDir,
    pub own: TempDir,
}

impl Fixture {
    pub fn new() -> Fixture {
        let (library, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(own.path().join("large"), large_file()).unwrap();
        let mut fixture = Fixture { server: None, address: String::new(), library, own };
        fixture.restart();
        fixture
    }

    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    pub fn restart_with(&mut self, arguments: &[&str]) {
        self.server = None;
        let library = ["--files", self.library.path().to_str().unwrap(), "--file", "0"];
        let server = Server::start(&[&library, arguments].concat());
        let line = server.wait_for_line("listening file tcp://");
        self.address = line.split("tcp://").nth(1).unwrap().to_owned();
        self.server = Some(server);
    }

    pub fn run(&self, words: &[&str]) -> Output {
        run(self.own.path(), &[&[self.address.as_str()], words].concat(), b"")
    }

    /// Runs a command, which must succeed, and returns its output.
    #[track_caller]
    pub fn run_ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn stored(&self, name: &str) -> Vec<u8> {
        fs::read(self.library.path().join(name)).unwrap()
    }

    pub fn own(&self, name: &str) -> Vec<u8> {
        fs::read(self.own.path().join(name)).unwrap()
    }

    /// Returns the hidden files in the client's folder.
    pub fn hidden(&self) -> Vec<String> {
        let names = fs::read_dir(self.own.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
    }
}

/// Returns the client with its words, and with pipes for its standard streams.
pub fn client(folder: &Path, words: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(EVCLIENT);
    command.args(words).current_dir(folder).env("LANG", "C.UTF-8").env_remove("LC_ALL");
    command.env("XDG_STATE_HOME", folder.join("state"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn run(folder: &Path, words: &[impl AsRef<OsStr>], input: &[u8]) -> Output {
    let mut child = client(folder, words).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[track_caller]
pub fn assert_fails(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "{why:?} is not in {said:?}");
}

#[test]
fn files_are_uploaded_listed_and_downloaded() {
    let fixture = Fixture::new();
    assert_eq!(fixture.run_ok(&["list"]), "");
    assert_eq!(fixture.run_ok(&["put", "large"]), "");
    assert!(fixture.stored("large") == large_file());
    fixture.run_ok(&["put", "large", "--as", "another name"]);
    let said = run(fixture.own.path(), &[&fixture.address, "put", "-", "piped"], b"from a pipe");
    assert!(said.status.success());
    let list = fixture.run_ok(&["list"]);
    assert_eq!(list.lines().count(), 3);
    assert!(fixture.run_ok(&["stat", "piped"]).starts_with("          11 20"));
    assert_eq!(fixture.run_ok(&["get", "piped", "-"]), "from a pipe");
    fixture.run_ok(&["get", "large", "--to", "copy"]);
    assert!(fixture.own("copy") == large_file());
    fs::create_dir(fixture.own.path().join("folder")).unwrap();
    fixture.run_ok(&["get", "another name", "piped", "--to", "folder"]);
    assert!(fixture.own("folder/another name") == large_file() && fixture.own("folder/piped").len() == 11);
    assert!(fixture.hidden().is_empty());
    // Rejected commands.
    assert_fails(&fixture.run(&["put", "large", "--as", "piped"]), 1, "large as piped: exists");
    assert_fails(&fixture.run(&["get", "nothing"]), 1, "evclient: nothing: not-found");
    assert_fails(&fixture.run(&["stat", "nothing"]), 1, "evclient: nothing: not-found");
    assert_fails(&fixture.run(&["put", "not here"]), 1, "not here: No such file");
    assert_fails(&fixture.run(&["put", "folder"]), 1, "folder: it is a folder");
    assert_fails(&fixture.run(&["put", ".."]), 1, "..: it is not a file name");
    assert_fails(&fixture.run(&["put", "large", "--as", "a\nQUIT"]), 1, "is not a valid name");
    assert_fails(&fixture.run(&["get", "../x"]), 1, "is not a valid name");
    assert_fails(&fixture.run(&["get", "piped", "--to", "no/where"]), 1, "piped: cannot write no/");
    assert_fails(&fixture.run(&["dance"]), 2, "dance is not a command");
    assert_fails(&fixture.run(&["list", "x"]), 2, "list takes no names");
    assert_fails(&fixture.run(&["stat", "a", "b"]), 2, "stat takes one name");
    assert_fails(&run(fixture.own.path(), &["127.0.0.1:1", "list"], b""), 3, "cannot connect");
}

#[test]
fn an_upload_whose_name_is_taken_reports_its_other_name() {
    let mut fixture = Fixture::new();
    fixture.restart_with(&["--on-duplicate", "rename"]);
    fs::write(fixture.library.path().join("large"), "another file").unwrap();
    assert_fails(&fixture.run(&["put", "large"]), 0, "large: stored as large (1)");
    assert!(fixture.stored("large (1)") == large_file());
}

pub type Script = &'static [&'static [u8]];

/// Starts a server that replies to each command with the next entry of the script.
pub fn scripted_server(script: Script) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        for answer in script {
            let mut buffer = [0; 4096];
            if !matches!(client.read(&mut buffer), Ok(1..)) || client.write_all(answer).is_err() {
                break;
            }
        }
    });
    (address, thread)
}

#[test]
fn bad_replies_are_reported_and_leave_no_file() {
    const STAT: &[u8] = b"OK 5 2026-11-21T00:00:00Z\r\n";
    let cases: &[(&[&str], Script, i32, &str)] = &[
        (&["list"], &[], 3, "connection"),
        (&["list"], &[b"HTTP/1.1 400 Bad Request\r\n"], 3, "does not speak the expected protocol"),
        (&["list"], &[b"OK 2\r\n1 now a\r\n"], 3, "closed"),
        (&["list"], &[b"OK many\r\n"], 3, "instead of a number"),
        (&["list"], &[b"OK 1\r\nx\r\n"], 3, "in a list"),
        (&["list"], &[b"OK"], 3, "in the middle of a line"),
        (&["list"], &[&[b'x'; 9000]], 3, "a line without a newline"),
        (&["list"], &[b"\xff\xfe\r\n"], 3, "does not speak the expected protocol"),
        (&["get", "a"], &[STAT, b"OK 6\r\nhello!", STAT], 3, "6 bytes instead of 5"),
        (&["get", "a"], &[STAT, b"OK 5\r\nhel"], 3, "ended at 3 of 5"),
        (
            &["get", "a"],
            &[STAT, b"OK 5\r\nhello", b"OK 5 2027-01-01T00:00:00Z\r\n"],
            1,
            "changed during the download",
        ),
        (&["get", "a"], &[STAT, b"OK 5\r\nhello", STAT, b"OK 00\r\n"], 1, "SHA-256 of the download differs"),
        (&["put", "file"], &[b"OK 6\r\n"], 3, "claims to have 6 of 5 bytes"),
        (&["put", "file"], &[b"OK 0\r\n", b"OK 5 0000\r\n"], 3, "instead of a SHA-256"),
        (
            &["put", "file"],
            &[b"OK 0\r\n", b"OK 5 0000000000000000000000000000000000000000000000000000000000000000\r\n"],
            1,
            "SHA-256 of the stored file differs",
        ),
        (&["put", "file"], &[b"OK 0\r\n", b"ERR no-space there is not enough disk space\r\n"], 1, "no-space"),
    ];
    let folder = || {
        let own = tempfile::tempdir().unwrap();
        fs::write(own.path().join("file"), "hello").unwrap();
        own
    };
    for (words, script, code, why) in cases {
        let own = folder();
        let (address, thread) = scripted_server(script);
        let output = run(own.path(), &[&[address.as_str()], *words].concat(), b"");
        assert_fails(&output, *code, why);
        thread.join().unwrap();
        assert!(!own.path().join("a").exists(), "{why}");
    }
    // A server without RESUME.
    let sha256 = b"OK 5 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\r\n";
    let script: &[&[u8]] = Box::leak(Box::new([&b"ERR bad-command x\r\n"[..], sha256]));
    let (address, thread) = scripted_server(script);
    assert!(run(folder().path(), &[&address, "put", "file"], b"").status.success());
    thread.join().unwrap();
}

#[test]
fn say_sends_messages_and_prints_the_replies() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            client.write_all(format!("{} bytes", count).as_bytes()).unwrap();
        }
    });
    let own = tempfile::tempdir().unwrap();
    let output = run(own.path(), &["say", &address], b"hello\n\xe4\xbd\xa0\n\nnever said\n");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("answer: 5 bytes\n") && printed.contains("answer: 3 bytes\n"), "{printed}");
    assert_eq!(printed.matches("answer").count(), 2);
    server.join().unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        let (count, peer) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..count], peer).unwrap();
    });
    let output = run(own.path(), &["say", &address, "--udp"], b"datagram\n");
    assert!(String::from_utf8(output.stdout).unwrap().contains("answer: datagram\n"));
    server.join().unwrap();
}
