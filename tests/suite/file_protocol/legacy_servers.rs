//! The client against the legacy servers, for which each receive call returns one message. To add a case, add
//! a command to `ask` and its expected result.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::evclient::{Fixture, assert_fails, run};
use crate::process::{at_once, cpu_wait_time, large_file, wait_until_read};

/// Starts a legacy server (000 if `joined`, else 004) for one client; each receive call returns one message.
/// The thread returns the pause between the last download and its `##`.
fn legacy_server(folder: &Path, joined: bool) -> (String, JoinHandle<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = folder.to_owned();
    let thread = std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let ours = client.try_clone().unwrap();
        let pause = || wait_until_read(&ours);
        let (mut buffer, mut end_delay) = ([0; 1024], Duration::ZERO);
        loop {
            let count = client.read(&mut buffer).unwrap();
            let command = String::from_utf8(buffer[..count].to_vec()).unwrap();
            let path = folder.join(command.split(' ').next_back().unwrap());
            match command.chars().next() {
                None | Some('Q') => return end_delay,
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
                        let sent = Instant::now();
                        pause();
                        client.write_all(b"##").unwrap();
                        end_delay = sent.elapsed();
                    }
                    Err(_) => {
                        client.write_all(if joined { "文件不存在".as_bytes() } else { b"FAIL" }).unwrap()
                    }
                },
                Some('P') => {
                    let mut file = fs::File::create_new(path).unwrap();
                    client.write_all(if joined { b"OK" } else { b"ok" }).unwrap();
                    let (mut bytes, waited) = (Vec::new(), cpu_wait_time());
                    let is_alone = loop {
                        let count = client.read(&mut buffer).unwrap();
                        match &buffer[..count] {
                            b"##" => break true,
                            b"" | b"Q" => break false,
                            more => bytes.extend_from_slice(more),
                        }
                    };
                    // A server that was delayed for half of the client's pause may miss the pause.
                    if !is_alone {
                        assert!(
                            cpu_wait_time() - waited > Duration::from_millis(50),
                            "the end did not come alone"
                        );
                        let data =
                            bytes.strip_suffix(b"Q").unwrap_or(&bytes).strip_suffix(b"##").unwrap().len();
                        bytes.truncate(data);
                    }
                    file.write_all(&bytes).unwrap();
                    if !is_alone {
                        return end_delay;
                    }
                }
                Some(_) => panic!("{command}"),
            }
        }
    });
    (address, thread)
}

#[test]
fn evclient_works_with_the_legacy_servers() {
    // In parallel, since most of the time is pauses.
    at_once([(true, "--dialect=joined"), (false, "--dialect=listed")], |(joined, dialect)| {
        let (library, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bytes: Vec<u8> = (0..50_000_u32).map(|number| (number % 251) as u8).chain(*b"##").collect();
        for (name, content) in [("one", &bytes[..]), ("two", b"2")] {
            fs::write(library.path().join(name), content).unwrap();
        }
        fs::write(own.path().join("new"), &bytes).unwrap();
        let ask = |words: &[&str]| {
            let (address, thread) = legacy_server(library.path(), joined);
            let output = run(own.path(), &[&[dialect, address.as_str()], words].concat(), b"");
            (output, thread.join().unwrap())
        };
        assert_eq!(ask(&["list"]).0.stdout, b"one\ntwo\n");
        loop {
            let (output, end_delay) = ask(&["get", "one"]);
            assert!(output.status.success());
            if fs::read(own.path().join("one")).unwrap() == bytes {
                break;
            }
            // The file ends with `##`, which counts as the end after half a second of silence.
            assert!(end_delay > Duration::from_millis(250), "the stored file differs from the sent one");
            fs::remove_file(own.path().join("one")).unwrap();
        }
        assert!(ask(&["put", "new"]).0.status.success());
        assert!(fs::read(library.path().join("new")).unwrap() == bytes);
        assert_fails(&ask(&["get", "nothing"]).0, 1, if joined { "文件不存在" } else { "FAIL" });
        assert!(!own.path().join("nothing").exists());
    });
    // evserve speaks these dialects, too.
    let fixture = Fixture::new();
    at_once([("joined", "--dialect=joined"), ("listed", "--dialect=listed")], |(name, dialect)| {
        fixture.run_ok(&[dialect, "put", "large", "--as", name]);
        assert!(fixture.stored(name) == large_file());
    });
}

/// Runs the client in the folder against a server that replies `OK` to its first message, and then runs `serve`.
fn run_against(folder: &Path, words: &[&str], serve: impl FnOnce(TcpStream) + Send) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            serve(stream);
        });
        run(folder, &[&["--dialect=joined", address.as_str()], words].concat(), b"")
    })
}

#[test]
fn a_file_that_shrinks_during_a_legacy_upload_is_reported() {
    let own = tempfile::tempdir().unwrap();
    fs::write(own.path().join("a"), "hello").unwrap();
    let output = run_against(own.path(), &["put", "a"], |mut stream| {
        fs::write(own.path().join("a"), "he").unwrap();
        stream.write_all(b"OK").unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"he");
    });
    assert_fails(&output, 1, "a: the file changed while it was sent");
}

#[test]
fn a_legacy_download_ends_with_silence_or_eof_and_not_with_a_reset() {
    let own = tempfile::tempdir().unwrap();
    let get = |is_reset: bool| loop {
        fs::write(own.path().join("a"), "a good file").unwrap();
        let waited = Mutex::new(Duration::ZERO);
        let output = run_against(own.path(), &["get", "a"], |mut stream| {
            stream.write_all(b"OK").unwrap();
            wait_until_read(&stream);
            let sent = Instant::now();
            stream.write_all(b"hello##").unwrap();
            wait_until_read(&stream);
            if is_reset {
                set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            }
            drop(stream);
            *waited.lock().unwrap() = sent.elapsed();
        });
        // After half a second of silence, the file is complete.
        if *waited.lock().unwrap() < Duration::from_millis(250) {
            return (output, fs::read_to_string(own.path().join("a")).unwrap());
        }
    };
    let (output, content) = get(true);
    assert_fails(&output, 3, "a: the connection failed");
    assert_eq!(content, "a good file");
    let (output, content) = get(false);
    assert!(output.status.success() && content == "hello", "{content}");
    assert_eq!(fs::read_dir(own.path()).unwrap().count(), 1);
}

#[test]
fn legacy_downloads_to_one_file_do_not_disturb_each_other() {
    let own = tempfile::tempdir().unwrap();
    let send = |stream: &mut TcpStream, message: &[u8]| {
        stream.write_all(message).unwrap();
        wait_until_read(stream);
    };
    let names = || {
        let names = fs::read_dir(own.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
    };
    let content = || fs::read_to_string(own.path().join("a")).unwrap();
    // The part of a client that was killed.
    fs::write(own.path().join(".a.-1aB.part"), "old").unwrap();
    // A name that the client used to copy the file to.
    symlink("nowhere", own.path().join(".a.whole.part")).unwrap();
    let output = run_against(own.path(), &["get", "a"], |mut first| {
        send(&mut first, b"OK");
        send(&mut first, b"first");
        let second = run_against(own.path(), &["get", "a"], |mut second| {
            send(&mut second, b"OK");
            send(&mut second, b"second");
            send(&mut second, b"##");
        });
        assert!(second.status.success() && content() == "second");
        send(&mut first, b"##");
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(content(), "first");
    let output = run_against(own.path(), &["get", "b"], |mut stream| {
        send(&mut stream, b"OK");
        send(&mut stream, b"half");
    });
    assert_fails(&output, 3, "b: the server closed the connection");
    let mut left = names();
    left.sort();
    assert_eq!(left, [".a.whole.part", "a"]);
}
