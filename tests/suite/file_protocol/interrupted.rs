//! Interrupted transfers of the client, and how they resume. To add a case, let `cutting_proxy` close the
//! connection after a number of bytes in one direction.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread::JoinHandle;

use super::evclient::{EVCLIENT, Fixture, assert_fails, run};
use crate::process::{large_file, wait_for, wait_until_read};

/// Starts a proxy that closes the connection after `up` bytes to the server or `down` bytes to the client.
pub fn cutting_proxy(server: &str, up: Option<usize>, down: Option<usize>) -> (String, JoinHandle<()>) {
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
fn interrupted_uploads_and_downloads_resume() {
    let fixture = Fixture::new();
    let bytes = large_file();
    for tenth in 1..10 {
        let limit = bytes.len() / 10 * tenth;
        let name = format!("up-{tenth}");
        let (address, thread) = cutting_proxy(&fixture.address, Some(limit), None);
        assert_fails(
            &run(fixture.own.path(), &[&address, "put", "large", "--as", &name], b""),
            3,
            "connection",
        );
        thread.join().unwrap();
        let output = fixture.run(&["put", "large", "--as", &name]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains(": resuming at "), "{said}");
        assert!(fixture.stored(&name) == bytes, "{name}");
        // The client repeats an upload whose last reply was lost.
        assert!(fixture.run(&["put", "large", "--as", &name]).status.success());
        let (address, thread) = cutting_proxy(&fixture.address, None, Some(limit));
        assert_fails(
            &run(fixture.own.path(), &[&address, "get", &name, "--to", "down"], b""),
            3,
            "the connection ended at",
        );
        thread.join().unwrap();
        assert!(!fixture.own.path().join("down").exists());
        let output = fixture.run(&["get", &name, "--to", "down"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains(": resuming at "), "{said}");
        assert!(fixture.own("down") == bytes && fixture.hidden().is_empty());
        fs::remove_file(fixture.own.path().join("down")).unwrap();
    }
}

#[test]
fn resumed_transfers_survive_a_server_restart_and_are_verified() {
    let mut fixture = Fixture::new();
    let (address, thread) = cutting_proxy(&fixture.address, Some(large_file().len() / 2), None);
    assert_fails(&run(fixture.own.path(), &[&address, "put", "large"], b""), 3, "connection");
    thread.join().unwrap();
    // The bytes may still be in the socket, where the restart would lose them.
    wait_for("the first half on the disk", || {
        let partial = fs::read_dir(fixture.library.path().join(".evserve-partial")).unwrap();
        let lengths = partial.map(|file| file.unwrap().metadata().map_or(0, |file| file.len()));
        (lengths.sum::<u64>() > 0).then_some(())
    });
    fixture.restart();
    let output = fixture.run(&["put", "large"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("resuming at "));
    assert!(fixture.stored("large") == large_file());
    // A partial download that was modified fails the SHA-256 check.
    let (address, thread) = cutting_proxy(&fixture.address, None, Some(100_000));
    assert_fails(
        &run(fixture.own.path(), &[&address, "get", "large", "--to", "copy"], b""),
        3,
        "the connection ended at",
    );
    thread.join().unwrap();
    let part = fixture.own.path().join(&fixture.hidden()[0]);
    fs::write(&part, vec![7; 50_000]).unwrap();
    assert_fails(&fixture.run(&["get", "large", "--to", "copy"]), 1, "SHA-256 of the download differs");
    assert!(fixture.hidden().is_empty() && !fixture.own.path().join("copy").exists());
    // A file that has changed on the server is downloaded from the start.
    let (address, thread) = cutting_proxy(&fixture.address, None, Some(100_000));
    assert_fails(
        &run(fixture.own.path(), &[&address, "get", "large", "--to", "copy"], b""),
        3,
        "the connection ended at",
    );
    thread.join().unwrap();
    fs::write(fixture.library.path().join("large"), "another").unwrap();
    let output = fixture.run(&["get", "large", "--to", "copy"]);
    assert!(output.status.success() && output.stderr.is_empty());
    assert_eq!(fixture.own("copy"), b"another");
}

#[test]
fn an_interrupted_download_leaves_no_visible_file() {
    // A resumable download is kept in a hidden file. Any other is deleted, except where every file needs a name.
    for (dialect, answers, kept) in [
        ("lines", [&b"OK 5 2026-11-21T00:00:00Z\r\n"[..], b"OK 5\r\nhel"], 1),
        ("joined", [&b"OK"[..], b""], usize::from(cfg!(not(target_os = "linux")))),
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
