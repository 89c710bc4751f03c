//! Where the client's downloads go: files, links, FIFOs and folders, and the hidden parts of downloads. To add a case,
//! create the target in the client's folder and get a file to it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::evclient::{EVCLIENT, Fixture, Script, assert_fails, run, scripted_server};

pub fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Opens a FIFO without waiting for its writer.
fn open_fifo(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path).unwrap()
}

/// Returns a server with the file `a`, whose content is `hello`.
fn fixture_with_a() -> Fixture {
    let fixture = Fixture::new();
    fs::write(fixture.library.path().join("a"), "hello").unwrap();
    fixture
}

#[test]
fn downloads_write_to_fifos_and_do_not_replace_them() {
    let fixture = fixture_with_a();
    let at = |name: &str| fixture.own.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    make_fifo(&at("fifo"));
    make_fifo(&at("folder/a"));
    symlink("fifo", at("link")).unwrap();
    for (dialect, to, fifo) in [
        ("lines", "fifo", "fifo"),
        ("joined", "fifo", "fifo"),
        ("lines", "link", "fifo"),
        ("lines", "folder", "folder/a"),
    ] {
        let mut reader = open_fifo(&at(fifo));
        fixture.run_ok(&["--dialect", dialect, "get", "a", "--to", to]);
        assert!(fs::symlink_metadata(at(fifo)).unwrap().file_type().is_fifo(), "{dialect} {to}");
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello", "{dialect} {to}");
    }
    assert!(at("link").is_symlink() && fixture.hidden().is_empty());
}

#[test]
fn downloads_follow_links_and_keep_the_mode_of_the_replaced_file() {
    let fixture = fixture_with_a();
    let at = |name: &str| fixture.own.path().join(name);
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other/file"), "old").unwrap();
    fs::set_permissions(at("other/file"), Permissions::from_mode(0o660)).unwrap();
    symlink("other/file", at("link")).unwrap();
    symlink("link", at("chain")).unwrap();
    symlink("other/new", at("dangling")).unwrap();
    symlink("circle", at("circle")).unwrap();
    for dialect in ["lines", "joined"] {
        let before = fs::metadata(at("other/file")).unwrap();
        fixture.run_ok(&["--dialect", dialect, "get", "a", "--to", "chain"]);
        let after = fs::metadata(at("other/file")).unwrap();
        // The file is another one, so its readers never saw half of the new content.
        assert_ne!(before.ino(), after.ino());
        assert_eq!((fixture.own("other/file"), after.mode() & 0o7777), (b"hello".to_vec(), 0o660));
        fixture.run_ok(&["--dialect", dialect, "get", "a", "--to", "dangling"]);
        assert_eq!(fixture.own("other/new"), b"hello");
        fs::remove_file(at("other/new")).unwrap();
        assert!(["link", "chain", "dangling"].iter().all(|name| at(name).is_symlink()));
    }
    assert_eq!(fs::read_dir(at("other")).unwrap().count(), 1);
    assert_fails(&fixture.run(&["get", "a", "--to", "circle"]), 1, "a: cannot write circle: Too many levels");
    fs::create_dir_all(at("a/a")).unwrap();
    for words in [&["get", "a"][..], &["get", "a", "--to", "a"]] {
        assert_fails(&fixture.run(words), 1, "it is a folder");
    }
}

#[test]
fn downloads_to_a_name_of_an_open_descriptor_append_to_its_file() {
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let fixture = fixture_with_a();
    let at = |name: &str| fixture.own.path().join(name);
    symlink("/dev/stdout", at("link")).unwrap();
    symlink("link", at("chain")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink("/dev/fd/1", at("folder/a")).unwrap();
    for (redirection, to) in [
        (">>log", "-"),
        (">>log", "/dev/stdout"),
        (">>log", "/dev/fd/1"),
        (">>log", "/proc/self/fd/1"),
        (">>log", "link"),
        (">>log", "chain"),
        (">>log", "folder"),
        ("2>>log", "/dev/stderr"),
        ("2>>log", "/dev/fd/2"),
        ("3>>log", "/dev/fd/3"),
        ("3>>log", "/proc/self/fd/3"),
    ] {
        for dialect in ["lines", "joined"] {
            fs::write(at("log"), "before ").unwrap();
            let before = fs::metadata(at("log")).unwrap();
            let command = format!("exec \"$0\" --dialect {dialect} \"$1\" get a --to \"$2\" {redirection}");
            let mut shell = Command::new("sh");
            shell.args(["-c", &command, EVCLIENT, &fixture.address, to]).current_dir(fixture.own.path());
            let output = shell.output().unwrap();
            assert!(output.status.success(), "{to}: {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(String::from_utf8(fixture.own("log")).unwrap(), "before hello", "{dialect} {to}");
            assert_eq!(fs::metadata(at("log")).unwrap().ino(), before.ino(), "{dialect} {to}");
        }
    }
    assert!(["link", "chain", "folder/a"].iter().all(|name| at(name).is_symlink()));
    assert!(fixture.hidden().is_empty());
}

#[test]
fn a_file_that_is_deleted_during_its_download_is_kept() {
    const STAT: &[u8] = b"OK 5 2026-11-21T00:00:00Z\r\n";
    const BYTES: &[u8] = b"OK 5\r\nhello";
    const GONE: &[u8] = b"ERR not-found there is no such file\r\n";
    let scripts: [Script; 2] =
        [&[STAT, BYTES, GONE, b"OK bye\r\n"], &[STAT, BYTES, STAT, GONE, b"OK bye\r\n"]];
    for script in scripts {
        let own = tempfile::tempdir().unwrap();
        let (address, thread) = scripted_server(script);
        assert_fails(&run(own.path(), &[&address, "get", "a"], b""), 0, "a: deleted on the server");
        thread.join().unwrap();
        assert_eq!(fs::read(own.path().join("a")).unwrap(), b"hello");
        assert_eq!(fs::read_dir(own.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_complete_download_removes_the_parts_of_other_versions() {
    let fixture = fixture_with_a();
    let at = |name: &str| fixture.own.path().join(name);
    let mut kept =
        [".a.b.3-2026T01Z.part", ".a.x.part", ".a.3-.x.part", ".b.3-2026T01Z.part", ".a.9-2026T01Z.part"];
    for name in [".a.3-20260101T000000Z.part", ".a.4-2026T01Z.part"].iter().chain(&kept) {
        fs::write(at(name), "old").unwrap();
    }
    // The part of a download that is in progress.
    let locked = File::open(at(".a.9-2026T01Z.part")).unwrap();
    flock(&locked, FlockOperation::LockExclusive).unwrap();
    fixture.run_ok(&["get", "a"]);
    let mut hidden = fixture.hidden();
    hidden.sort();
    kept.sort_unstable();
    assert_eq!(hidden, kept);
}

#[test]
fn two_clients_do_not_write_to_one_part() {
    const SCRIPT: Script = &[b"OK 5 2026-11-21T00:00:00Z\r\n", b"OK bye\r\n"];
    let own = tempfile::tempdir().unwrap();
    let part = own.path().join(".a.5-20261121T000000Z.part");
    let locked = File::create(&part).unwrap();
    flock(&locked, FlockOperation::LockExclusive).unwrap();
    let get = |why: &str| {
        let (address, thread) = scripted_server(SCRIPT);
        assert_fails(&run(own.path(), &[&address, "get", "a"], b""), 1, why);
        thread.join().unwrap();
    };
    get("another evclient is downloading this file");
    // A link is not followed, because another user may have put it there.
    fs::remove_file(&part).unwrap();
    fs::write(own.path().join("other"), "").unwrap();
    symlink("other", &part).unwrap();
    get("Too many levels of symbolic links");
    assert_eq!(fs::read(own.path().join("other")).unwrap(), b"");
}

#[test]
fn the_longest_name_can_be_downloaded() {
    let fixture = Fixture::new();
    let name = "n".repeat(255);
    fs::write(fixture.library.path().join(&name), "hello").unwrap();
    fixture.run_ok(&["get", &name]);
    assert_eq!(fixture.own(&name), b"hello");
}
