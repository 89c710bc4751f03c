//! The client: commands and their exit codes, transfers that are cut off, servers that lie, the
//! documents' own servers, and the menu in a terminal.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{PATIENCE, Server, large_file, tool, wait_for};

const EVCLIENT: &str = env!("CARGO_BIN_EXE_evclient");

/// A server with a library, and a folder of ours.
struct Setting {
    server: Option<Server>,
    address: String,
    library: TempDir,
    own: TempDir,
}

impl Setting {
    fn new() -> Setting {
        let (library, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(own.path().join("large"), large_file()).unwrap();
        let mut setting = Setting { server: None, address: String::new(), library, own };
        setting.restart();
        setting
    }

    fn restart(&mut self) {
        self.server = None;
        let server = Server::start(&["--files", self.library.path().to_str().unwrap(), "--file", "0"]);
        let line = server.wait_for_line("listening file tcp://");
        self.address = line.split("tcp://").nth(1).unwrap().to_owned();
        self.server = Some(server);
    }

    fn run(&self, words: &[&str]) -> Output {
        run(self.own.path(), &[&[self.address.as_str()], words].concat(), b"")
    }

    /// What a command prints, which must succeed.
    #[track_caller]
    fn printed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn stored(&self, name: &str) -> Vec<u8> {
        fs::read(self.library.path().join(name)).unwrap()
    }

    fn own(&self, name: &str) -> Vec<u8> {
        fs::read(self.own.path().join(name)).unwrap()
    }

    /// What is hidden in our folder.
    fn hidden(&self) -> Vec<String> {
        let names = fs::read_dir(self.own.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
    }
}

fn run(folder: &Path, words: &[&str], input: &[u8]) -> Output {
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
fn fails(output: &Output, code: i32, why: &str) {
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

/// Passes on what two peers say, until so many bytes have gone one way.
fn cut(server: &str, up: Option<usize>, down: Option<usize>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = TcpStream::connect(server).unwrap();
    let thread = std::thread::spawn(move || {
        let client = listener.accept().unwrap().0;
        let pass = |mut from: TcpStream, mut to: TcpStream, limit: Option<usize>| {
            std::thread::spawn(move || {
                let (mut left, mut buffer) = (limit.unwrap_or(usize::MAX), [0; 4096]);
                while left > 0 {
                    let wanted = buffer.len().min(left);
                    match from.read(&mut buffer[..wanted]) {
                        Ok(count @ 1..) if to.write_all(&buffer[..count]).is_ok() => left -= count,
                        _ => break,
                    }
                }
                let _ = from.shutdown(std::net::Shutdown::Both);
                let _ = to.shutdown(std::net::Shutdown::Both);
            })
        };
        let clones = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let threads = [pass(clones.0, clones.1, up), pass(server, client, down)];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    (address, thread)
}

#[test]
fn a_transfer_that_was_cut_off_goes_on() {
    let setting = Setting::new();
    let bytes = large_file();
    for tenth in 1..10 {
        let limit = bytes.len() / 10 * tenth;
        let name = format!("up-{tenth}");
        let (address, thread) = cut(&setting.address, Some(limit), None);
        fails(&run(setting.own.path(), &[&address, "put", "large", &name], b""), 3, "connection");
        thread.join().unwrap();
        // The server has noticed when it lets another one write.
        wait_for("the upload", || {
            let output = setting.run(&["put", "large", &name]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() || said.contains("busy"), "{said}");
            output.status.success().then(|| assert!(said.contains(": resuming at "), "{said}"))
        });
        assert!(setting.stored(&name) == bytes, "{name}");
        let (address, thread) = cut(&setting.address, None, Some(limit));
        fails(&run(setting.own.path(), &[&address, "get", &name, "down"], b""), 3, "the connection ended at");
        thread.join().unwrap();
        assert!(!setting.own.path().join("down").exists());
        let output = setting.run(&["get", &name, "down"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains(": resuming at "), "{said}");
        assert!(setting.own("down") == bytes && setting.hidden().is_empty());
        fs::remove_file(setting.own.path().join("down")).unwrap();
    }
}

#[test]
fn a_restart_of_the_server_is_no_loss() {
    let mut setting = Setting::new();
    let (address, thread) = cut(&setting.address, Some(large_file().len() / 2), None);
    fails(&run(setting.own.path(), &[&address, "put", "large"], b""), 3, "connection");
    thread.join().unwrap();
    setting.restart();
    let output = setting.run(&["put", "large"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("resuming at "));
    assert!(setting.stored("large") == large_file());
    // What was kept of a download and is not what it was is found out.
    let (address, thread) = cut(&setting.address, None, Some(100_000));
    fails(&run(setting.own.path(), &[&address, "get", "large", "copy"], b""), 3, "the connection ended at");
    thread.join().unwrap();
    let part = setting.own.path().join(&setting.hidden()[0]);
    fs::write(&part, vec![7; 50_000]).unwrap();
    fails(&setting.run(&["get", "large", "copy"]), 1, "another SHA-256");
    assert!(setting.hidden().is_empty() && !setting.own.path().join("copy").exists());
    // What has changed meanwhile is fetched from its beginning.
    let (address, thread) = cut(&setting.address, None, Some(100_000));
    fails(&run(setting.own.path(), &[&address, "get", "large", "copy"], b""), 3, "the connection ended at");
    thread.join().unwrap();
    fs::write(setting.library.path().join("large"), "another").unwrap();
    let output = setting.run(&["get", "large", "copy"]);
    assert!(output.status.success() && output.stderr.is_empty());
    assert_eq!(setting.own("copy"), b"another");
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
fn an_interrupt_leaves_no_half_file() {
    // What could be taken up again is kept out of sight, the rest is gone.
    for (dialect, answers, kept) in [
        ("lines", [&b"OK 5 2026-11-21T00:00:00Z\r\n"[..], b"OK 5\r\nhel"], 1),
        ("joined", [&b"OK"[..], b""], 0),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let own = tempfile::tempdir().unwrap();
        let mut child = Command::new(EVCLIENT)
            .args(["--dialect", dialect, &address, "get", "a"])
            .current_dir(own.path())
            .spawn()
            .unwrap();
        let mut client = listener.accept().unwrap().0;
        let mut buffer = [0; 1024];
        for answer in answers.iter().filter(|answer| !answer.is_empty()) {
            assert!(client.read(&mut buffer).unwrap() > 0);
            client.write_all(answer).unwrap();
        }
        if dialect == "joined" {
            sleep(Duration::from_millis(100));
            client.write_all(b"hel").unwrap();
        }
        let names = || fs::read_dir(own.path()).unwrap().map(|entry| entry.unwrap().path());
        wait_for("some bytes", || {
            let came = names().all(|path| fs::metadata(path).is_ok_and(|file| file.len() == 3));
            (came && names().count() == kept).then_some(())
        });
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(!child.wait().unwrap().success());
        let left: Vec<_> = names().collect();
        assert_eq!(left.len(), kept, "{left:?}");
        assert!(!own.path().join("a").exists());
    }
}

/// The documents' own server (000 if `joined`, else 004), for one client: its messages are what one receive call
/// brings.
fn documents_server(folder: &Path, joined: bool) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = folder.to_owned();
    let pause = || sleep(Duration::from_millis(100));
    let thread = std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let mut buffer = [0; 1024];
        loop {
            let count = client.read(&mut buffer).unwrap();
            let command = String::from_utf8(buffer[..count].to_vec()).unwrap();
            let path = folder.join(command.split(' ').next_back().unwrap());
            match command.chars().next() {
                None | Some('Q') => return,
                Some('L') => {
                    client.write_all(b"OK").unwrap();
                    let mut names: Vec<String> = fs::read_dir(&folder)
                        .unwrap()
                        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                        .collect();
                    names.sort();
                    if joined {
                        pause();
                        client.write_all((names.join("#") + "#").as_bytes()).unwrap();
                        continue;
                    }
                    for name in names {
                        pause();
                        client.write_all(name.as_bytes()).unwrap();
                    }
                    pause();
                    client.write_all(b"##").unwrap();
                }
                Some('G') => match fs::read(path) {
                    Ok(bytes) => {
                        client.write_all(b"OK").unwrap();
                        pause();
                        bytes.chunks(1024).for_each(|piece| client.write_all(piece).unwrap());
                        pause();
                        client.write_all(b"##").unwrap();
                    }
                    Err(_) => {
                        client.write_all(if joined { "文件不存在".as_bytes() } else { b"FAIL" }).unwrap()
                    }
                },
                Some('P') => {
                    let mut file = fs::File::create_new(path).unwrap();
                    client.write_all(if joined { b"OK" } else { b"ok" }).unwrap();
                    loop {
                        let count = client.read(&mut buffer).unwrap();
                        if &buffer[..count] == b"##" {
                            break;
                        }
                        file.write_all(&buffer[..count]).unwrap();
                    }
                }
                Some(_) => panic!("{command}"),
            }
        }
    });
    (address, thread)
}

#[test]
fn the_documents_own_servers_are_served_by_it() {
    for (joined, dialect) in [(true, "--dialect=joined"), (false, "--dialect=listed")] {
        let (library, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bytes: Vec<u8> = (0..50_000_u32).map(|number| (number % 251) as u8).chain(*b"##").collect();
        for (name, content) in [("one", &bytes[..]), ("two", b"2")] {
            fs::write(library.path().join(name), content).unwrap();
        }
        fs::write(own.path().join("new"), &bytes).unwrap();
        let ask = |words: &[&str]| {
            let (address, thread) = documents_server(library.path(), joined);
            let output = run(own.path(), &[&[dialect, address.as_str()], words].concat(), b"");
            thread.join().unwrap();
            output
        };
        assert_eq!(ask(&["list"]).stdout, b"one\ntwo\n");
        assert!(ask(&["get", "one"]).status.success());
        assert!(fs::read(own.path().join("one")).unwrap() == bytes);
        assert!(ask(&["put", "new"]).status.success());
        assert!(fs::read(library.path().join("new")).unwrap() == bytes);
        fails(&ask(&["get", "nothing"]), 1, if joined { "文件不存在" } else { "FAIL" });
        assert!(!own.path().join("nothing").exists());
    }
    // And evserve in these dialects.
    let setting = Setting::new();
    for (name, dialect) in [("joined", "--dialect=joined"), ("listed", "--dialect=listed")] {
        setting.printed(&[dialect, "put", "large", name]);
        assert!(setting.stored(name) == large_file());
    }
}

#[test]
fn the_menu_is_that_of_the_documents() {
    let setting = Setting::new();
    let script = b"put large\nlist\nget large\ndance\nget nothing\nquit\n";
    let output = run(setting.own.path(), &[&setting.address], script);
    let printed = String::from_utf8(output.stdout).unwrap();
    for wanted in ["*********** get FILE", "large uploaded", "large downloaded", "that is all", "goodbye"] {
        assert!(printed.contains(wanted), "{wanted:?} is not in {printed}");
    }
    fails(&Output { stdout: Vec::new(), ..output }, 0, "not-found");
    let chinese = Command::new(EVCLIENT)
        .arg(&setting.address)
        .env("LC_ALL", "zh_CN.UTF-8")
        .env("XDG_STATE_HOME", setting.own.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(String::from_utf8(chinese.stdout).unwrap().ends_with("欢迎使用\n"));
}

#[test]
fn the_menu_in_a_terminal_completes_names_and_shows_progress() {
    let Some(script) = tool("script") else { return };
    let setting = Setting::new();
    setting.printed(&["put", "large", "a-very-long-name"]);
    let mut child = Command::new(script)
        .args(["-qfec", &format!("{EVCLIENT} {}", setting.address), "/dev/null"])
        .current_dir(setting.own.path())
        .env("TERM", "xterm")
        .env("LANG", "C.UTF-8")
        .env("XDG_STATE_HOME", setting.own.path().join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let (sender, shown) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut seen = String::new();
    let mut see = |what: &str| {
        while !seen.contains(what) {
            let more = shown.recv_timeout(PATIENCE);
            seen += &String::from_utf8_lossy(&more.unwrap_or_else(|_| panic!("{what:?} is not in {seen:?}")));
        }
        seen.drain(..seen.find(what).unwrap() + what.len());
    };
    see("command >> ");
    // The beginning of a name, and the tabulator.
    keyboard.write_all(b"get a-v\t\r").unwrap();
    see(" % ");
    see("a-very-long-name downloaded");
    assert!(setting.own("a-very-long-name") == large_file());
    // The last line again, by the arrow.
    fs::remove_file(setting.own.path().join("a-very-long-name")).unwrap();
    see("command >> ");
    keyboard.write_all(b"\x1b[A\r").unwrap();
    see("a-very-long-name downloaded");
    see("command >> ");
    // Ctrl-C at the prompt begins a new line, Ctrl-D ends.
    keyboard.write_all(b"half a li\x03").unwrap();
    see("command >> ");
    keyboard.write_all(b"\x04").unwrap();
    see("goodbye");
    assert!(child.wait().unwrap().success());
    assert!(setting.hidden().is_empty());
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
