//! The client's connections and standard streams: Unix sockets, signals, and a closed output. To add a case, start the
//! client with `client` and speak as its server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use super::evclient::{Fixture, assert_fails, client, run};
use crate::process::{Server, wait_for, wait_until_read};

#[test]
fn a_closed_standard_output_ends_commands_quietly() {
    let fixture = Fixture::new();
    fixture.run_ok(&["put", "large"]);
    for words in [&["list"][..], &["stat", "large"], &["get", "large", "-"], &["get", "large", "--to", "-"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let words = [&[fixture.address.as_str()], words].concat();
        let output = client(fixture.own.path(), &words).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn the_client_connects_to_unix_sockets() {
    let (library, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(own.path().join("a"), "hello").unwrap();
    let address = format!("unix:{}", own.path().join("a socket").display());
    let server = Server::start(&["--files", library.path().to_str().unwrap(), "--file", &address]);
    server.wait_for_line("listening file unix:");
    assert!(run(own.path(), &[&address, "put", "a"], b"").status.success());
    assert!(run(own.path(), &[&address, "--dialect=joined", "put", "a", "--as=b"], b"").status.success());
    assert_eq!(run(own.path(), &[&address, "get", "b", "-"], b"").stdout, b"hello");
    assert_fails(
        &run(own.path(), &["unix:nothing", "list"], b""),
        3,
        "cannot connect to unix:nothing: No such",
    );
}

#[test]
fn the_reason_of_the_server_is_reported_although_a_command_cannot_be_sent() {
    let own = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(own.path().join("socket")).unwrap();
    let server = std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        assert!(client.read(&mut [0; 4096]).unwrap() > 0);
        // The next write of the client fails.
        client.shutdown(Shutdown::Read).unwrap();
        client.write_all(b"OK 5 2026-11-21T00:00:00Z\r\nERR busy the server ends\r\n").unwrap();
    });
    assert_fails(&run(own.path(), &["unix:socket", "get", "a"], b""), 1, "a: busy the server ends");
    server.join().unwrap();
}

/// Stops a client that waits for its peer, and continues it, as Ctrl-Z and `fg` do.
fn stop_and_continue(child: &Child) {
    let stat = format!("/proc/{}/stat", child.id());
    let wait_for_state = |state: &str| {
        wait_for(state, || {
            let stat = fs::read_to_string(&stat).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with(state).then_some(())
        })
    };
    wait_for_state("S");
    kill_process(Pid::from_child(child), Signal::STOP).unwrap();
    wait_for_state("T");
    kill_process(Pid::from_child(child), Signal::CONT).unwrap();
    wait_for_state("S");
}

#[test]
fn a_stopped_and_continued_client_keeps_its_connection() {
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let own = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for (words, pieces) in [
        (&["get", "a", "-"][..], &["OK 5\r\nhe", "llo"][..]),
        (&["--dialect=joined", "get", "a", "-"], &["OK", "he", "llo", "##"]),
    ] {
        let child = client(own.path(), &[&[address.as_str()], words].concat()).spawn().unwrap();
        let mut stream = listener.accept().unwrap().0;
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        for piece in pieces {
            stop_and_continue(&child);
            stream.write_all(piece.as_bytes()).unwrap();
            wait_until_read(&stream);
        }
        drop(stream);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello", "{words:?}");
    }
    // Replies to messages are received in the same way.
    let mut child = client(own.path(), &["say", &address]).spawn().unwrap();
    let mut stream = listener.accept().unwrap().0;
    child.stdin.take().unwrap().write_all(b"question\n").unwrap();
    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    stop_and_continue(&child);
    stream.write_all(b"reply").unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(printed.any(|line| line.unwrap().contains("answer: reply")));
    assert!(child.wait().unwrap().success());
}
