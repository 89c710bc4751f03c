//! File watches on Linux, by inotify(7). The kernel reports at once that a file was written, truncated,
//! replaced, renamed or removed, and reports stores through a memory mapping when the mapping ends. File
//! times show at most the first such store: the kernel updates them only when a page becomes dirty.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{AtFlags, fstat, fstatfs};
use rustix::io::Errno;

use crate::store::FileVersion;
use crate::store::beneath::Root;

/// The watched files beneath one root.
#[derive(Debug)]
pub(crate) struct Watches {
    root: Rc<Root>,
    /// Opened with the first watch.
    inotify: OnceCell<Inotify>,
    changes: RefCell<Changes>,
    folders: RefCell<HashMap<Box<[u8]>, Weak<WatchedFolder>>>,
}

/// The inotify instance, and the maximum number of watches that it is used for.
#[derive(Debug)]
struct Inotify {
    queue: OwnedFd,
    watches_max: usize,
}

/// The state of the watches, as of the last read of the kernel's queue.
#[derive(Debug, Default)]
struct Changes {
    /// The time until which the queue is not read again.
    until: Option<Instant>,
    /// The watches without an event so far. Linux reuses a watch number only after all others were used.
    quiet: HashSet<i32>,
    /// The number of times that watches left `quiet`.
    generation: u64,
}

/// A folder with watched files. A watch reports changes of the file itself, so the path to its folder is
/// checked separately.
#[derive(Debug)]
struct WatchedFolder {
    /// The path, which ends with `.`: so its lookup requires search permission on the folder, as the lookup
    /// of any file in the folder does.
    path: Box<[u8]>,
    /// Device and inode.
    identity: (u64, u64),
    /// The time until which the path is not checked again.
    until: Cell<Instant>,
    /// Whether the path led to this folder at the last check.
    present: Cell<bool>,
}

/// A watched file. Dropping this ends the watch.
#[derive(Debug)]
pub struct Watch {
    watches: Rc<Watches>,
    number: i32,
    /// The value of `Changes::generation` when this watch was last found in `Changes::quiet`.
    generation: u64,
    folder: Rc<WatchedFolder>,
}

/// How long a read of the queue and a check of a folder count as current.
const LAG: Duration = Duration::from_millis(40);

/// The events after which a file's name may lead to other content. If another file takes the name, the
/// watched file loses a link, which the kernel reports as `ATTRIB`.
const CHANGES: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF)
    // One event is enough: the cache drops the entry.
    .union(WatchFlags::ONESHOT);

/// The maximum number of events per read of the queue, the default length of the kernel's queue.
const EVENTS_MAX: usize = 16_384;

impl Watches {
    pub(crate) fn new(root: Rc<Root>) -> Rc<Watches> {
        Rc::new(Watches {
            root,
            inotify: OnceCell::new(),
            changes: RefCell::default(),
            folders: RefCell::default(),
        })
    }

    /// Watches the file at `path` if it still has this version, is not a link, and is on a file system that
    /// only this machine changes.
    pub(crate) fn watch(
        self: &Rc<Watches>,
        path: &[u8],
        version: FileVersion,
        now: Instant,
    ) -> Option<Watch> {
        let file = self.root.open_file(path).ok()?;
        if !is_local(file.as_fd()) || FileVersion::from(&fstat(&file).ok()?) != version {
            return None;
        }
        let watch = self.begin(file.as_fd(), path, now)?;
        // A change before the watch began shows in the version, and so does another file under the name.
        let named = self.root.stat(path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (FileVersion::from(&named) == version).then_some(watch)
    }

    fn begin(self: &Rc<Watches>, file: BorrowedFd<'_>, path: &[u8], now: Instant) -> Option<Watch> {
        let inotify = self.inotify()?;
        // The store holds one reference, and each watch another one.
        if Rc::strong_count(self) > inotify.watches_max {
            return None;
        }
        let folder = self.folder(path, now)?;
        // The path goes through the descriptor, because the file's name may lead to another file by now.
        // `MASK_CREATE` fails if the file is already watched under another name; that watch stays as it is.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let number = inotify::add_watch(&inotify.queue, path, CHANGES | WatchFlags::MASK_CREATE).ok()?;
        self.folders.borrow_mut().insert(folder.path.clone(), Rc::downgrade(&folder));
        let mut changes = self.changes.borrow_mut();
        changes.quiet.insert(number);
        Some(Watch { watches: Rc::clone(self), number, generation: changes.generation, folder })
    }

    fn inotify(&self) -> Option<&Inotify> {
        if self.inotify.get().is_none() {
            let _ = self.inotify.set(Inotify::open()?);
        }
        self.inotify.get()
    }

    /// Returns the folder of the file at `path`.
    fn folder(&self, path: &[u8], now: Instant) -> Option<Rc<WatchedFolder>> {
        let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let path: Box<[u8]> = [&path[..end], b"."].concat().into();
        let known = self.folders.borrow().get(&path).and_then(Weak::upgrade);
        if let Some(folder) = known.filter(|folder| folder.exists(&self.root, now)) {
            return Some(folder);
        }
        let (identity, until) = (identity(&self.root, &path)?, Cell::new(now + LAG));
        Some(Rc::new(WatchedFolder { path, identity, until, present: Cell::new(true) }))
    }

    /// Reads the kernel's queue, unless it was read less than [`LAG`] ago.
    fn read_events(&self, now: Instant) {
        let mut changes = self.changes.borrow_mut();
        if changes.until.is_some_and(|until| now < until) {
            return;
        }
        changes.until = Some(now + LAG);
        let Some(inotify) = self.inotify.get() else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&inotify.queue, &mut buffer);
        for _ in 0..EVENTS_MAX {
            match events.next() {
                Ok(event) if !event.events().contains(ReadFlags::QUEUE_OVERFLOW) => changes.note(event.wd()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                _ => break,
            }
        }
        // Changes were lost or are unread, so any file may have changed.
        changes.quiet.clear();
        changes.generation += 1;
    }
}

impl Inotify {
    fn open() -> Option<Inotify> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        let setting = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
        // Half of the limit, because the user's other programs share it. Systems with little memory have a
        // limit of 8,192.
        Some(Inotify { queue, watches_max: setting.trim().parse::<usize>().ok()? / 2 })
    }
}

impl Changes {
    fn note(&mut self, number: i32) {
        if self.quiet.remove(&number) {
            self.generation += 1;
        }
    }
}

impl WatchedFolder {
    fn exists(&self, root: &Root, now: Instant) -> bool {
        if now >= self.until.get() {
            self.until.set(now + LAG);
            self.present.set(identity(root, &self.path) == Some(self.identity));
        }
        self.present.get()
    }
}

impl Watch {
    /// Returns whether the path still leads to the unchanged file, as of at most 40 ms ago.
    pub fn is_quiet(&mut self, now: Instant) -> bool {
        self.watches.read_events(now);
        let changes = self.watches.changes.borrow();
        if self.generation != changes.generation {
            if !changes.quiet.contains(&self.number) {
                return false;
            }
            self.generation = changes.generation;
        }
        self.folder.exists(&self.watches.root, now)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Watches { inotify, changes, folders, .. } = &*self.watches;
        // Linux before 4.18 has no `MASK_CREATE`: another entry may share the watch, and loses it, too.
        changes.borrow_mut().note(self.number);
        if let Some(inotify) = inotify.get() {
            // Fails if an event has already removed the watch (`ONESHOT`).
            let _ = inotify::remove_watch(&inotify.queue, self.number);
        }
        if Rc::strong_count(&self.folder) == 1 {
            folders.borrow_mut().remove(&self.folder.path);
        }
    }
}

fn identity(root: &Root, path: &[u8]) -> Option<(u64, u64)> {
    let stat = root.stat(path, AtFlags::empty()).ok()?;
    let FileVersion { device, inode, .. } = FileVersion::from(&stat);
    Some((device, inode))
}

/// Returns whether all changes to the file's file system go through this kernel. Other machines (NFS) and
/// daemons (FUSE) change files without an event.
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
fn is_local(file: BorrowedFd<'_>) -> bool {
    /// The magic numbers of btrfs, ext2 to ext4, F2FS, tmpfs and XFS (statfs(2)).
    const LOCAL: [u32; 5] = [0x9123_683e, 0xef53, 0xf2f5_2010, 0x0102_1994, 0x5846_5342];
    // The width of `f_type` depends on the architecture.
    fstatfs(file).is_ok_and(|system| LOCAL.contains(&(system.f_type as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a folder with the file `a/file`, its root, and the version of the file.
    fn site() -> (tempfile::TempDir, Rc<Root>, FileVersion) {
        let site = tempfile::tempdir_in("/dev/shm").expect("a folder");
        fs::create_dir(site.path().join("a")).expect("a folder in it");
        fs::write(site.path().join("a/file"), "x").expect("a file");
        let root = Rc::new(Root::open(site.path(), None).expect("a root"));
        let version = FileVersion::from(&root.stat(b"a/file", AtFlags::empty()).expect("a version"));
        (site, root, version)
    }

    #[test]
    fn files_beyond_the_watch_limit_are_not_watched() {
        let (site, root, version) = site();
        fs::write(site.path().join("other"), "x").expect("a file");
        let other = FileVersion::from(&root.stat(b"other", AtFlags::empty()).expect("a version"));
        let (watches, now) = (Watches::new(root), Instant::now());
        let inotify = Inotify { watches_max: 1, ..Inotify::open().expect("inotify") };
        watches.inotify.set(inotify).expect("the first one");
        let watch = watches.watch(b"a/file", version, now).expect("a watch");
        assert!(watches.watch(b"other", other, now).is_none());
        drop(watch);
        assert!(watches.watch(b"other", other, now).is_some());
    }

    #[test]
    fn failed_and_dropped_watches_leave_no_state() {
        let (site, root, version) = site();
        let (watches, now) = (Watches::new(root), Instant::now());
        let kept = || {
            (
                Rc::strong_count(&watches) - 1,
                watches.folders.borrow().len(),
                watches.changes.borrow().quiet.len(),
            )
        };
        let mut watch = watches.watch(b"a/file", version, now).expect("a watch");
        assert!(watch.is_quiet(now));
        // The kernel has one watch per file, whatever the path.
        for dots in 1..100 {
            let name = ["./".repeat(dots).as_bytes(), b"a/file"].concat();
            assert!(watches.watch(&name, version, now).is_none());
        }
        assert_eq!(kept(), (1, 1, 1));
        assert!(
            watches.watch(b"a/none", version, now).is_none() && watches.watch(b"a", version, now).is_none()
        );
        fs::write(site.path().join("a/file"), "longer").expect("another version");
        assert!(!watch.is_quiet(now + LAG) && watches.watch(b"a/file", version, now).is_none());
        drop(watch);
        assert_eq!(kept(), (0, 0, 0));
    }
}
