//! Path traversal attacks, against both implementations of path resolution, and over HTTP. To add a case, add
//! a row (path, expected content) to `paths_never_resolve_outside_the_site`, or a path to the list for HTTP.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use evserve::store::{Content, DiskStore, Opened, PathResolution, Store, StoreError};
use tempfile::TempDir;

use crate::process::{Server, wait_for};

/// Returns the implementations of path resolution that work on this system.
fn resolutions() -> &'static [PathResolution] {
    match cfg!(all(target_os = "linux", not(evserve_portable))) {
        true => &[PathResolution::Kernel, PathResolution::Walk],
        false => &[PathResolution::Walk],
    }
}

/// Creates a folder `site` with symbolic links of every kind, next to a file `secret`.
fn site_next_to_a_secret() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    fs::create_dir_all(site.join("sub/deep")).unwrap();
    fs::create_dir(folder.path().join("site-two")).unwrap();
    fs::write(folder.path().join("site-two/secret"), "secret").unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    fs::write(site.join("open"), "open").unwrap();
    fs::write(site.join("sub/deep/open"), "open").unwrap();
    for (target, name) in [
        ("../secret", "up"),
        ("..", "parent"),
        ("/etc/passwd", "absolute"),
        ("/", "root"),
        ("sub/deep/../../../secret", "around"),
        ("sub/deep/../../open", "inside"),
        ("open", "open-link"),
        ("open-link", "twice"),
        ("sub", "folder"),
        ("loop", "loop"),
        ("/proc/self/cwd", "magic"),
        ("sub/deep/", "slashed"),
        ("open/", "file-slashed"),
    ] {
        symlink(target, site.join(name)).unwrap();
    }
    symlink(site.join("open"), site.join("absolute-inside")).unwrap();
    symlink("../open", site.join("sub/back")).unwrap();
    folder
}

/// Resolves `path` to a file's text, `folder`, or the error. Retries while the store is busy: openat2(2) can
/// fail with EAGAIN if anything on the system is renamed meanwhile, for example by another test.
fn resolve(store: &DiskStore, path: &[u8]) -> String {
    describe(wait_for("an end of all renames", || Some(store.open(path)).filter(|found| !is_busy(found))))
}

/// Does the same, but gives up after 100 attempts, because this test never stops renaming.
fn resolve_during_renames(store: &DiskStore, path: &[u8]) -> String {
    let mut attempts = std::iter::repeat_with(|| store.open(path)).take(100).filter(|found| !is_busy(found));
    describe(attempts.next().unwrap_or(Err(StoreError::Busy)))
}

fn is_busy(found: &Result<Opened, StoreError>) -> bool {
    matches!(found, Err(StoreError::Busy))
}

fn describe(found: Result<Opened, StoreError>) -> String {
    match found {
        Ok(Opened::Folder(_)) => "folder".into(),
        Ok(Opened::File(file)) => match file.content {
            Content::Memory(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Content::Disk(_) => "large".into(),
        },
        Err(StoreError::NotFound) => "none".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_walk_limits_the_components_of_all_links_together() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("open"), "open").unwrap();
    // Each link adds 21 components, and each chain ends at `open`.
    symlink("open", folder.path().join("link-0")).unwrap();
    for number in 1..=40 {
        let target = format!("{}link-{}", "sub/../".repeat(10), number - 1);
        symlink(target, folder.path().join(format!("link-{number}"))).unwrap();
    }
    let store = DiskStore::with_resolution(folder.path(), PathResolution::Walk).unwrap();
    for (number, expected) in [(0, "open"), (1, "open"), (12, "open"), (13, "none"), (39, "none")] {
        assert_eq!(resolve(&store, format!("link-{number}").as_bytes()), expected, "{number}");
    }
}

#[test]
fn paths_never_resolve_outside_the_site() {
    let folder = site_next_to_a_secret();
    for lookup in resolutions() {
        let store = DiskStore::with_resolution(&folder.path().join("site"), *lookup).unwrap();
        for (path, expected) in [
            ("", "folder"),
            ("/", "folder"),
            (".", "folder"),
            ("open", "open"),
            ("/open", "open"),
            ("///open", "open"),
            ("sub//deep///open", "open"),
            ("./sub/./deep/../deep/open", "open"),
            ("sub/..", "folder"),
            ("sub/../open", "open"),
            ("sub/deep", "folder"),
            ("sub/deep/", "folder"),
            ("folder", "folder"),
            ("folder/deep/open", "open"),
            ("inside", "open"),
            ("open-link", "open"),
            ("twice", "open"),
            ("sub/back", "open"),
            ("slashed", "folder"),
            ("slashed/open", "open"),
            ("..", "none"),
            ("../secret", "none"),
            ("/../secret", "none"),
            ("../site/open", "none"),
            ("../site-two/secret", "none"),
            ("sub/../../secret", "none"),
            ("sub/deep/../../../secret", "none"),
            ("up", "none"),
            ("parent", "none"),
            ("parent/secret", "none"),
            ("absolute", "none"),
            ("absolute-inside", "none"),
            ("root", "none"),
            ("root/etc/passwd", "none"),
            ("around", "none"),
            ("magic", "none"),
            ("magic/secret", "none"),
            ("loop", "none"),
            ("loop/x", "none"),
            ("open/", "none"),
            ("open/..", "none"),
            ("open/x", "none"),
            ("open/../open", "none"),
            ("file-slashed", "none"),
            ("none/../open", "none"),
        ] {
            assert_eq!(resolve(&store, path.as_bytes()), expected, "{path:?} by {lookup:?}");
        }
        assert_eq!(resolve(&store, &b"a".repeat(256)), "none");
        assert_eq!(resolve(&store, &b"sub/../".repeat(1000)), "none");
        assert_eq!(resolve(&store, b"open\0"), "none");
    }
}

#[test]
fn symlink_chains_are_followed_up_to_forty_links() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("0"), "end").unwrap();
    for index in 1..=41 {
        symlink((index - 1).to_string(), folder.path().join(index.to_string())).unwrap();
    }
    for lookup in resolutions() {
        let store = DiskStore::with_resolution(folder.path(), *lookup).unwrap();
        assert_eq!(resolve(&store, b"40"), "end", "{lookup:?}");
        assert_eq!(resolve(&store, b"41"), "none", "{lookup:?}");
    }
}

#[test]
fn renames_during_a_lookup_never_make_a_path_escape_the_site() {
    let folder = site_next_to_a_secret();
    let site = folder.path().join("site");
    fs::create_dir_all(site.join("turn/a")).unwrap();
    fs::write(site.join("turn/a/secret"), "open").unwrap();
    for lookup in resolutions() {
        let store = DiskStore::with_resolution(&site, *lookup).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    swap(&site);
                }
            });
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..20_000 {
                for path in ["switch", "turn/a/../../sub/deep/open", "flip/secret"] {
                    seen.insert(resolve_during_renames(&store, path.as_bytes()));
                }
            }
            done.store(true, Ordering::Relaxed);
            assert!(!seen.contains("secret"), "{seen:?} by {lookup:?}");
            assert!(seen.contains("open"), "{seen:?} by {lookup:?}");
        });
    }
}

/// Points names of the site inside and outside in turn, each time with an atomic rename.
fn swap(site: &Path) {
    for (name, target) in [("switch", "../secret"), ("switch", "open"), ("flip", ".."), ("flip", "turn/a")] {
        let new = site.join("new");
        let _ = fs::remove_file(&new);
        symlink(target, &new).unwrap();
        fs::rename(&new, site.join(name)).unwrap();
    }
    let _ = fs::rename(site.join("turn/a"), site.join("turn/b"));
    let _ = fs::rename(site.join("turn/b"), site.join("turn/a"));
}

#[test]
fn encoded_path_traversal_is_rejected_over_http() {
    let folder = site_next_to_a_secret();
    let mut command = std::process::Command::new(crate::process::PROGRAM);
    command.current_dir(folder.path());
    // The site is a folder next to `secret`, so that `../secret` exists.
    let inner = tempfile::tempdir_in(folder.path()).unwrap();
    fs::write(inner.path().join("open"), "open").unwrap();
    symlink("../secret", inner.path().join("up")).unwrap();
    let server = Server::start_with(command, inner, &[]);
    for path in [
        "/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/.%2e/secret",
        "/%252e%252e/secret",
        "/..%252fsecret",
        "/..%c0%afsecret",
        "/%c0%ae%c0%ae/secret",
        "/..\\secret",
        "/..%5csecret",
        "//../secret",
        "/./../secret",
        "/open/../../secret",
        "/..%00/secret",
        "/..;/secret",
        "/up",
        "/%75p",
        "/up?x",
        "/....//secret",
        "/../../../../../../../../etc/passwd",
    ] {
        let response = server.get(path);
        assert!(matches!(response.status, 400 | 404), "{path}: {}", response.status);
        assert!(!response.text().contains("secret"), "{path}");
    }
    assert_eq!(server.get("/open").text(), "open");
}
