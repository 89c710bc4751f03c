//! Linux: inotify(7). It tells at once of what is written, truncated, replaced, renamed or removed,
//! and of what was stored through a mapping when that ends. A look at a file's times tells of the
//! first store at best: the kernel notes only the one that makes a page dirty.

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

/// The files beneath one root that are watched.
#[derive(Debug)]
pub(crate) struct Watches {
    root: Rc<Root>,
    /// Asked for with the first watch.
    inotify: OnceCell<Inotify>,
    heard: RefCell<Heard>,
    folders: RefCell<HashMap<Box<[u8]>, Weak<WatchedFolder>>>,
}

/// What the kernel lends us.
#[derive(Debug)]
struct Inotify {
    queue: OwnedFd,
    watches_max: usize,
}

/// What was heard from the kernel.
#[derive(Debug, Default)]
struct Heard {
    /// Until when that counts as all there is to hear.
    until: Option<Instant>,
    /// The watches of which nothing was heard. Linux uses a number again only after all others.
    quiet: HashSet<i32>,
    /// How often one has left them.
    disturbances: u64,
}

/// A folder with watched files. Theirs is only that name in that folder, so the way to it counts, too.
#[derive(Debug)]
struct WatchedFolder {
    /// It ends with a dot: so the lookup asks for the right to search the folder, as that of every name in
    /// it does.
    path: Box<[u8]>,
    /// Device and inode.
    identity: (u64, u64),
    /// Until when that is not looked at again.
    until: Cell<Instant>,
    /// Whether the path led to it when it was last looked at.
    there: Cell<bool>,
}

/// One file that is watched, until this is dropped.
#[derive(Debug)]
pub struct Watch {
    watches: Rc<Watches>,
    number: i32,
    /// With how many disturbances it was known to be quiet.
    disturbances: u64,
    folder: Rc<WatchedFolder>,
}

/// For how long what was heard or seen of a folder counts.
const LAG: Duration = Duration::from_millis(40);

/// What changes what is behind a name. A link that goes, as when another file takes the name, is an
/// attribute.
const CHANGES: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF)
    // The first one is all that has to be known.
    .union(WatchFlags::ONESHOT);

/// Events that are read at once, as many as the kernel queues unless it was told otherwise.
const EVENTS_MAX: usize = 16_384;

impl Watches {
    /// Those beneath `root`, none yet.
    pub(crate) fn new(root: Rc<Root>) -> Rc<Watches> {
        Rc::new(Watches {
            root,
            inotify: OnceCell::new(),
            heard: RefCell::default(),
            folders: RefCell::default(),
        })
    }

    /// Watches the file at `path` if it still is this version, is no link, and is on a file system that
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
        // What changed before it began shows in the version, what the name leads to as well.
        let named = self.root.stat(path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (FileVersion::from(&named) == version).then_some(watch)
    }

    fn begin(self: &Rc<Watches>, file: BorrowedFd<'_>, path: &[u8], now: Instant) -> Option<Watch> {
        let inotify = self.inotify()?;
        // The store holds one, each watch another.
        if Rc::strong_count(self) > inotify.watches_max {
            return None;
        }
        let folder = self.folder(path, now)?;
        // By the descriptor, as names could lead elsewhere by now. Who watches it already, under
        // another name, keeps it.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let number = inotify::add_watch(&inotify.queue, path, CHANGES | WatchFlags::MASK_CREATE).ok()?;
        self.folders.borrow_mut().insert(folder.path.clone(), Rc::downgrade(&folder));
        let mut heard = self.heard.borrow_mut();
        heard.quiet.insert(number);
        Some(Watch { watches: Rc::clone(self), number, disturbances: heard.disturbances, folder })
    }

    fn inotify(&self) -> Option<&Inotify> {
        if self.inotify.get().is_none() {
            let _ = self.inotify.set(Inotify::open()?);
        }
        self.inotify.get()
    }

    /// The folder of the file at `path`.
    fn folder(&self, path: &[u8], now: Instant) -> Option<Rc<WatchedFolder>> {
        let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let path: Box<[u8]> = [&path[..end], b"."].concat().into();
        let known = self.folders.borrow().get(&path).and_then(Weak::upgrade);
        if let Some(folder) = known.filter(|folder| folder.is_there(&self.root, now)) {
            return Some(folder);
        }
        let (identity, until) = (identity(&self.root, &path)?, Cell::new(now + LAG));
        Some(Rc::new(WatchedFolder { path, identity, until, there: Cell::new(true) }))
    }

    /// Reads what the kernel has queued, unless it was read just now.
    fn hear(&self, now: Instant) {
        let mut heard = self.heard.borrow_mut();
        if heard.until.is_some_and(|until| now < until) {
            return;
        }
        heard.until = Some(now + LAG);
        let Some(inotify) = self.inotify.get() else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&inotify.queue, &mut buffer);
        for _ in 0..EVENTS_MAX {
            match events.next() {
                Ok(event) if !event.events().contains(ReadFlags::QUEUE_OVERFLOW) => heard.note(event.wd()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                _ => break,
            }
        }
        // There was more than that: anything may have been said.
        heard.quiet.clear();
        heard.disturbances += 1;
    }
}

impl Inotify {
    fn open() -> Option<Inotify> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        let setting = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
        // The user's other programs share in it. On systems of little memory it is 8,192.
        Some(Inotify { queue, watches_max: setting.trim().parse::<usize>().ok()? / 2 })
    }
}

impl Heard {
    fn note(&mut self, number: i32) {
        if self.quiet.remove(&number) {
            self.disturbances += 1;
        }
    }
}

impl WatchedFolder {
    fn is_there(&self, root: &Root, now: Instant) -> bool {
        if now >= self.until.get() {
            self.until.set(now + LAG);
            self.there.set(identity(root, &self.path) == Some(self.identity));
        }
        self.there.get()
    }
}

impl Watch {
    /// Whether the file was still the same 40 ms ago.
    pub fn is_quiet(&mut self, now: Instant) -> bool {
        self.watches.hear(now);
        let heard = self.watches.heard.borrow();
        if self.disturbances != heard.disturbances {
            if !heard.quiet.contains(&self.number) {
                return false;
            }
            self.disturbances = heard.disturbances;
        }
        self.folder.is_there(&self.watches.root, now)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Watches { inotify, heard, folders, .. } = &*self.watches;
        // Before Linux 4.18 another entry may have the same one, and has lost it, too.
        heard.borrow_mut().note(self.number);
        if let Some(inotify) = inotify.get() {
            // It has gone by itself when there was something to tell.
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

/// Whether nobody changes the file's file system past this kernel's eyes, as other machines and daemons
/// can.
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
fn is_local(file: BorrowedFd<'_>) -> bool {
    /// btrfs, ext2 to ext4, F2FS, tmpfs, XFS (statfs(2)).
    const LOCAL: [u32; 5] = [0x9123_683e, 0xef53, 0xf2f5_2010, 0x0102_1994, 0x5846_5342];
    // How wide it is differs from machine to machine.
    fstatfs(file).is_ok_and(|system| LOCAL.contains(&(system.f_type as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with the file `a/file`, and its version.
    fn site() -> (tempfile::TempDir, Rc<Root>, FileVersion) {
        let site = tempfile::tempdir_in("/dev/shm").expect("a folder");
        fs::create_dir(site.path().join("a")).expect("a folder in it");
        fs::write(site.path().join("a/file"), "x").expect("a file");
        let root = Rc::new(Root::open(site.path(), None).expect("a root"));
        let version = FileVersion::from(&root.stat(b"a/file", AtFlags::empty()).expect("a version"));
        (site, root, version)
    }

    #[test]
    fn no_more_are_watched_than_may_be() {
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
    fn nothing_is_kept_of_what_is_not_watched() {
        let (site, root, version) = site();
        let (watches, now) = (Watches::new(root), Instant::now());
        let kept = || {
            (
                Rc::strong_count(&watches) - 1,
                watches.folders.borrow().len(),
                watches.heard.borrow().quiet.len(),
            )
        };
        let mut watch = watches.watch(b"a/file", version, now).expect("a watch");
        assert!(watch.is_quiet(now));
        // The kernel has one watch of a file, whatever it is called.
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
