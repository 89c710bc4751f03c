//! The cache against files that change in every way: nothing stale for longer than promised, never
//! a mix of two versions, within its bounds.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use evserve::store::{
    Bounds, Cache, Cached, Content, DiskStore, Entry, Folder, Recall, Stamp, Store, StoreError, Watch,
};

const BOUNDS: Bounds = Bounds { bytes: 1 << 20, entries: 100, descriptors: 4 };

/// What `/name` has at `now`, as a protocol would ask for it.
fn ask(cache: &mut Cache<()>, store: &dyn Store, name: &str, now: Instant) -> Option<Cached<()>> {
    let name = name.as_bytes();
    match cache.get(name, store, now) {
        Recall::File(found) => return Some(found.cached()),
        Recall::Absent(_) => return None,
        Recall::Unknown => {}
    }
    match store.open(name) {
        Ok(Entry::File(file)) => {
            let head = file.length.to_string();
            Some(cache.put((name, name), file, (head.as_bytes(), ()), (now, SystemTime::now())))
        }
        _ => {
            cache.put_absent((name, name), None, (now, SystemTime::now()));
            None
        }
    }
}

/// The letter that all bytes are, and how many: a mix of two versions is caught here.
fn uniform(cached: &Cached<()>) -> (u8, u64) {
    let mut buffer = vec![0; 300_000];
    let bytes = cached.content.read(0, &mut buffer).unwrap();
    assert_eq!(&*cached.head, bytes.len().to_string().as_bytes(), "a head of another version");
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a mix of two versions");
    (bytes.first().copied().unwrap_or(0), cached.length)
}

/// What all bytes of a file are and how many, if it is there.
type Version = Option<(u8, u64)>;

/// Changes a file in one of the ways that there are, and returns what it is then.
fn change(path: &Path, random: &mut fastrand::Rng) -> Version {
    let letter = random.lowercase() as u8;
    let length = *random.choice(&[1, 100, 100, 5000, 150_000]).unwrap();
    let bytes = vec![letter; length];
    match random.u8(..5) {
        // In place, often of the same length and within the same tick of the file system's clock.
        0 | 1 => fs::write(path, &bytes).unwrap(),
        2 => {
            let new = path.with_extension("new");
            fs::write(&new, &bytes).unwrap();
            fs::rename(&new, path).unwrap();
        }
        3 => {
            let _ = fs::remove_file(path);
            return None;
        }
        _ => {
            let mut file = File::options().create(true).write(true).truncate(true).open(path).unwrap();
            file.write_all(&bytes).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
        }
    }
    Some((letter, length as u64))
}

#[test]
fn nothing_is_stale_for_longer_than_a_tenth_of_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut cache = Cache::new(BOUNDS);
        let names = ["a", "b", "c"];
        // Of each file what it was, and until when.
        let mut history: [Vec<(Version, Instant)>; 3] = Default::default();
        let mut current = [None; 3];
        names.iter().for_each(|name| drop(fs::remove_file(folder.path().join(name))));
        let mut now = Instant::now();
        for step in 0..400 {
            let index = random.usize(..3);
            if random.u8(..3) == 0 {
                history[index].push((current[index], now));
                current[index] = change(&folder.path().join(names[index]), &mut random);
            } else {
                let got = ask(&mut cache, &store, names[index], now);
                // A large file is served by its descriptor, and an edit in place shows through.
                if got.as_ref().is_some_and(|got| matches!(got.content, Content::Disk(_))) {
                    continue;
                }
                let got = got.as_ref().map(uniform);
                let recent = |(was, until): &(Version, Instant)| {
                    *was == got && now - *until < Duration::from_millis(100)
                };
                let known = current[index] == got || history[index].iter().any(recent);
                assert!(known, "{got:?} is stale in step {step}, seed {seed}; it is {:?}", current[index]);
            }
            now += Duration::from_millis(random.u64(..80));
        }
    }
}

#[test]
fn a_deleted_file_is_gone_within_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    let mut cache = Cache::new(BOUNDS);
    for name in ["small", "large"] {
        let path = folder.path().join(name);
        fs::write(&path, vec![b'x'; if name == "large" { 200_000 } else { 10 }]).unwrap();
        let now = Instant::now();
        assert!(ask(&mut cache, &store, name, now).is_some());
        fs::remove_file(path).unwrap();
        assert!(ask(&mut cache, &store, name, now + Duration::from_millis(99)).is_none());
    }
    assert!(cache.bytes() < 1000);
}

#[test]
fn a_version_is_whole_while_another_thread_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    let path = folder.path().join("a");
    fs::write(&path, [b'a'; 5000]).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(1);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let new = path.with_extension("new");
                fs::write(&new, vec![random.lowercase() as u8; random.usize(1..60_000)]).unwrap();
                fs::rename(&new, &path).unwrap();
            }
        });
        let mut cache = Cache::new(BOUNDS);
        let mut now = Instant::now();
        for _ in 0..3000 {
            now += Duration::from_millis(20);
            if let Some(cached) = ask(&mut cache, &store, "a", now) {
                uniform(&cached);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn the_bounds_hold_and_who_is_asked_for_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for index in 0..300 {
        fs::write(folder.path().join(format!("{index}")), vec![b'x'; random.usize(..20_000)]).unwrap();
    }
    for index in 300..310 {
        fs::write(folder.path().join(format!("{index}")), vec![b'x'; 150_000]).unwrap();
    }
    let mut cache = Cache::new(BOUNDS);
    let now = Instant::now();
    for step in 0..3000 {
        let index = if step % 2 == 0 { 7 } else { random.usize(..310) };
        ask(&mut cache, &store, &index.to_string(), now);
        assert!(cache.bytes() <= BOUNDS.bytes && cache.len() <= BOUNDS.entries, "step {step}");
        if step > 10 {
            let known = matches!(cache.get(b"7", &store, now), Recall::File(_));
            assert!(known, "what every second request asks for was evicted");
        }
    }
    assert!(cache.len() > 50);
}

#[test]
fn what_is_not_there_is_remembered_within_the_same_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    let mut cache = Cache::new(BOUNDS);
    let now = Instant::now();
    fs::write(folder.path().join("asked"), "x").unwrap();
    for index in 0..1000 {
        ask(&mut cache, &store, "asked", now);
        assert!(ask(&mut cache, &store, &format!("missing-{index}"), now).is_none());
        assert!(cache.len() <= BOUNDS.entries && cache.bytes() <= BOUNDS.bytes);
    }
    assert!(matches!(cache.get(b"asked", &store, now), Recall::File(_)), "a search drove out what is used");
    fs::write(folder.path().join("missing-999"), "x").unwrap();
    assert!(ask(&mut cache, &store, "missing-999", now + Duration::from_millis(99)).is_some());
}

#[test]
fn descriptors_are_given_back_when_nobody_asks() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    let mut cache = Cache::new(BOUNDS);
    let now = Instant::now();
    for index in 0..10 {
        fs::write(folder.path().join(format!("{index}")), vec![b'x'; 150_000]).unwrap();
        ask(&mut cache, &store, &index.to_string(), now);
    }
    fs::write(folder.path().join("small"), "x").unwrap();
    ask(&mut cache, &store, "small", now);
    assert_eq!(cache.len(), BOUNDS.descriptors + 1);
    let at = cache.sweep_at().expect("a time to sweep");
    cache.sweep(at);
    assert_eq!((cache.len(), cache.sweep_at()), (1, None));
}

#[test]
fn a_message_does_not_change_under_the_hands_of_who_sends_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    fs::write(folder.path().join("a"), "content").unwrap();
    let mut cache = Cache::new(BOUNDS);
    let now = Instant::now();
    let Ok(Entry::File(file)) = store.open(b"a") else { panic!("no file") };
    drop(cache.put((b"/a", b"a"), file, (b"at 0:", ()), (now, SystemTime::now())));
    let mut message = |time: &[u8]| match cache.get(b"/a", &store, now) {
        Recall::File(mut found) => found.message(3, time),
        _ => panic!("forgotten"),
    };
    let (first, length) = message(b"1").unwrap();
    assert_eq!((&*first, length), (&b"at 1:content"[..], 7));
    assert!(message(b"2").is_none());
    let (again, _) = message(b"1").unwrap();
    assert_eq!((&*first, &*again), (&b"at 1:content"[..], &b"at 1:content"[..]));
    drop((first, again));
    assert_eq!(&*message(b"2").unwrap().0, b"at 2:content");
}

/// Files on the disk, with a count of the looks at them.
struct Counted {
    store: DiskStore,
    looks: Cell<usize>,
}

impl Store for Counted {
    fn open(&self, path: &[u8]) -> Result<Entry, StoreError> {
        self.store.open(path)
    }

    fn stamp(&self, path: &[u8]) -> Option<Stamp> {
        self.looks.set(self.looks.get() + 1);
        self.store.stamp(path)
    }

    fn watch(&self, path: &[u8], stamp: Stamp, now: Instant) -> Option<Watch> {
        self.store.watch(path, stamp, now)
    }

    fn list(&self, path: &[u8]) -> Result<Box<dyn Folder>, StoreError> {
        self.store.list(path)
    }
}

/// A folder on a file system that changes can be told of. That of the temporary files may be another.
pub fn local_folder() -> tempfile::TempDir {
    let folder =
        if cfg!(target_os = "linux") { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() };
    folder.unwrap()
}

/// A site with files that are asked for all the time.
pub struct Site {
    pub folder: tempfile::TempDir,
    store: Counted,
    cache: Cache<()>,
    pub now: Instant,
}

const TENTH: Duration = Duration::from_millis(100);

impl Site {
    pub fn new() -> Site {
        let folder = local_folder();
        let store = Counted { store: DiskStore::new(folder.path()).unwrap(), looks: Cell::new(0) };
        Site { folder, store, cache: Cache::new(BOUNDS), now: Instant::now() }
    }

    fn write_unsettled(&self, name: &str, bytes: &[u8]) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes a file, long enough ago for its times to tell versions apart.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        self.write_unsettled(name, bytes);
        self.rest(name);
    }

    /// Waits until a file was left alone for so long that its times tell versions apart.
    pub fn rest(&self, name: &str) {
        let path = self.folder.path().join(name);
        while fs::metadata(&path).unwrap().modified().unwrap().elapsed().unwrap() < TENTH {
            std::thread::yield_now();
        }
    }

    /// What is served of a file, and nothing if it is not there.
    pub fn get(&mut self, name: &str) -> Vec<u8> {
        let mut buffer = vec![0; 300_000];
        let cached = ask(&mut self.cache, &self.store, name, self.now);
        cached.map_or(Vec::new(), |cached| cached.content.read(0, &mut buffer).unwrap().to_vec())
    }

    /// Asks for a file all the time for so long, and returns how often the disk was looked at.
    pub fn serve(&mut self, name: &str, time: Duration) -> usize {
        let (end, before) = (self.now + time, self.store.looks.get());
        while self.now < end {
            self.now += Duration::from_millis(5);
            assert!(!self.get(name).is_empty());
        }
        self.store.looks.get() - before
    }

    /// Has a file watched, if that can be.
    pub fn settle(&mut self, name: &str) {
        self.serve(name, Duration::from_secs(2));
        if cfg!(all(target_os = "linux", not(evserve_portable))) {
            let looks = self.serve(name, Duration::from_secs(10));
            assert!(looks <= 11, "{looks} looks at a file that is left alone, in ten seconds");
        }
    }
}

/// Changes `path`, which is the site's `g/a/file` and has the contents "old", into one of "new".
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
    ("removed and written anew", |path, _| {
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
fn a_file_that_was_left_alone_for_long_is_not_stale_either() {
    for (how, edit) in EDITS {
        let mut site = Site::new();
        site.write("g/a/file", b"old");
        site.settle("g/a/file");
        edit(&site.folder.path().join("g/a/file"), site.folder.path());
        site.now += Duration::from_millis(99);
        assert_eq!(String::from_utf8(site.get("g/a/file")).unwrap(), "new", "{how}");
    }
}

#[test]
fn a_file_that_goes_is_gone_although_it_was_left_alone_for_long() {
    let mut site = Site::new();
    site.write("a/file", b"old");
    site.settle("a/file");
    fs::remove_dir_all(site.folder.path().join("a")).unwrap();
    site.now += Duration::from_millis(99);
    assert!(site.get("a/file").is_empty());
}

#[test]
fn who_is_asked_for_seldom_is_looked_at() {
    let mut site = Site::new();
    site.write("file", b"old");
    for _ in 0..20 {
        site.now += Duration::from_secs(11);
        site.get("file");
    }
    assert!(site.serve("file", Duration::from_millis(500)) >= 5);
    site.settle("file");
    // Who is watched stays so.
    site.now += Duration::from_secs(60);
    site.settle("file");
}

#[test]
fn files_of_a_folder_that_was_replaced_are_watched_again() {
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
fn a_link_that_led_elsewhere_for_long_is_followed() {
    let mut site = Site::new();
    site.write("old", b"old");
    site.write("new", b"new");
    let link = site.folder.path().join("link");
    symlink("old", &link).unwrap();
    site.serve("link", Duration::from_secs(3));
    fs::remove_file(&link).unwrap();
    symlink("new", &link).unwrap();
    site.now += Duration::from_millis(99);
    assert_eq!(site.get("link"), b"new");
}

#[test]
fn a_file_is_followed_while_somebody_writes_it() {
    let mut site = Site::new();
    site.write("log", b"0");
    site.settle("log");
    let mut file = File::options().append(true).open(site.folder.path().join("log")).unwrap();
    for line in 1..50 {
        file.write_all(line.to_string().as_bytes()).unwrap();
        site.now += Duration::from_millis(99);
        assert!(site.get("log").ends_with(line.to_string().as_bytes()));
    }
    file.set_len(1).unwrap();
    site.now += Duration::from_millis(99);
    assert_eq!(site.get("log"), b"0");
}

#[test]
fn when_the_kernel_has_lost_count_nothing_is_stale() {
    let mut site = Site::new();
    site.cache = Cache::new(Bounds { bytes: 64 << 20, entries: 10_000, descriptors: 4 });
    let names: Vec<String> = (0..9000).map(|index| format!("{}/{index}", index % 10)).collect();
    for name in &names {
        site.write_unsettled(name, b"old");
    }
    site.write("last", b"old");
    for _ in 0..20 {
        site.now += TENTH;
        names.iter().for_each(|name| drop(site.get(name)));
    }
    site.settle("last");
    // Each event is followed by that of the watch's end, so these are more than are queued.
    for name in &names {
        fs::write(site.folder.path().join(name), "new").unwrap();
    }
    fs::write(site.folder.path().join("last"), "new").unwrap();
    site.now += Duration::from_millis(99);
    assert_eq!(site.get("last"), b"new");
    assert!(names.iter().all(|name| site.get(name) == b"new"));
}

#[test]
fn nothing_is_stale_among_files_that_seldom_change() {
    for seed in 0..10 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut site = Site::new();
        let names = ["a/file", "a/other", "b/c/file", "file"];
        let mut versions = [0; 4].map(|_| vec![(b"0".to_vec(), site.now)]);
        names.iter().for_each(|name| site.write(name, b"0"));
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
                versions[index].last_mut().unwrap().1 = site.now;
                versions[index].push((bytes, site.now));
                continue;
            }
            let got = site.get(names[index]);
            let now = site.now;
            let (old, current) = versions[index].split_at(versions[index].len() - 1);
            let known =
                got == current[0].0 || old.iter().any(|(bytes, until)| *bytes == got && now - *until < TENTH);
            assert!(known, "{got:?} is stale in step {step}, seed {seed}");
        }
    }
}
