//! Files of a site on disk: special, oddly named, unreadable and changing ones. To add a case, add a row
//! (path, status) to the table of its test.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::sockets::GET_LARGE;
use crate::process::{Client, PROGRAM, Server, large_file, small_site, wait_for};

#[test]
fn special_files_are_not_found_and_never_opened() {
    let site = small_site();
    let fifo = site.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = UnixListener::bind(site.path().join("socket")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", site.path().join("zero")).unwrap();
    std::os::unix::fs::symlink("fifo", site.path().join("link")).unwrap();
    // If the server opened the FIFO, this writer would stop waiting for a reader.
    let writer = std::thread::spawn({
        let fifo = fifo.clone();
        move || File::options().write(true).open(fifo).map(|mut fifo| fifo.write_all(b"secret"))
    });
    let server = Server::start_with(Command::new(PROGRAM), site, &[]);
    for path in ["/fifo", "/socket", "/zero", "/link", "/fifo/", "/fifo"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert!(!writer.is_finished(), "the writer was woken");
    let mut secret = String::new();
    File::open(fifo).unwrap().read_to_string(&mut secret).unwrap();
    assert_eq!(secret, "secret");
    writer.join().unwrap().unwrap().unwrap();
}

#[test]
fn symlinks_and_odd_paths_never_cause_a_server_error() {
    let site = small_site();
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(from, site.path().join(to)).unwrap();
    link("circle", "circle");
    link("nowhere", "dangling");
    link("1k.txt", "inside");
    link("sub", "folder");
    fs::write(site.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9 \x01.txt")), "coffee").unwrap();
    let server = Server::start_with(Command::new(PROGRAM), site, &[]);
    for (path, status) in [
        ("/circle", 404),
        ("/circle/x", 404),
        ("/dangling", 404),
        ("/1k.txt/", 404),
        ("/1k.txt/x", 404),
        ("/1k.txt/..", 404),
        ("/sub/../1k.txt", 200),
        ("/inside", 200),
        ("/folder", 308),
        ("/caf%E9%20%01.txt", 200),
        ("/caf%C3%A9%20%01.txt", 404),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    assert_eq!(server.get(&format!("/{}", "a".repeat(300))).status, 404);
    assert_eq!(server.get(&format!("/{}", "a/".repeat(3000))).status, 404);
    assert_eq!(server.get(&format!("/{}", "../".repeat(2000))).status, 404);
}

#[test]
fn unreadable_files_are_forbidden() {
    let site = small_site();
    let open = |path: &str, mode| {
        fs::set_permissions(site.path().join(path), fs::Permissions::from_mode(mode)).unwrap()
    };
    fs::write(site.path().join("sub/x"), "x").unwrap();
    open("1k.txt", 0);
    open("sub", 0);
    open("", 0o755);
    // Root may read everything, so root runs a copy of the program as user 65534.
    let program = site.path().join("evserve");
    // Copied by cp: if this process wrote the copy, the child of another test could inherit the descriptor,
    // and exec would fail with ETXTBSY.
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    let mut command = Command::new(program);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let server = Server::start_with(command, site, &[]);
    for path in ["/1k.txt", "/sub/x", "/sub/"] {
        assert_eq!(server.get(path).status, 403, "{path}");
    }
    assert_eq!(server.get("/").status, 200);
    fs::set_permissions(server.site.path().join("sub"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_grown_file_ends_at_its_old_length_and_a_shrunk_file_ends_early() {
    let server = Server::start(&[]);
    let path = server.site.path().join("large.bin");
    let length = large_file().len();
    let whole = |client: &mut Client| {
        client.send(GET_LARGE);
        client.end_output();
    };
    let mut client = server.connect();
    whole(&mut client);
    wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
    File::options().append(true).open(&path).unwrap().write_all(&[7; 1000]).unwrap();
    assert!(client.response().body == large_file());
    client.expect_end();

    fs::write(&path, vec![b'x'; 60_000_000]).unwrap();
    let mut client = server.connect();
    whole(&mut client);
    wait_for("the first bytes", || client.stream.peek(&mut [0; 1]).ok());
    File::options().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
    let rest = client.rest();
    assert!(rest.len() < 60_000_000, "it was padded");
    assert_eq!(server.get("/1k.txt").status, 200);
}

#[test]
fn edits_and_deletions_are_noticed() {
    let server = Server::start(&[]);
    let path = server.site.path().join("page.html");
    for version in 0..20 {
        fs::write(&path, format!("version {version}")).unwrap();
        assert_eq!(server.get("/page.html").text(), format!("version {version}"));
    }
    fs::remove_file(path).unwrap();
    assert_eq!(server.get("/page.html").status, 404);
}
