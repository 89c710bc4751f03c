//! Changes to watched files, which the cache must notice before the next request. To add a kind of change, add a row to
//! `EDITS`.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use evserve::store::{Bounds, Cache};

use super::site::Site;
use crate::process::at_once;

/// Changes the content at `path`, the site's `g/a/file`, from "old" to "new".
type Edit = fn(&Path, root: &Path);

const EDITS: &[(&str, Edit)] = &[
    ("written in place, with its times put back", |path, _| {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let mut file = File::options().write(true).open(path).unwrap();
        file.write_all(b"new").unwrap();
        file.set_modified(modified).unwrap();
    }),
    ("replaced", |path, root| {
        fs::write(root.join("other"), "new").unwrap();
        fs::rename(root.join("other"), path).unwrap();
    }),
    ("removed and written again", |path, _| {
        fs::remove_file(path).unwrap();
        fs::write(path, "new").unwrap();
    }),
    ("renamed away, with another one in its place", |path, root| {
        fs::rename(path, root.join("elsewhere")).unwrap();
        fs::write(path, "new").unwrap();
    }),
    ("replaced by a link", |path, root| {
        fs::write(root.join("other"), "new").unwrap();
        fs::remove_file(path).unwrap();
        symlink("../../other", path).unwrap();
    }),
    ("written by another name", |path, root| {
        fs::hard_link(path, root.join("other")).unwrap();
        fs::write(root.join("other"), "new").unwrap();
    }),
    ("replaced where it keeps another name", |path, root| {
        fs::hard_link(path, root.join("kept")).unwrap();
        fs::write(root.join("other"), "new").unwrap();
        fs::rename(root.join("other"), path).unwrap();
    }),
    ("in a folder that was replaced", |path, root| {
        fs::create_dir(root.join("b")).unwrap();
        fs::write(root.join("b/file"), "new").unwrap();
        fs::rename(path.parent().unwrap(), root.join("c")).unwrap();
        fs::rename(root.join("b"), path.parent().unwrap()).unwrap();
    }),
    ("in a folder that is a link by now", |path, root| {
        fs::create_dir(root.join("b")).unwrap();
        fs::write(root.join("b/file"), "new").unwrap();
        fs::rename(path.parent().unwrap(), root.join("c")).unwrap();
        symlink("../b", path.parent().unwrap()).unwrap();
    }),
    ("in a folder whose folder was replaced", |_, root| {
        fs::create_dir_all(root.join("h/a")).unwrap();
        fs::write(root.join("h/a/file"), "new").unwrap();
        fs::rename(root.join("g"), root.join("i")).unwrap();
        fs::rename(root.join("h"), root.join("g")).unwrap();
    }),
    #[cfg(target_os = "linux")]
    ("exchanged with another one", |path, root| {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        fs::write(root.join("other"), "new").unwrap();
        renameat_with(CWD, root.join("other"), CWD, path, RenameFlags::EXCHANGE).unwrap();
    }),
];

#[test]
fn every_kind_of_change_to_a_watched_file_is_noticed_at_once() {
    // In parallel: each case spends most of its time waiting until its file is watched.
    at_once(EDITS, |(how, edit)| {
        let mut site = Site::new();
        site.write("g/a/file", b"old");
        site.settle("g/a/file");
        edit(&site.folder.path().join("g/a/file"), site.folder.path());
        assert_eq!(String::from_utf8(site.get("g/a/file")).unwrap(), "new", "{how}");
    });
}

#[test]
fn a_watched_file_is_gone_once_its_folder_is_deleted() {
    let mut site = Site::new();
    site.write("a/file", b"old");
    site.settle("a/file");
    fs::remove_dir_all(site.folder.path().join("a")).unwrap();
    assert!(site.get("a/file").is_empty());
}

#[test]
fn rarely_requested_files_are_revalidated_instead_of_watched() {
    let mut site = Site::new();
    site.write("file", b"old");
    site.get("file");
    for _ in 0..20 {
        site.now += Duration::from_secs(11);
        let before = site.checks();
        assert_eq!(site.get("file"), b"old");
        assert_eq!(site.checks() - before, 1);
    }
    assert_eq!(site.watch_attempts(), 0);
    site.settle("file");
    // A watched file is still watched after a minute without requests.
    site.now += Duration::from_secs(60);
    site.settle("file");
}

#[test]
fn missing_files_are_watched_again_after_another_name_has_appeared() {
    let mut site = Site::new();
    site.write("page", b"page");
    for round in 0..3 {
        site.serve_missing("page.br", Duration::from_secs(2));
        let checks = site.serve_missing("page.br", Duration::from_secs(10));
        let is_watched = cfg!(all(target_os = "linux", not(evserve_portable)));
        assert!(
            !is_watched || checks <= 11,
            "{checks} checks of a missing file in ten seconds, round {round}"
        );
        site.write_without_waiting(&format!("other-{round}"), b"unrelated");
    }
    site.write_without_waiting("page.br", b"coded");
    assert_eq!(site.get("page.br"), b"coded");
}

#[test]
fn files_in_a_replaced_folder_are_watched_again() {
    let mut site = Site::new();
    for name in ["a/file", "a/forgotten", "b/file"] {
        site.write(name, b"old");
    }
    site.settle("a/forgotten");
    site.settle("a/file");
    let path = |name: &str| site.folder.path().join(name);
    fs::rename(path("a"), path("c")).unwrap();
    fs::rename(path("b"), path("a")).unwrap();
    site.settle("a/file");
}

#[test]
fn a_retargeted_symlink_is_followed_at_once() {
    let mut site = Site::new();
    site.write("old", b"old");
    site.write("new", b"new");
    let link = site.folder.path().join("link");
    symlink("old", &link).unwrap();
    site.serve("link", Duration::from_secs(3));
    fs::remove_file(&link).unwrap();
    symlink("new", &link).unwrap();
    assert_eq!(site.get("link"), b"new");
}

#[test]
fn appends_to_a_watched_file_and_its_truncation_are_noticed() {
    let mut site = Site::new();
    site.write("log", b"0");
    site.settle("log");
    let mut file = File::options().append(true).open(site.folder.path().join("log")).unwrap();
    for line in 1..50 {
        file.write_all(line.to_string().as_bytes()).unwrap();
        assert!(site.get("log").ends_with(line.to_string().as_bytes()));
    }
    file.set_len(1).unwrap();
    assert_eq!(site.get("log"), b"0");
}

#[test]
fn an_overflow_of_the_inotify_queue_leaves_nothing_stale() {
    let mut site = Site::new();
    site.cache = Cache::new(Bounds { bytes: 64 << 20, entries: 10_000, descriptors: 4 });
    let names: Vec<String> = (0..9000).map(|index| format!("{}/{index}", index % 10)).collect();
    for name in &names {
        site.write_without_waiting(name, b"old");
    }
    site.write("last", b"old");
    for _ in 0..5 {
        names.iter().for_each(|name| drop(site.get(name)));
    }
    site.settle("last");
    // Each change queues two events, the second for the end of its watch (IN_IGNORED): in total more than the
    // 16,384 that the kernel queues by default.
    for name in &names {
        fs::write(site.folder.path().join(name), "new").unwrap();
    }
    fs::write(site.folder.path().join("last"), "new").unwrap();
    assert_eq!(site.get("last"), b"new");
    assert!(names.iter().all(|name| site.get(name) == b"new"));
}

#[test]
fn rarely_changed_files_are_never_stale() {
    at_once(0..10, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut site = Site::new();
        let names = ["a/file", "a/other", "b/c/file", "file"];
        let mut current = [0; 4].map(|_| b"0".to_vec());
        names.iter().for_each(|name| site.write_without_waiting(name, b"0"));
        names.iter().for_each(|name| site.wait_until_old(name));
        for step in 0..20_000 {
            site.now += Duration::from_millis(random.u64(..5));
            let index = random.usize(..4);
            if random.u16(..512) == 0 {
                let path = site.folder.path().join(names[index]);
                let bytes = step.to_string().into_bytes();
                if random.bool() {
                    fs::write(&path, &bytes).unwrap();
                } else {
                    fs::write(site.folder.path().join("new"), &bytes).unwrap();
                    fs::rename(site.folder.path().join("new"), &path).unwrap();
                }
                current[index] = bytes;
                continue;
            }
            assert_eq!(site.get(names[index]), current[index], "stale in step {step}, seed {seed}");
        }
    });
}
