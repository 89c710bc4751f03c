//! Which calls of the store, the site, the transports and the logs are measured, by their kind. To add a case, run an
//! operation in `calls` and compare the names of its calls, which are in the order of `Call::ALL`.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::time::SystemTime;

use evserve::clock::calls::{Call, driving, take};
use evserve::clock::{Clock, Instant, Now};
use evserve::limits::MEMORY_BODY_MAX_BYTES;
use evserve::observe::LogFile;
use evserve::site::{AcceptedCodings, Coding, Metadata, Resolved, Rules, Selected, Site};
use evserve::store::{
    Bounds, DiskStore, Library, LibraryRules, Name, OpenFile, Opened, PathResolution, Sha256Digest, Store,
    UploadKey,
};
use evserve::transport::{Stream, Transport};

use crate::cache::site::Site as CachedSite;

/// Runs `work`, and returns its result and the names of the calls that it made.
fn calls<T>(work: impl FnOnce() -> T) -> (T, String) {
    take();
    let result = work();
    let tally = take();
    let made = Call::ALL.into_iter().filter(|call| tally.of(*call).count > 0);
    let names: Vec<&str> = made.map(Call::name).collect();
    (result, names.join(" "))
}

fn open(store: &dyn Store, path: &str) -> OpenFile {
    match store.open(path.as_bytes()) {
        Ok(Opened::File(file)) => file,
        opened => panic!("{opened:?}"),
    }
}

const LARGE: usize = MEMORY_BODY_MAX_BYTES as usize + 1;

fn now() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}

#[test]
fn opening_reading_and_listing_files_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small"), "content").unwrap();
    fs::write(folder.path().join("large"), vec![b'x'; LARGE]).unwrap();
    let library = Library::open(folder.path(), LibraryRules::default()).unwrap();
    let disks = [PathResolution::Kernel, PathResolution::Walk].into_iter();
    let disks = disks.filter(|resolution| {
        cfg!(all(target_os = "linux", not(evserve_portable))) || *resolution == PathResolution::Walk
    });
    let disks = disks.map(|resolution| DiskStore::with_resolution(folder.path(), resolution).unwrap());
    let mut stores: Vec<Box<dyn Store>> = vec![Box::new(library.files())];
    stores.extend(disks.map(|disk| Box::new(disk) as Box<dyn Store>));
    for store in stores {
        let (_, made) = calls(|| open(&*store, "/small"));
        assert_eq!(made, "open read");
        let (large, made) = calls(|| open(&*store, "/large"));
        assert_eq!(made, "open");
        let (mut here, mut there) = ([0; 10], [0; 10]);
        let (_, made) = calls(|| large.content.read(0, &mut here).unwrap().len());
        assert_eq!(made, "read");
        let (_, made) = calls(|| large.content.read_cached(0, &mut there).map(<[u8]>::len));
        assert_eq!(made, "read");
        assert_eq!(calls(|| store.version(b"/small").unwrap()).1, "open");
        assert_eq!(calls(|| store.open(b"/missing").unwrap_err()).1, "open");
        let (mut reader, made) = calls(|| store.list(b"/").unwrap());
        assert_eq!(made, "open");
        let (entries, made) = calls(|| reader.next(10).unwrap());
        assert_eq!((entries.len(), made.as_str()), (2, "list"));
    }
}

#[test]
fn uploads_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let rules = LibraryRules { fsync: true, max_library: Some(1 << 30), ..LibraryRules::default() };
    let mut library = Library::open(folder.path(), rules).unwrap();
    let name = Name::parse(b"a").unwrap();
    // The maximum size of the library makes the server count its files.
    let (upload, made) = calls(|| library.create(&name, Some(7)));
    assert_eq!(made, "open list");
    let mut upload = upload.unwrap();
    let (written, made) = calls(|| upload.write(b"content"));
    assert_eq!((written.is_ok(), made.as_str()), (true, "write hash"));
    let (stored, made) = calls(|| library.store(upload, SystemTime::now()));
    assert_eq!((stored.is_ok(), made.as_str()), (true, "open write fsync"));
    let mut repeated = library.create_or_repeat(&name, Some(7)).unwrap();
    let (compared, made) = calls(|| repeated.write(b"content"));
    assert_eq!((compared.is_ok(), made.as_str()), (true, "read hash"));
    let (removed, made) = calls(|| library.remove(&name));
    assert_eq!((removed.is_ok(), made.as_str()), (true, "open write"));
    let incomplete = library.create(&name, None).unwrap();
    assert_eq!(calls(|| drop(incomplete)).1, "write");
}

#[test]
fn resumable_uploads_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let mut library = Library::open(folder.path(), LibraryRules::default()).unwrap();
    let name = Name::parse(b"a").unwrap();
    let key = UploadKey { length: 10, sha256: Sha256Digest([0; 32]), name };
    // Each open of a partial upload is followed by a sweep of the others.
    let (upload, made) = calls(|| library.resume(&key, now()).unwrap());
    assert_eq!(made, "open list");
    let mut upload = upload;
    upload.write(b"x").unwrap();
    assert_eq!(calls(|| drop(upload)).1, "write");
    assert_eq!(calls(|| library.partial(&key).unwrap()), (1, "open".to_owned()));
    let mut upload = library.resume(&key, now()).unwrap();
    assert_eq!(calls(|| upload.rehash().unwrap()).1, "read hash");
    drop(upload);
    assert_eq!(calls(|| library.abandon(&key).unwrap()).1, "open write");
    // The sweep removes the empty folder of partial uploads.
    assert_eq!(calls(|| library.run_background_tasks(now())).1, "write list");
    assert!(!folder.path().join(".evserve-partial").exists());
}

#[test]
fn hashing_a_stored_file_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "content").unwrap();
    let mut library = Library::open(folder.path(), LibraryRules::default()).unwrap();
    library.run_background_tasks(now());
    let (digest, made) = calls(|| library.digest(&Name::parse(b"a").unwrap(), Instant::now()).unwrap());
    assert_eq!((digest, made.as_str()), (None, "open"));
    assert_eq!(calls(|| library.run_background_tasks(now())).1, "read hash");
}

#[test]
fn compressing_and_hashing_a_page_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.html"), "words ".repeat(1000)).unwrap();
    let (disk, clock) = (DiskStore::new(folder.path()).unwrap(), Clock::new(Now::read()));
    let mut site = Site::new(Box::new(disk), Rules::default(), Bounds::within(100));
    let page = match site.find(b"/page.html", &clock) {
        Ok(Resolved::File(page)) => page,
        found => panic!("{found:?}"),
    };
    // The digest is computed once.
    assert_eq!(calls(|| Metadata::digest(&page).unwrap()).1, "hash");
    assert_eq!(calls(|| Metadata::digest(&page).unwrap()).1, "");
    let preferred = Coding::ALL.map(|coding| (coding == Coding::Gzip).then_some(coding));
    let accepted = AcceptedCodings { preferred, identity: false };
    assert!(matches!(site.select(page, accepted, &clock), Selected::Pending));
    // The version of the file is checked at the end.
    assert_eq!(calls(|| site.advance(&clock)).1, "open compress");
    assert_eq!(calls(|| site.advance(&clock)).1, "");
}

/// Creates a connected pair of sockets.
fn pair() -> (Stream, mio::net::UnixStream) {
    let (near, far) = mio::net::UnixStream::pair().unwrap();
    (Stream::Unix(near), far)
}

#[test]
fn sending_a_file_is_measured_but_not_sending_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "content").unwrap();
    let file = File::open(&path).unwrap();
    let (mut near, mut far) = pair();
    let (sent, made) = calls(|| near.send(&[std::io::IoSlice::new(b"head")], false).unwrap());
    assert_eq!((sent, made.as_str()), (4, ""));
    let (sent, made) = calls(|| near.send_file(&file, 0, 7, false).unwrap());
    assert_eq!((sent, made.as_str()), (7, "sendfile"));
    let mut received = [0; 20];
    assert_eq!(far.read(&mut received).unwrap(), 11);
    let (error, made) = calls(|| near.recv(&mut received).unwrap_err());
    assert_eq!((error.kind(), made.as_str()), (ErrorKind::WouldBlock, ""));
}

#[test]
fn writing_a_log_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LogFile::append_to(&folder.path().join("log")).unwrap();
    assert_eq!(calls(|| log.write_some(b"line\n").unwrap()), (5, "log".to_owned()));
}

#[test]
fn a_current_file_in_the_cache_is_found_without_a_measured_call() {
    let mut site = CachedSite::new();
    site.write("file", b"content");
    site.settle("file");
    let (content, made) = calls(|| site.get("file"));
    assert_eq!(content, b"content");
    if cfg!(all(target_os = "linux", not(evserve_portable))) {
        assert_eq!(made, "");
    }
}

#[test]
fn the_tally_names_the_connection_that_read_the_slow_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small"), "content").unwrap();
    let disk = DiskStore::new(folder.path()).unwrap();
    take();
    driving(3);
    drop(open(&disk, "/small"));
    driving(0);
    let tally = take();
    assert_eq!((tally.of(Call::Read).count, tally.of(Call::Read).connection), (1, 3));
    assert!(tally.slowest().is_some_and(|(.., connection)| connection == 3));
}

#[cfg(feature = "tls")]
mod tls {
    use std::io::{IoSlice, Write};

    use evserve::transport::tls::{Identity, TlsServer, TlsSettings, TlsStream};
    use evserve::transport::{Handshake, HandshakeBudget};

    use super::*;
    use crate::simulation::tls_peer::{TlsClient, VERSIONS, acceptor};

    /// Exchanges records until the handshake is complete. Returns the client.
    fn shake(stream: &mut TlsStream<Stream>, far: &mut mio::net::UnixStream, version: usize) -> TlsClient {
        let (mut client, mut received) = (TlsClient::new(&VERSIONS[version]), Vec::new());
        for _ in 0..10 {
            far.write_all(&client.take(usize::MAX)).unwrap();
            let (shaken, made) = calls(|| stream.handshake(Now::read(), &mut HandshakeBudget::default()));
            // The files of certificates are checked at the first handshake.
            assert!(["handshake", "open handshake"].contains(&made.as_str()), "{made}");
            let shaken = shaken.unwrap();
            let ended = far.read_to_end(&mut received);
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::WouldBlock);
            client.receive(&received);
            if shaken == Handshake::Complete && client.is_ready() {
                return client;
            }
        }
        panic!("the handshake does not end");
    }

    #[test]
    fn handshakes_are_measured_but_not_the_encryption_of_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "content").unwrap();
        let file = File::open(&path).unwrap();
        for version in 0..VERSIONS.len() {
            let (near, mut far) = pair();
            let mut stream = TlsStream::new(near, acceptor(Now::read()));
            let mut client = shake(&mut stream, &mut far, version);
            client.write(b"request", 100);
            far.write_all(&client.take(usize::MAX)).unwrap();
            let mut buffer = [0; 100];
            let (received, made) = calls(|| stream.recv(&mut buffer).unwrap());
            assert_eq!((received, made.as_str()), (7, ""));
            assert_eq!(calls(|| stream.send(&[IoSlice::new(b"head")], false).unwrap()), (4, String::new()));
            assert_eq!(calls(|| stream.send_file(&file, 0, 7, false).unwrap()), (7, "read".to_owned()));
        }
    }

    #[test]
    fn reading_changed_certificates_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        Identity::keep(folder.path(), &["localhost".into()], Now::read()).unwrap();
        let [certificate, key] = ["crt", "key"].map(|end| folder.path().join(format!("self-signed.{end}")));
        let pairs = vec![(certificate.clone(), key)];
        let settings = TlsSettings { pairs, ..TlsSettings::default() };
        let server = TlsServer::new(settings, None, Now::read()).unwrap();
        assert_eq!(calls(|| server.reload(Now::read())).1, "open");
        File::options().append(true).open(certificate).unwrap().write_all(b"\n").unwrap();
        assert_eq!(calls(|| server.reload(Now::read())).1, "open read");
    }
}
