//! The cache of files that change between requests: never stale, never a mix of two versions, within its limits. To add a kind of change, add it to `change`.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use evserve::clock::Instant;
use evserve::store::{Bounds, Cache, Cached, Content, DiskStore, Lookup, Opened, Store};

pub const BOUNDS: Bounds = Bounds { bytes: 1 << 20, entries: 100, descriptors: 4 };

/// Requests `name` at the time `now`, as a protocol does.
pub fn get(cache: &mut Cache<String>, store: &dyn Store, name: &str, now: Instant) -> Option<Cached<String>> {
    let name = name.as_bytes();
    match cache.find(name, store, now) {
        Lookup::Hit(id) => return cache.hit(id).map(|found| found.cached()),
        Lookup::Absent | Lookup::Unserved | Lookup::Busy => return None,
        Lookup::Miss => {}
    }
    match store.open(name) {
        Ok(Opened::File(file)) => {
            let note = file.length.to_string();
            Some(cache.put((name, name), file, note, (now, SystemTime::now())))
        }
        _ => {
            cache.put_absent((name, name), (now, SystemTime::now()));
            None
        }
    }
}

/// Waits until a file is old enough for its times to tell versions apart.
pub fn wait_until_old(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    while modified.elapsed().unwrap() < AGE {
        std::thread::sleep(AGE.saturating_sub(modified.elapsed().unwrap()));
    }
}

const AGE: Duration = Duration::from_millis(100);

/// Returns the letter that fills a file, and its length. Panics on a mix of two versions.
fn uniform(cached: &Cached<String>) -> (u8, u64) {
    let mut buffer = vec![0; 300_000];
    let bytes = cached.content.read(0, &mut buffer).unwrap();
    assert_eq!(cached.note, bytes.len().to_string(), "a note of another version");
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a mix of two versions");
    (bytes.first().copied().unwrap_or(0), cached.length)
}

/// The letter that fills a file, and its length; `None` if there is no file.
type Version = Option<(u8, u64)>;

/// Changes a file in a random way, and returns its new version.
fn change(path: &Path, random: &mut fastrand::Rng) -> Version {
    let letter = random.lowercase() as u8;
    let length = *random.choice(&[1, 100, 100, 5000, 150_000]).unwrap();
    let bytes = vec![letter; length];
    match random.u8(..5) {
        // In place, often with the same length and within one tick of the file system's clock.
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
fn cached_files_are_never_stale() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut cache = Cache::new(BOUNDS);
        let names = ["a", "b", "c"];
        let mut current: [Version; 3] = [None; 3];
        names.iter().for_each(|name| drop(fs::remove_file(folder.path().join(name))));
        let mut now = Instant::now();
        for step in 0..400 {
            let index = random.usize(..3);
            if random.u8(..3) == 0 {
                current[index] = change(&folder.path().join(names[index]), &mut random);
            } else {
                let got = get(&mut cache, &store, names[index], now);
                // A large file is served from its descriptor, where an edit in place is visible at once.
                if got.as_ref().is_some_and(|got| matches!(got.content, Content::Disk(_))) {
                    continue;
                }
                assert_eq!(got.as_ref().map(uniform), current[index], "stale in step {step}, seed {seed}");
            }
            now += Duration::from_millis(random.u64(..80));
        }
    }
}

#[test]
fn deleted_files_are_gone_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    let mut cache = Cache::new(BOUNDS);
    for name in ["small", "large"] {
        let path = folder.path().join(name);
        fs::write(&path, vec![b'x'; if name == "large" { 200_000 } else { 10 }]).unwrap();
        let now = Instant::now();
        assert!(get(&mut cache, &store, name, now).is_some());
        fs::remove_file(path).unwrap();
        assert!(get(&mut cache, &store, name, now).is_none());
    }
    assert!(cache.bytes() < 1000);
}

#[test]
fn cached_content_never_mixes_two_versions_of_a_file() {
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
            if let Some(cached) = get(&mut cache, &store, "a", now) {
                uniform(&cached);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn cache_eviction_respects_bounds_and_keeps_hot_entries() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for index in 0..300 {
        fs::write(folder.path().join(format!("{index}")), vec![b'x'; random.usize(..20_000)]).unwrap();
    }
    for index in 300..310 {
        fs::write(folder.path().join(format!("{index}")), vec![b'x'; 150_000]).unwrap();
    }
    wait_until_old(&folder.path().join("309"));
    let mut cache = Cache::new(BOUNDS);
    let now = Instant::now();
    for step in 0..3000 {
        let index = if step % 2 == 0 { 7 } else { random.usize(..310) };
        get(&mut cache, &store, &index.to_string(), now);
        assert!(cache.bytes() <= BOUNDS.bytes && cache.entry_count() <= BOUNDS.entries, "step {step}");
        if step > 10 {
            let known = matches!(cache.find(b"7", &store, now), Lookup::Hit(_));
            assert!(known, "what every second request asks for was evicted");
        }
    }
    assert!(cache.entry_count() > 50);
}

#[test]
fn negative_cache_entries_respect_bounds_and_keep_hot_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    let mut cache = Cache::new(BOUNDS);
    let now = Instant::now();
    fs::write(folder.path().join("asked"), "x").unwrap();
    wait_until_old(&folder.path().join("asked"));
    for index in 0..1000 {
        get(&mut cache, &store, "asked", now);
        assert!(get(&mut cache, &store, &format!("missing-{index}"), now).is_none());
        assert!(cache.entry_count() <= BOUNDS.entries && cache.bytes() <= BOUNDS.bytes);
    }
    assert!(matches!(cache.find(b"asked", &store, now), Lookup::Hit(_)), "a search drove out what is used");
    fs::write(folder.path().join("missing-999"), "x").unwrap();
    assert!(get(&mut cache, &store, "missing-999", now).is_some());
}

#[test]
fn unused_descriptors_are_closed_by_the_cache_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    let mut cache = Cache::new(BOUNDS);
    let now = Instant::now();
    for index in 0..10 {
        fs::write(folder.path().join(format!("{index}")), vec![b'x'; 150_000]).unwrap();
        get(&mut cache, &store, &index.to_string(), now);
    }
    fs::write(folder.path().join("small"), "x").unwrap();
    get(&mut cache, &store, "small", now);
    assert_eq!(cache.entry_count(), BOUNDS.descriptors + 1);
    let at = cache.sweep_at().expect("a time to sweep");
    cache.sweep(at);
    assert_eq!((cache.entry_count(), cache.sweep_at()), (1, None));
}

#[test]
fn a_cached_message_is_not_changed_while_it_is_being_sent() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path()).unwrap();
    fs::write(folder.path().join("a"), "content").unwrap();
    wait_until_old(&folder.path().join("a"));
    let mut cache = Cache::new(BOUNDS);
    let now = Instant::now();
    let Ok(Opened::File(file)) = store.open(b"a") else { panic!("no file") };
    drop(cache.put((b"/a", b"a"), file, (), (now, SystemTime::now())));
    let mut message = |time: &[u8]| match cache.find(b"/a", &store, now) {
        Lookup::Hit(id) => cache.hit(id)?.message((3, time), |(), _| b"at 0:".to_vec()),
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
