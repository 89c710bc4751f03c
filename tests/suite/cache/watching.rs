//! Files that the kernel tells of, where it does. To add a case, `settle` a file of a `Site`, or wait for the
//! `watches` of a server.

#![cfg(all(target_os = "linux", not(evserve_portable)))]

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

use super::site::{Site, local_folder};
use crate::process::{PROGRAM, Server, wait_for};

/// A look at its times tells of the first store only: the page is dirty from then on.
#[test]
#[allow(unsafe_code)]
fn what_was_stored_through_a_mapping_is_served_when_that_ends() {
    let mut site = Site::new();
    site.write("mapped", b"old");
    site.settle("mapped");
    let file = File::options().read(true).write(true).open(site.folder.path().join("mapped")).unwrap();
    // SAFETY: nobody else writes to this file or cuts it.
    let mut mapping = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
    mapping.copy_from_slice(b"one");
    site.rest("mapped");
    site.serve("mapped", Duration::from_secs(1));
    site.settle("mapped");
    assert_eq!(site.get("mapped"), b"one");
    mapping.copy_from_slice(b"two");
    let closed = CloseWatch::new(&site.folder.path().join("mapped"));
    drop((mapping, file));
    // A process that another test starts just now has the descriptor, too, until it executes its program.
    closed.wait();
    site.now += Duration::from_millis(99);
    assert_eq!(site.get("mapped"), b"two");
}

#[test]
fn files_are_watched_while_they_are_asked_for_and_there() {
    let site = local_folder();
    let path = site.path().join("file");
    fs::write(&path, "old").unwrap();
    let server = Server::start_with(Command::new(PROGRAM), site, &[]);
    let served = || server.get("/file").body;
    wait_for("a watch", || {
        assert_eq!(served(), b"old");
        (watches(&server) == 1).then_some(())
    });
    fs::write(&path, "new").unwrap();
    wait_for("the new version", || (served() == b"new").then_some(()));
    wait_for("a watch of it", || {
        served();
        (watches(&server) == 1).then_some(())
    });
    fs::remove_file(&path).unwrap();
    wait_for("the end of the watch", || {
        served();
        (watches(&server) == 0).then_some(())
    });
}

/// Is told when the last descriptor of a file that could be written to is closed (inotify(7)).
struct CloseWatch(OwnedFd);

impl CloseWatch {
    fn new(path: &Path) -> CloseWatch {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&queue, path, WatchFlags::CLOSE_WRITE).unwrap();
        CloseWatch(queue)
    }

    fn wait(self) {
        let mut buffer = [MaybeUninit::uninit(); 512];
        wait_for("the file's close", || Reader::new(&self.0, &mut buffer).next().ok().map(drop));
    }
}

/// How many files it has watched (proc(5)).
fn watches(server: &Server) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", server.pid().as_raw_pid())).unwrap();
    let of = |info: String| info.lines().filter(|line| line.starts_with("inotify wd:")).count();
    descriptors.map(|file| fs::read_to_string(file.unwrap().path()).map_or(0, of)).sum()
}
