//! Transfers of the client that are cut off, and go on. To add a case, let `cut` end the connection after so
//! many bytes of one direction.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread::JoinHandle;

use super::evclient::{EVCLIENT, Setting, fails, run};
use crate::process::{large_file, wait_for, wait_until_read};

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
            wait_until_read(&client);
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
