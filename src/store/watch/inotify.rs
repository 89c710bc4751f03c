//! File watches on Linux, by inotify(7). The kernel reports at once that a file was written, truncated, replaced,
//! renamed or removed, and that a name appeared in a folder. Stores through a memory mapping are reported only when
//! the mapping ends, and writes by libaio are not reported.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, fstatfs, openat};
use rustix::io::Errno;

use super::signal::EventSignal;
use crate::store::FileVersion;
use crate::store::beneath::Root;

/// The watched files and folders beneath one root.
#[derive(Debug)]
pub(crate) struct Watches {
    root: Rc<Root>,
    /// Opened with the first watch; `None` if the system refuses.
    inotify: OnceCell<Option<Inotify>>,
    /// The valid nodes by their number and by their path.
    by_number: RefCell<HashMap<i32, Weak<Node>>>,
    by_path: RefCell<HashMap<Box<[u8]>, Weak<Node>>>,
    /// The number of events so far that concerned a node.
    generation: Cell<u64>,
}

#[derive(Debug)]
struct Inotify {
    queue: OwnedFd,
    /// Tells whether the queue has events; `None` if the kernel does not signal them, so that the queue has to be
    /// read at every check.
    signal: Option<EventSignal>,
    /// The maximum number of watches.
    watches_max: usize,
}

/// A watched file or folder. Dropping it ends the watch.
#[derive(Debug)]
struct Node {
    watches: Rc<Watches>,
    number: i32,
    /// The path beneath the root; empty for the root.
    path: Box<[u8]>,
    parent: Option<Rc<Node>>,
    /// Whether the node itself is unchanged, and still where it was in its parent.
    is_valid: Cell<bool>,
    /// The number of times that a name may have appeared in this folder.
    new_names: Cell<u64>,
}

/// A watched folder on the way to a file.
struct Folder {
    node: Rc<Node>,
    file: OwnedFd,
    /// Whether the folder holds the file's name, and is not one further up.
    is_complete: bool,
}

/// A watched path, which leads to a file or to nothing.
#[derive(Debug)]
pub struct Watch {
    /// The file, or the last folder of a path that leads to nothing.
    node: Rc<Node>,
    /// For an absent name: the value of `Node::new_names` when the absence was checked.
    new_names: Option<u64>,
    /// The value of `Watches::generation` at the last check that found no change.
    generation: u64,
}

/// The events after which a file's name may lead to other content. If another file takes the name, the watched file
/// loses a link, which the kernel reports as `ATTRIB`.
const FILE_CHANGES: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF)
    // One event is enough: the watch is dropped.
    .union(WatchFlags::ONESHOT);

/// The events after which the paths beneath a folder may lead elsewhere.
const FOLDER_CHANGES: WatchFlags = NEW_NAME
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::ONLYDIR);

const NEW_NAME: WatchFlags = WatchFlags::CREATE.union(WatchFlags::MOVED_TO);

/// The events of a folder that make a name appear and change nothing else.
const NEW_NAME_EVENTS: ReadFlags = ReadFlags::CREATE.union(ReadFlags::MOVED_TO).union(ReadFlags::ISDIR);

/// The maximum number of events per read of the queue, the default length of the kernel's queue.
const EVENTS_MAX: usize = 16_384;

/// The flags to pass through a folder, or to inspect a file, without following links.
const INSPECT: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Watches {
    pub(crate) fn new(root: Rc<Root>) -> Rc<Watches> {
        Rc::new(Watches {
            root,
            inotify: OnceCell::new(),
            by_number: RefCell::default(),
            by_path: RefCell::default(),
            generation: Cell::new(0),
        })
    }

    /// Returns the number of watched files and folders.
    pub(crate) fn count(&self) -> usize {
        self.by_number.borrow().len()
    }

    /// Watches `path` if it leads to a file of this version, or with `None` to nothing. No part of the path may be a
    /// link, and only this machine may change the file system.
    pub(crate) fn watch(self: &Rc<Watches>, path: &[u8], version: Option<FileVersion>) -> Option<Watch> {
        let inotify = self.inotify.get_or_init(|| Inotify::open(&self.root)).as_ref()?;
        self.read_events(inotify);
        let (folder_path, name) = split(path)?;
        let found = self.folder(folder_path, inotify)?;
        let new_names = version.is_none().then(|| found.node.new_names.get());
        let node = match version {
            None => found.node,
            Some(_) if !found.is_complete => return None,
            Some(version) => self.file(found, (path, name), version, inotify)?,
        };
        // A change before the watch began shows in the version, and so does another file under the name.
        let named = self.root.stat(path, AtFlags::SYMLINK_NOFOLLOW);
        let is_same = match (&named, version) {
            (Ok(stat), Some(version)) => FileVersion::from(stat) == version,
            (Err(error), None) => Errno::from_io_error(error) == Some(Errno::NOENT),
            _ => false,
        };
        is_same.then(|| Watch { node, new_names, generation: self.generation.get() })
    }

    /// Returns the node of a file in `folder`.
    fn file(
        self: &Rc<Watches>,
        folder: Folder,
        (path, name): (&[u8], &[u8]),
        version: FileVersion,
        inotify: &Inotify,
    ) -> Option<Rc<Node>> {
        if let Some(node) = self.known(path, inotify) {
            return Some(node);
        }
        let file = openat(&folder.file, name, INSPECT, Mode::empty()).ok()?;
        let stat = fstat(&file).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || FileVersion::from(&stat) != version {
            return None;
        }
        self.add(file.as_fd(), path, Some(folder.node), FILE_CHANGES, inotify)
    }

    /// Returns the folder at `path`, or the last one on the path that exists. Nodes for all folders above it are added.
    fn folder(self: &Rc<Watches>, path: &[u8], inotify: &Inotify) -> Option<Folder> {
        let mut file = openat(self.root.folder(), c".", INSPECT | OFlags::DIRECTORY, Mode::empty()).ok()?;
        let mut node = self.folder_node(b"", &file, None, inotify)?;
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            end += name.len() + usize::from(end > 0);
            file = match openat(&file, name, INSPECT | OFlags::DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => return Some(Folder { node, file, is_complete: false }),
                file => file.ok()?,
            };
            node = self.folder_node(&path[..end], &file, Some(node), inotify)?;
        }
        Some(Folder { node, file, is_complete: true })
    }

    fn folder_node(
        self: &Rc<Watches>,
        path: &[u8],
        folder: &OwnedFd,
        parent: Option<Rc<Node>>,
        inotify: &Inotify,
    ) -> Option<Rc<Node>> {
        if let Some(node) = self.known(path, inotify) {
            return Some(node);
        }
        let node = self.add(folder.as_fd(), path, parent, FOLDER_CHANGES, inotify)?;
        // Another folder may have taken the path before the watch began.
        let path = if path.is_empty() { b"." } else { path };
        let named = self.root.stat(path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let stat = fstat(folder).ok()?;
        ((named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino)).then_some(node)
    }

    /// Returns the node at `path` if it is in place. Otherwise ends its watch, because the kernel accepts only one
    /// for a file.
    fn known(&self, path: &[u8], inotify: &Inotify) -> Option<Rc<Node>> {
        let node = self.by_path.borrow().get(path).and_then(Weak::upgrade)?;
        if node.is_in_place() {
            return Some(node);
        }
        self.invalidate(&node, inotify);
        None
    }

    fn add(
        self: &Rc<Watches>,
        file: BorrowedFd<'_>,
        path: &[u8],
        parent: Option<Rc<Node>>,
        changes: WatchFlags,
        inotify: &Inotify,
    ) -> Option<Rc<Node>> {
        if self.by_number.borrow().len() >= inotify.watches_max || !is_local(file) {
            return None;
        }
        // The path goes through the descriptor, because the file's name may lead to another file by now.
        // `MASK_CREATE` fails if the file is already watched under another name; that watch stays as it is.
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let number = inotify::add_watch(&inotify.queue, link, changes | WatchFlags::MASK_CREATE).ok()?;
        let node = Rc::new(Node {
            watches: Rc::clone(self),
            number,
            path: path.into(),
            parent,
            is_valid: Cell::new(true),
            new_names: Cell::new(0),
        });
        self.by_number.borrow_mut().insert(number, Rc::downgrade(&node));
        self.by_path.borrow_mut().insert(path.into(), Rc::downgrade(&node));
        Some(node)
    }

    /// Reads the kernel's queue if it has events.
    fn read_events(&self, inotify: &Inotify) {
        if inotify.signal.as_ref().is_some_and(|signal| !signal.take()) {
            return;
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&inotify.queue, &mut buffer);
        for _ in 0..EVENTS_MAX {
            match events.next() {
                Ok(event) if !event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    self.on_event(event.wd(), event.events(), inotify);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                _ => break,
            }
        }
        // Events were lost or are unread, so any file may have changed.
        if let Some(signal) = &inotify.signal {
            signal.set();
        }
        let nodes = std::mem::take(&mut *self.by_number.borrow_mut());
        nodes.values().filter_map(Weak::upgrade).for_each(|node| self.invalidate(&node, inotify));
    }

    fn on_event(&self, number: i32, events: ReadFlags, inotify: &Inotify) {
        let Some(node) = self.by_number.borrow().get(&number).and_then(Weak::upgrade) else { return };
        if NEW_NAME_EVENTS.contains(events) {
            node.new_names.set(node.new_names.get() + 1);
            self.generation.set(self.generation.get() + 1);
        } else {
            self.invalidate(&node, inotify);
        }
    }

    /// Ends the watch of a node, so that the kernel accepts another one for the file.
    fn invalidate(&self, node: &Node, inotify: &Inotify) {
        self.generation.set(self.generation.get() + 1);
        self.by_number.borrow_mut().remove(&node.number);
        if node.is_valid.replace(false) {
            // Fails if an event has already removed the watch (`ONESHOT`).
            let _ = inotify::remove_watch(&inotify.queue, node.number);
        }
    }
}

impl Inotify {
    fn open(root: &Root) -> Option<Inotify> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        let setting = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
        // Half of the limit, because the user's other programs share it. Systems with little memory have a limit of
        // 8,192.
        let watches_max = setting.trim().parse::<usize>().ok()? / 2;
        let signal = EventSignal::new(queue.as_fd()).ok().filter(|signal| is_signalled(&queue, signal, root));
        Some(Inotify { queue, signal, watches_max })
    }
}

/// Returns whether an event sets the signal's flag before the call that caused the event returns: some sandboxes
/// emulate inotify without signals. The event is the opening of the root.
fn is_signalled(queue: &OwnedFd, signal: &EventSignal, root: &Root) -> bool {
    let link = format!("/proc/self/fd/{}", root.folder().as_raw_fd());
    let Ok(number) = inotify::add_watch(queue, link, WatchFlags::OPEN) else { return false };
    let _ = openat(root.folder(), c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let is_signalled = signal.take();
    let _ = inotify::remove_watch(queue, number);
    // The next check reads the events of the test.
    signal.set();
    is_signalled
}

impl Node {
    /// Returns whether the node is unchanged, and its path leads to it.
    fn is_in_place(&self) -> bool {
        self.is_valid.get() && self.parent.as_ref().is_none_or(|parent| parent.is_in_place())
    }
}

impl Watch {
    /// Returns whether the path still leads to the unchanged file, or still to nothing.
    pub fn is_current(&mut self) -> bool {
        let watches = &self.node.watches;
        if let Some(Some(inotify)) = watches.inotify.get() {
            watches.read_events(inotify);
        }
        let generation = watches.generation.get();
        if self.generation == generation {
            return true;
        }
        let is_current =
            self.node.is_in_place() && self.new_names.is_none_or(|names| names == self.node.new_names.get());
        if is_current {
            self.generation = generation;
        }
        is_current
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let watches = &self.watches;
        if let Some(Some(inotify)) = watches.inotify.get() {
            watches.invalidate(self, inotify);
        }
        // A newer node may have taken the path.
        let mut by_path = watches.by_path.borrow_mut();
        if by_path.get(&self.path).is_some_and(|node| node.strong_count() == 0) {
            by_path.remove(&self.path);
        }
    }
}

/// Splits a path into folder and name. Returns `None` for paths with empty components, `.` or `..`.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
    if !path.split(|byte| *byte == b'/').all(is_plain) {
        return None;
    }
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    Some((&path[..start], &path[start..]))
}

/// Returns whether all changes to the file's file system go through this kernel. Other machines (NFS) and daemons
/// (FUSE) change files without an event.
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
        let version = version(&root, "a/file");
        (site, root, version)
    }

    fn version(root: &Root, path: &str) -> FileVersion {
        FileVersion::from(&root.stat(path.as_bytes(), AtFlags::empty()).expect("a version"))
    }

    /// Returns the number of nodes, by number and by path.
    fn nodes(watches: &Watches) -> (usize, usize) {
        (watches.by_number.borrow().len(), watches.by_path.borrow().len())
    }

    #[test]
    fn the_kernel_signals_events_before_the_change_returns() {
        let inotify = Inotify::open(&site().1).expect("inotify");
        assert!(inotify.signal.is_some(), "this kernel does not signal events");
    }

    #[test]
    fn files_beyond_the_watch_limit_are_not_watched() {
        let (site, root, a) = site();
        fs::write(site.path().join("a/other"), "x").expect("a file");
        let other = version(&root, "a/other");
        let inotify = Inotify { watches_max: 3, ..Inotify::open(&root).expect("inotify") };
        let watches = Watches::new(root);
        watches.inotify.set(Some(inotify)).expect("the first one");
        // Two watches are those of the folders.
        let watch = watches.watch(b"a/file", Some(a)).expect("a watch");
        assert!(watches.watch(b"a/other", Some(other)).is_none());
        drop(watch);
        assert!(watches.watch(b"a/other", Some(other)).is_some());
    }

    #[test]
    fn failed_and_dropped_watches_leave_no_state() {
        let (site, root, version) = site();
        let watches = Watches::new(root);
        let mut watch = watches.watch(b"a/file", Some(version)).expect("a watch");
        let second = watches.watch(b"a/file", Some(version)).expect("the same watch");
        assert!(watch.is_current());
        assert_eq!(nodes(&watches), (3, 3));
        for path in ["./a/file", "a//file", "a/../a/file", "a/none", "a", "a/file/x"] {
            assert!(watches.watch(path.as_bytes(), Some(version)).is_none(), "{path}");
        }
        assert_eq!(nodes(&watches), (3, 3));
        fs::write(site.path().join("a/file"), "longer").expect("another version");
        assert!(!watch.is_current() && !watch.is_current());
        assert!(watches.watch(b"a/file", Some(version)).is_none());
        drop((watch, second));
        assert_eq!(nodes(&watches), (0, 0));
    }

    #[test]
    fn changes_of_folders_end_the_watches_beneath_and_new_names_those_of_absent_files() {
        let (site, root, version) = site();
        let watches = Watches::new(root);
        let at = |path: &str| site.path().join(path);
        let mut file = watches.watch(b"a/file", Some(version)).expect("a watch");
        let mut absent = watches.watch(b"a/none", None).expect("a watch");
        fs::write(at("a/other"), "x").expect("a new name");
        assert!(file.is_current() && !absent.is_current());
        let mut absent = watches.watch(b"a/none", None).expect("a watch");
        fs::remove_file(at("a/other")).expect("a name less");
        assert!(file.is_current() && absent.is_current());
        fs::rename(at("a"), at("b")).expect("a renamed folder");
        assert!(!file.is_current() && !absent.is_current());
        // Back in place, the folder is watched again although the old watches exist still.
        fs::rename(at("b"), at("a")).expect("a renamed folder");
        assert!(!file.is_current());
        assert!(watches.watch(b"a/file", Some(version)).is_some_and(|mut watch| watch.is_current()));
        std::os::unix::fs::symlink("a", at("link")).expect("a link");
        assert!(watches.watch(b"link/file", Some(version)).is_none());
        assert!(watches.watch(b"link/none", None).is_none());
        let mut absent = watches.watch(b"a/new/folder/file", None).expect("a watch");
        fs::create_dir(at("a/new")).expect("a folder");
        assert!(!absent.is_current());
    }
}
