//! Several files in one command of the client, and the local files that it uploads. To add a case, name the files after
//! `put` or `get` and compare the stored files.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use super::evclient::{EVCLIENT, Fixture, assert_fails, run, scripted_server};
use super::targets::make_fifo;
use crate::process::tool;

#[test]
fn two_names_are_two_files() {
    let fixture = Fixture::new();
    for name in ["one", "two"] {
        fs::write(fixture.own.path().join(name), name).unwrap();
    }
    fixture.run_ok(&["put", "one", "two"]);
    assert_eq!((fixture.stored("one"), fixture.stored("two")), (b"one".to_vec(), b"two".to_vec()));
    fixture.run_ok(&["put", "one", "--as", "three"]);
    fs::remove_file(fixture.own.path().join("one")).unwrap();
    fixture.run_ok(&["get", "one", "three"]);
    assert_eq!((fixture.own("one"), fixture.own("three")), (b"one".to_vec(), b"one".to_vec()));
    assert_fails(
        &fixture.run(&["put", "one", "two", "--as", "four"]),
        2,
        "--as names one file, and put has 2",
    );
    assert_fails(&fixture.run(&["get", "one", "two", "--to", "two"]), 2, "several files need a folder");
    assert_eq!(fixture.own("two"), b"two");
}

#[test]
fn a_batch_names_each_failed_file_and_counts_them() {
    let fixture = Fixture::new();
    let own = fixture.own.path();
    let odd = OsStr::from_bytes(b"odd\xff");
    fs::write(own.join("last"), "last").unwrap();
    fs::write(own.join(odd), "odd").unwrap();
    let run = |words: &[&OsStr]| run(own, &[&[fixture.address.as_ref()], words].concat(), b"");
    let output = run(&["put".as_ref(), "missing".as_ref(), odd, "last".as_ref()]);
    for why in
        ["missing: No such file", r#""odd\xFF": the name is not UTF-8"#, "evclient: 2 of 3 files failed\n"]
    {
        assert_fails(&output, 1, why);
    }
    assert_eq!(fixture.stored("last"), b"last");
    // A local name may be anything if another one is given.
    assert!(run(&["put".as_ref(), odd, "--as=even".as_ref()]).status.success());
    assert_eq!(fixture.stored("even"), b"odd");
    let output = run(&["get".as_ref(), odd, "gone".as_ref(), "even".as_ref()]);
    for why in [r#""odd\xFF": the name is not UTF-8"#, "gone: not-found", "evclient: 2 of 3 files failed\n"] {
        assert_fails(&output, 1, why);
    }
    assert_eq!(fixture.own("even"), b"odd");
}

#[test]
fn a_lost_connection_ends_a_batch_with_exit_code_3() {
    let own = tempfile::tempdir().unwrap();
    let (address, thread) = scripted_server(&[b"ERR not-found there is no such file\r\n", b"OK"]);
    let output = run(own.path(), &[&address, "get", "a", "b", "c"], b"");
    for why in
        ["a: not-found", "b: the server closed the connection", "evclient: 2 of 3 files failed, 1 not tried"]
    {
        assert_fails(&output, 3, why);
    }
    thread.join().unwrap();
}

#[test]
fn a_local_error_fails_one_file_and_not_the_next() {
    let fixture = Fixture::new();
    fs::write(fixture.library.path().join("small"), "small").unwrap();
    fs::rename(fixture.own.path().join("large"), fixture.library.path().join("large")).unwrap();
    for dialect in ["lines", "joined"] {
        // Like a full disk, a limit on the size of files fails the download in the middle.
        let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
        let words = ["--dialect", dialect, &fixture.address, "get", "large", "small"];
        let mut shell = Command::new("sh");
        shell.args(["-c", limited, EVCLIENT]).args(words).current_dir(fixture.own.path());
        let output = shell.output().unwrap();
        for why in ["large: cannot write large: File too large", "evclient: 1 of 2 files failed\n"] {
            assert_fails(&output, 1, why);
        }
        assert_eq!(fixture.own("small"), b"small");
        fs::remove_file(fixture.own.path().join("small")).unwrap();
    }
}

#[test]
fn fifos_and_files_of_unknown_length_are_uploaded() {
    let fixture = Fixture::new();
    let fifo = fixture.own.path().join("fifo");
    make_fifo(&fifo);
    let writer = std::thread::spawn(move || fs::write(fifo, "from a fifo"));
    fixture.run_ok(&["put", "fifo"]);
    writer.join().unwrap().unwrap();
    assert_eq!(fixture.stored("fifo"), b"from a fifo");
    fs::write(fixture.own.path().join("empty"), "").unwrap();
    fixture.run_ok(&["put", "empty"]);
    assert_eq!(fixture.stored("empty"), b"");
    // Files of the kernel have length 0, or 4096, and another number of bytes.
    for (path, name) in [("/proc/version", "version"), ("/sys/devices/system/cpu/online", "online")] {
        if fs::exists(path).unwrap() {
            fixture.run_ok(&["put", path]);
            assert_eq!(fixture.stored(name), fs::read(path).unwrap());
        }
    }
    // Each read of this file returns another line.
    let random = "/proc/sys/kernel/random/uuid";
    if fs::exists(random).unwrap() {
        fixture.run_ok(&["put", random]);
        assert_eq!(fixture.stored("uuid").len(), 37);
    }
    let Some(bash) = tool("bash") else { return };
    let mut shell = Command::new(bash);
    shell.args(["-c", "\"$0\" \"$1\" put <(echo substituted) --as s", EVCLIENT, &fixture.address]);
    assert!(shell.status().unwrap().success());
    assert_eq!(fixture.stored("s"), b"substituted\n");
}

/// Accepts a client, reads its RESUME, and asks for the file from its first byte.
fn accept_upload(listener: &TcpListener) -> BufReader<TcpStream> {
    let mut client = BufReader::new(listener.accept().unwrap().0);
    let mut command = String::new();
    client.read_line(&mut command).unwrap();
    assert!(command.starts_with("RESUME "), "{command}");
    client.get_mut().write_all(b"OK 0\r\n").unwrap();
    client
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_reported() {
    const REJECTED: &[u8] = b"ERR bad-hash the bytes do not have the announced SHA-256\r\n";
    const STORED: &[u8] = b"OK 5 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\r\n";
    let own = tempfile::tempdir().unwrap();
    let at = |name: &str| own.path().join(name);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The same length, and other bytes.
    fs::write(at("a"), "hello").unwrap();
    for (content, why) in [("hello", "a: bad-hash"), ("HELLO", "a: the file changed while it was sent")] {
        let (a, listener) = (at("a"), listener.try_clone().unwrap());
        let server = std::thread::spawn(move || {
            let mut client = accept_upload(&listener);
            client.read_exact(&mut [0; 5]).unwrap();
            fs::write(a, content).unwrap();
            client.get_mut().write_all(REJECTED).unwrap();
            let _ = client.read(&mut [0; 10]);
        });
        assert_fails(&run(own.path(), &[&address, "put", "a"], b""), 1, why);
        server.join().unwrap();
    }
    // A file that becomes shorter. The next file is sent over another connection.
    let long = fs::File::create(at("long")).unwrap();
    long.set_len(64 << 20).unwrap();
    fs::write(at("a"), "hello").unwrap();
    let server = std::thread::spawn(move || {
        let stalled = accept_upload(&listener);
        long.set_len(0).unwrap();
        let mut client = accept_upload(&listener);
        client.read_exact(&mut [0; 5]).unwrap();
        client.get_mut().write_all(STORED).unwrap();
        let _ = client.read(&mut [0; 10]);
        drop(stalled);
    });
    let output = run(own.path(), &[&address, "put", "long", "a"], b"");
    for why in ["long: the file changed while it was sent", "evclient: 1 of 2 files failed"] {
        assert_fails(&output, 1, why);
    }
    server.join().unwrap();
}

#[test]
fn an_upload_that_is_already_stored_succeeds() {
    let fixture = Fixture::new();
    fixture.run_ok(&["put", "large"]);
    assert_fails(&fixture.run(&["put", "large"]), 0, "large: already there");
    fs::write(fixture.own.path().join("large"), "other bytes").unwrap();
    assert_fails(&fixture.run(&["put", "large"]), 1, "large: exists");
    // The same length, and other bytes.
    fs::write(fixture.library.path().join("large"), "OTHER BYTES").unwrap();
    assert_fails(&fixture.run(&["put", "large"]), 1, "large: exists");
}
