//! Read your writes: edits files of a running server and requests them at once, over a kept connection. No response may
//! be older than the edit. To add a kind of edit, add a row to `EDITS`.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use rustix::process::Signal;

use super::site::local_folder;
use crate::process::{Client, PROGRAM, Server, at_once, wait_for};
use crate::reading::Response;

/// The requested paths. `link` leads to a file, `l` to a folder.
const PATHS: [&str; 8] = [
    "a.txt",
    "d/b.txt",
    "d/e/c.txt",
    "link.txt",
    "l/b.txt",
    "d/index.html",
    "missing.txt",
    "d/e/missing.txt",
];

/// Changes something at or near `path`. `bytes` are new content.
type Edit = fn(path: &Path, root: &Path, bytes: &[u8]) -> std::io::Result<()>;

const EDITS: [Edit; 12] = [
    |path, _, bytes| fs::write(path, bytes),
    |path, _, bytes| fs::write(path, bytes),
    |path, _, bytes| File::options().append(true).open(path)?.write_all(bytes),
    |path, _, bytes| File::options().write(true).open(path)?.set_len(bytes.len() as u64 / 2),
    // In place, with the old times and often the old length.
    |path, _, bytes| {
        let mut file = File::options().write(true).open(path)?;
        let modified = file.metadata()?.modified()?;
        file.write_all(bytes)?;
        file.set_modified(modified)
    },
    |path, root, bytes| {
        fs::write(root.join(".new"), bytes)?;
        fs::rename(root.join(".new"), path)
    },
    |path, _, _| fs::remove_file(path),
    |path, root, bytes| {
        fs::hard_link(path, root.join(".other"))?;
        fs::write(root.join(".other"), bytes)?;
        fs::remove_file(root.join(".other"))
    },
    // Other targets of the links.
    |_, root, _| retarget(root, "link.txt", ["a.txt", "d/b.txt"]),
    |_, root, _| retarget(root, "l", ["d", "d/e"]),
    // Another folder in the place of `d`.
    |_, root, bytes| {
        fs::create_dir_all(root.join(".d/e"))?;
        fs::write(root.join(".d/b.txt"), bytes)?;
        fs::rename(root.join("d"), root.join(".old"))?;
        fs::rename(root.join(".d"), root.join("d"))?;
        fs::remove_dir_all(root.join(".old"))
    },
    // The folder with its content, elsewhere and back.
    |_, root, bytes| {
        fs::rename(root.join("d"), root.join(".d"))?;
        fs::write(root.join(".d/b.txt"), bytes)?;
        fs::rename(root.join(".d"), root.join("d"))
    },
];

fn retarget(root: &Path, link: &str, targets: [&str; 2]) -> std::io::Result<()> {
    let now = fs::read_link(root.join(link)).unwrap_or_default();
    let other = targets[usize::from(now == Path::new(targets[0]))];
    let _ = fs::remove_file(root.join(".link"));
    symlink(other, root.join(".link"))?;
    fs::rename(root.join(".link"), root.join(link))
}

fn site(folder: &Path) {
    fs::create_dir_all(folder.join("d/e")).unwrap();
    for name in ["a.txt", "d/b.txt", "d/e/c.txt", "d/index.html"] {
        fs::write(folder.join(name), name).unwrap();
    }
    symlink("a.txt", folder.join("link.txt")).unwrap();
    symlink("d", folder.join("l")).unwrap();
}

#[test]
fn ten_thousand_edits_are_visible_to_the_request_that_follows() {
    // A file system that can be watched, and the one for temporary files.
    let folders = [local_folder(), tempfile::tempdir().unwrap()];
    at_once(folders.iter().enumerate(), |(seed, folder)| {
        site(folder.path());
        let library = tempfile::tempdir_in(folder.path()).unwrap();
        let own = tempfile::tempdir().unwrap();
        let files = ["--files", library.path().to_str().unwrap(), "--file", "off", "--list"];
        let server = Server::spawn(Command::new(PROGRAM), folder.path(), own, &files);
        let mut client = server.connect();
        let mut random = Rng::with_seed(seed as u64);
        let mut done = [0; EDITS.len()];
        for step in 0..5_000 {
            let (path, file): (String, PathBuf) = match random.u8(..8) {
                0 => ("/files/x.txt".into(), library.path().join("x.txt")),
                _ => {
                    let path = PATHS[random.usize(..PATHS.len())];
                    (format!("/{path}"), folder.path().join(path))
                }
            };
            let bytes = vec![random.lowercase() as u8; random.usize(1..8)];
            // An edit may be impossible, such as the removal of a missing file.
            let kind = random.usize(..EDITS.len());
            done[kind] += usize::from(EDITS[kind](&file, folder.path(), &bytes).is_ok());
            for _ in 0..random.u8(1..4) {
                check(&mut client, &path, &file, &format!("step {step}, seed {seed}"));
            }
        }
        assert!(done.iter().all(|count| *count > 50), "successful edits by kind: {done:?}");
    });
}

/// Requests `path`, and compares the response with the file on the disk.
fn check(client: &mut Client, path: &str, file: &Path, context: &str) {
    let expected = fs::read(file).ok();
    let response = get(client, path, "");
    match expected {
        Some(bytes) => assert_eq!((response.status, &response.body), (200, &bytes), "{path}, {context}"),
        None => assert_eq!(response.status, 404, "{path}, {context}"),
    }
}

fn get(client: &mut Client, path: &str, fields: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    client.response()
}

#[test]
fn new_and_removed_sidecars_are_noticed_at_once() {
    let folder = local_folder();
    let (page, sidecar) = (folder.path().join("page.css"), folder.path().join("page.css.gz"));
    fs::write(&page, "plain").unwrap();
    let server = Server::start_with(Command::new(PROGRAM), folder, &[]);
    let mut client = server.connect();
    let mut served = || get(&mut client, "/page.css", "Accept-Encoding: br, gzip\r\n").body;
    let mut serve = |expected: &[u8]| (0..5).for_each(|_| assert_eq!(served(), expected));
    for round in 0..20 {
        serve(b"plain");
        fs::write(&sidecar, format!("gzip {round}")).unwrap();
        serve(format!("gzip {round}").as_bytes());
        // A sidecar that is older than the file does not count.
        let old = SystemTime::now() - Duration::from_secs(10);
        File::options().write(true).open(&sidecar).unwrap().set_modified(old).unwrap();
        serve(b"plain");
        fs::remove_file(&sidecar).unwrap();
    }
}

#[test]
fn validators_and_listings_follow_edits_at_once() {
    let folder = local_folder();
    let root = folder.path().to_owned();
    fs::create_dir(root.join("d")).unwrap();
    let server = Server::start_with(Command::new(PROGRAM), folder, &["--list"]);
    let mut client = server.connect();
    for round in 0..200 {
        fs::write(root.join("d/file"), format!("version {round:05}")).unwrap();
        let response = get(&mut client, "/d/file", "");
        let tag = response.field("ETag").unwrap().to_owned();
        let condition = format!("If-None-Match: {tag}\r\n");
        assert_eq!(get(&mut client, "/d/file", &condition).status, 304);
        fs::write(root.join("d/file"), format!("changed {round:05}")).unwrap();
        let response = get(&mut client, "/d/file", &condition);
        assert_eq!((response.status, response.text()), (200, &*format!("changed {round:05}")));
        let name = format!("new-{round}");
        fs::write(root.join("d").join(&name), "").unwrap();
        let list = get(&mut client, "/d/?sort=name", "Accept: text/plain\r\n");
        assert!(list.text().lines().any(|line| line == name), "{round}");
    }
}

#[test]
fn a_replaced_site_folder_is_found_again() {
    let parent = local_folder();
    let at = |name: &str| parent.path().join(name);
    for release in ["1", "2", "3"] {
        fs::create_dir_all(at(release)).unwrap();
        fs::write(at(release).join("page.txt"), format!("release {release}")).unwrap();
    }
    symlink("1", at("current")).unwrap();
    let own = tempfile::tempdir().unwrap();
    let server = Server::spawn(Command::new(PROGRAM), &at("current"), own, &["--file", "off"]);
    let mut client = server.connect();
    let mut served = || get(&mut client, "/page.txt", "").body;
    (0..5).for_each(|_| assert_eq!(served(), b"release 1"));
    // Without a signal, within half a second.
    symlink("2", at("next")).unwrap();
    fs::rename(at("next"), at("current")).unwrap();
    wait_for("the second release", || (served() == b"release 2").then_some(()));
    // At once, on SIGHUP.
    fs::remove_file(at("current")).unwrap();
    symlink("3", at("current")).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_line("reopened the log files");
    assert_eq!(served(), b"release 3");
    // Removed and built again.
    fs::remove_file(at("current")).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_line("cannot open the site folder");
    assert_eq!(served(), b"release 3");
    fs::create_dir(at("current")).unwrap();
    fs::write(at("current/page.txt"), "built").unwrap();
    wait_for("the new folder", || (served() == b"built").then_some(()));
    assert!(server.wait_for_line("was replaced; reopened").contains("current"));
}
