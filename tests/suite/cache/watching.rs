//! Files watched with inotify(7), on Linux. To add a case, `settle` a file of a `Site`, or wait for the
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

/// The timestamps of the file reveal only the first write through the mapping, which makes the page dirty.
#[test]
#[allow(unsafe_code)]
fn writes_through_mmap_are_served_once_the_mapping_ends() {
    let mut site = Site::new();
    site.write("mapped", b"old");
    site.settle("mapped");
    let file = File::options().read(true).write(true).open(site.folder.path().join("mapped")).unwrap();
    // SAFETY: no other code writes to this file or truncates it.
    let mut mapping = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
    mapping.copy_from_slice(b"one");
    site.wait_until_old("mapped");
    site.serve("mapped", Duration::from_secs(1));
    site.settle("mapped");
    assert_eq!(site.get("mapped"), b"one");
    mapping.copy_from_slice(b"two");
    let closed = CloseWatch::new(&site.folder.path().join("mapped"));
    drop((mapping, file));
    // A process that another test has just forked holds the descriptor, too, until it calls execve(2).
    closed.wait();
    assert_eq!(site.get("mapped"), b"two");
}

#[test]
fn requested_files_are_watched_until_they_are_deleted() {
    let site = local_folder();
    let path = site.path().join("file");
    fs::write(&path, "old").unwrap();
    let server = Server::start_with(Command::new(PROGRAM), site, &[]);
    let served = || server.get("/file").body;
    // The file and its folder are watched.
    wait_for("a watch", || {
        assert_eq!(served(), b"old");
        (watches(&server) == 2).then_some(())
    });
    fs::write(&path, "new").unwrap();
    assert_eq!(served(), b"new");
    wait_for("a watch of it", || {
        served();
        (watches(&server) == 2).then_some(())
    });
    fs::remove_file(&path).unwrap();
    // The folder is watched on, for a new file of the name.
    wait_for("the end of the watch", || {
        served();
        (watches(&server) == 1).then_some(())
    });
}

/// Waits for the close of a file that was opened for writing (IN_CLOSE_WRITE).
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

/// Counts the inotify watches of the server (proc(5)).
fn watches(server: &Server) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", server.pid().as_raw_pid())).unwrap();
    let of = |info: String| info.lines().filter(|line| line.starts_with("inotify wd:")).count();
    descriptors.map(|file| fs::read_to_string(file.unwrap().path()).map_or(0, of)).sum()
}
