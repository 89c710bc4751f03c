//! The client: commands and their exit codes, and servers that lie. To add a command, call `Setting::printed`
//! or `fails`; to add a lie, add a row (command, script of the server, exit code, message).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::process::{Server, large_file};

pub const EVCLIENT: &str = env!("CARGO_BIN_EXE_evclient");

/// A server with a library, and a folder of ours.
pub struct Setting {
    pub server: Option<Server>,
    pub address: String,
    pub library: TempDir,
    pub own: TempDir,
}

impl Setting {
    pub fn new() -> Setting {
        let (library, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(own.path().join("large"), large_file()).unwrap();
        let mut setting = Setting { server: None, address: String::new(), library, own };
        setting.restart();
        setting
    }

    pub fn restart(&mut self) {
        self.server = None;
        let server = Server::start(&["--files", self.library.path().to_str().unwrap(), "--file", "0"]);
        let line = server.wait_for_line("listening file tcp://");
        self.address = line.split("tcp://").nth(1).unwrap().to_owned();
        self.server = Some(server);
    }

    pub fn run(&self, words: &[&str]) -> Output {
        run(self.own.path(), &[&[self.address.as_str()], words].concat(), b"")
    }

    /// What a command prints, which must succeed.
    #[track_caller]
    pub fn printed(&self, words: &[&str]) -> String {
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

    /// What is hidden in our folder.
    pub fn hidden(&self) -> Vec<String> {
        let names = fs::read_dir(self.own.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
    }
}

pub fn run(folder: &Path, words: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(EVCLIENT)
        .args(words)
        .current_dir(folder)
        .env("LANG", "C.UTF-8")
        .env_remove("LC_ALL")
        .env("XDG_STATE_HOME", folder.join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[track_caller]
pub fn fails(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "{why:?} is not in {said:?}");
}

#[test]
fn files_go_up_and_come_down() {
    let setting = Setting::new();
    assert_eq!(setting.printed(&["list"]), "");
    assert_eq!(setting.printed(&["put", "large"]), "");
    assert!(setting.stored("large") == large_file());
    setting.printed(&["put", "large", "another name"]);
    let said = run(setting.own.path(), &[&setting.address, "put", "-", "piped"], b"from a pipe");
    assert!(said.status.success());
    let list = setting.printed(&["list"]);
    assert_eq!(list.lines().count(), 3);
    assert!(setting.printed(&["stat", "piped"]).starts_with("          11 20"));
    assert_eq!(setting.printed(&["get", "piped", "-"]), "from a pipe");
    setting.printed(&["get", "large", "copy"]);
    assert!(setting.own("copy") == large_file());
    fs::create_dir(setting.own.path().join("folder")).unwrap();
    setting.printed(&["get", "another name", "piped", "folder"]);
    assert!(setting.own("folder/another name") == large_file() && setting.own("folder/piped").len() == 11);
    assert!(setting.hidden().is_empty());
    // What is refused.
    fails(&setting.run(&["put", "large"]), 1, "exists");
    fails(&setting.run(&["get", "nothing"]), 1, "not-found");
    fails(&setting.run(&["get", "nothing", "piped", "neither"]), 1, "not-found");
    assert_eq!(setting.own("piped").len(), 11);
    fails(&setting.run(&["put", "not here"]), 1, "No such file");
    fails(&setting.run(&["put", "."]), 2, "names no file");
    fails(&setting.run(&["put", "large", "a\nQUIT"]), 1, "cannot be the name");
    fails(&setting.run(&["get", "../x"]), 1, "cannot be the name");
    fails(&setting.run(&["dance"]), 2, "dance is no command");
    fails(&run(setting.own.path(), &["127.0.0.1:1", "list"], b""), 3, "cannot connect");
}

type Script = &'static [&'static [u8]];

/// A server that answers each command with what stands in the script, whatever that is.
fn liar(script: Script) -> (String, JoinHandle<()>) {
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
fn a_server_that_lies_is_told_so_and_leaves_nothing() {
    const STAT: &[u8] = b"OK 5 2026-11-21T00:00:00Z\r\n";
    let cases: &[(&[&str], Script, i32, &str)] = &[
        (&["list"], &[], 3, "connection"),
        (&["list"], &[b"HTTP/1.1 400 Bad Request\r\n"], 3, "no protocol that is known"),
        (&["list"], &[b"OK 2\r\n1 now a\r\n"], 3, "closed"),
        (&["list"], &[b"OK many\r\n"], 3, "instead of a number"),
        (&["list"], &[b"OK 1\r\nx\r\n"], 3, "in a list"),
        (&["list"], &[b"OK"], 3, "in the middle of a line"),
        (&["list"], &[&[b'x'; 9000]], 3, "a line without end"),
        (&["list"], &[b"\xff\xfe\r\n"], 3, "no protocol that is known"),
        (&["get", "a"], &[STAT, b"OK 6\r\nhello!", STAT], 3, "6 bytes instead of 5"),
        (&["get", "a"], &[STAT, b"OK 5\r\nhel"], 3, "ended at 3 of 5"),
        (
            &["get", "a"],
            &[STAT, b"OK 5\r\nhello", b"OK 5 2027-01-01T00:00:00Z\r\n"],
            1,
            "changed while it came",
        ),
        (&["get", "a"], &[STAT, b"OK 5\r\nhello", STAT, b"OK 00\r\n"], 1, "another SHA-256"),
        (&["put", "file"], &[b"OK 6\r\n"], 3, "it has 6 of 5 bytes"),
        (&["put", "file"], &[b"OK 0\r\n", b"OK 5 0000\r\n"], 3, "instead of a SHA-256"),
        (
            &["put", "file"],
            &[b"OK 0\r\n", b"OK 5 0000000000000000000000000000000000000000000000000000000000000000\r\n"],
            1,
            "another SHA-256",
        ),
        (&["put", "file"], &[b"OK 0\r\n", b"ERR no-space there is not enough space\r\n"], 1, "no-space"),
    ];
    let folder = || {
        let own = tempfile::tempdir().unwrap();
        fs::write(own.path().join("file"), "hello").unwrap();
        own
    };
    for (words, script, code, why) in cases {
        let own = folder();
        let (address, thread) = liar(script);
        let output = run(own.path(), &[&[address.as_str()], *words].concat(), b"");
        fails(&output, *code, why);
        thread.join().unwrap();
        assert!(!own.path().join("a").exists(), "{why}");
    }
    // One that knows no RESUME.
    let sha256 = b"OK 5 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\r\n";
    let script: &[&[u8]] = Box::leak(Box::new([&b"ERR bad-command x\r\n"[..], sha256]));
    let (address, thread) = liar(script);
    assert!(run(folder().path(), &[&address, "put", "file"], b"").status.success());
    thread.join().unwrap();
}

#[test]
fn messages_are_said_and_answered() {
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
