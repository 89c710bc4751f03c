//! The file protocol over sockets: netcat, the legacy clients with their receive calls, and many clients at
//! once. To add a case, let a `LegacyClient` send and receive as that client does.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{PATIENCE, PROGRAM, Server, at_once, retry_interrupted, small_site, tool, wait_for};

/// The pause between two messages of the server. A test client that is delayed for longer receives them as
/// one message, as the legacy clients do.
const PACE: [&str; 2] = ["--pace", "300ms"];

/// A server with a library, and its address.
struct Files {
    server: Server,
    library: TempDir,
    address: String,
}

fn serve(arguments: &[&str]) -> Files {
    let library = tempfile::tempdir().unwrap();
    let path = library.path().to_str().unwrap();
    let arguments = [&["--files", path, "--file", "0"], arguments].concat();
    let server = Server::start_with(Command::new(PROGRAM), small_site(), &arguments);
    let line = server.wait_for_line("listening file tcp://");
    let address = line.split("tcp://").nth(1).unwrap().to_owned();
    Files { server, library, address }
}

#[test]
fn netcat_uploads_and_downloads() {
    let Some(_) = tool("nc") else { return };
    let files = serve(&[]);
    let bytes: Vec<u8> =
        (0..3_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.bin"), &bytes).unwrap();
    let (host, port) = files.address.split_once(':').unwrap();
    let shell = |line: &str| {
        let line = line.replace("HOST 8888", &format!("{host} {port}"));
        Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output().unwrap().stdout
    };
    let printed = shell("(printf 'PUT %d a.bin\\n' $(stat -c %s a.bin); cat a.bin; echo Q) | nc HOST 8888");
    assert!(printed.starts_with(b"OK 3000000 ") && printed.ends_with(b"OK bye\r\n"));
    assert!(fs::read(files.library.path().join("a.bin")).unwrap() == bytes);
    assert!(shell("echo 'G a.bin' | nc -N HOST 8888 | tail -n +2") == bytes);
    assert!(files.server.get("/").status == 200);
}

/// A legacy client, for which each receive call returns one message.
struct LegacyClient(TcpStream);

impl LegacyClient {
    fn connect(address: &str) -> LegacyClient {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        LegacyClient(stream)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Calls `recv(size)`.
    fn recv(&mut self, size: usize) -> Vec<u8> {
        let mut buffer = vec![0; size];
        let count = retry_interrupted(|| self.0.read(&mut buffer)).unwrap();
        buffer.truncate(count);
        buffer
    }

    /// Calls `recv(1024)` until it returns exactly `##`.
    fn until_end(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| Some(self.recv(1024)).filter(|bytes| bytes != b"##")).collect()
    }

    fn get(&mut self, name: &str) -> Result<Vec<u8>, String> {
        self.send(format!("G {name}").as_bytes());
        match self.recv(1024) {
            ok if ok == b"OK" => Ok(self.until_end().concat()),
            other => Err(String::from_utf8(other).unwrap()),
        }
    }

    /// Uploads a file and returns whether the pauses were right: the server takes a `##` for data if it
    /// follows the server's reply closely, and for the end if a quarter of a second of silence follows it.
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<bool, String> {
        let begun = Instant::now();
        self.send(format!("P {name}").as_bytes());
        let reply = self.recv(1024);
        if !matches!(reply.as_slice(), b"OK" | b"ok") {
            return Err(String::from_utf8(reply).unwrap());
        }
        bytes.chunks(1024).for_each(|chunk| self.send(chunk));
        let said = begun.elapsed();
        std::thread::sleep(Duration::from_millis(60));
        self.send(b"##");
        Ok(said < Duration::from_millis(40) && begun.elapsed() < Duration::from_millis(200))
    }
}

/// Uploads data that contains `##`. Tries again if the client was delayed for too long.
#[track_caller]
fn upload(client: &mut LegacyClient, name: &str, bytes: &[u8], stored: &Path) {
    loop {
        let is_in_time = client.put(name, bytes).unwrap();
        wait_for("the upload", || stored.exists().then_some(()));
        if fs::read(stored).unwrap() == bytes {
            return;
        }
        assert!(!is_in_time, "{name} differs from the sent file");
        fs::remove_file(stored).unwrap();
    }
}

#[test]
fn a_long_listing_reaches_a_legacy_client() {
    let files = serve(&["--dialect", "listed", "--pace", "1ms"]);
    let names: Vec<String> = (0..600).map(|number| format!("file-{number:04}")).collect();
    names.iter().for_each(|name| fs::write(files.library.path().join(name), "").unwrap());
    let mut client = LegacyClient::connect(&files.address);
    client.send(b"L");
    // The client takes several messages for one if they follow each other closely.
    let mut received = String::new();
    while !received.ends_with("##") {
        received += &String::from_utf8(client.recv(1024)).unwrap();
    }
    assert_eq!(received, format!("OK{}##", names.concat()));
    assert!(files.server.get("/").status == 200);
}

#[test]
fn the_first_legacy_client_is_served() {
    // In parallel, since most of the time is pauses.
    at_once(["auto", "joined"], |dialect| {
        let files = serve(&[&["--dialect", dialect], &PACE[..]].concat());
        let mut client = LegacyClient::connect(&files.address);
        client.send(b"L");
        assert_eq!(String::from_utf8(client.recv(1024)).unwrap(), "文件库为空");
        // `##` is data at the beginning, in the middle and at the end of a file.
        let bytes = [&b"##"[..], &b"a##b#".repeat(3000), b"##"].concat();
        upload(&mut client, "文 件.txt", &bytes, &files.library.path().join("件.txt"));
        client.put("empty", b"").unwrap();
        wait_for("the empty upload", || files.library.path().join("empty").exists().then_some(()));
        assert_eq!(client.put("empty", b""), Err("文件已存在".into()));
        client.send(b"L");
        assert_eq!((client.recv(1024), client.recv(4096)), (b"OK".to_vec(), "empty#件.txt#".into()));
        assert!(client.get("件.txt").unwrap() == bytes);
        assert_eq!(client.get("empty").unwrap(), b"");
        assert_eq!(client.get("../x"), Err("文件不存在".into()));
        client.send(b"Q");
        assert_eq!(client.recv(1024), b"");
    });
}

#[test]
fn the_last_legacy_client_is_served() {
    let files = serve(&[&["--dialect", "listed"], &PACE[..]].concat());
    let mut client = LegacyClient::connect(&files.address);
    client.send(b"L");
    assert_eq!(client.recv(1024), b"FAIL");
    for (name, bytes) in [("b.txt", &b"two\nlines\n"[..]), ("a.txt", b"##")] {
        upload(&mut client, name, bytes, &files.library.path().join(name));
    }
    client.send(b"L");
    assert_eq!(client.recv(1024), b"OK");
    assert_eq!(client.until_end(), [b"a.txt", b"b.txt"]);
    assert_eq!(client.get("b.txt").unwrap(), b"two\nlines\n");
    assert_eq!(client.get("nothing"), Err("FAIL".into()));
    assert_eq!(client.put("b.txt", b""), Err("FAIL".into()));
}

#[test]
fn forty_legacy_clients_are_served_beside_a_slow_one() {
    let files = serve(&[&["--dialect", "joined"], &PACE[..]].concat());
    fs::write(files.library.path().join("large"), vec![b'x'; 20_000_000]).unwrap();
    fs::write(files.library.path().join("small"), vec![b'y'; 50_000]).unwrap();
    let mut slow = LegacyClient::connect(&files.address);
    slow.send(b"G large");
    assert_eq!(slow.recv(1024), b"OK");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut client = LegacyClient::connect(&files.address);
                assert_eq!(client.get("small").unwrap(), vec![b'y'; 50_000]);
            });
        }
    });
    // One after the other, the pauses alone would take 24 s.
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(slow.until_end().concat().len(), 20_000_000);
}

#[test]
fn exactly_one_of_concurrent_uploads_to_a_name_succeeds() {
    let files = serve(&[]);
    let replies: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20_u8)
            .map(|index| {
                let address = &files.address;
                scope.spawn(move || {
                    let mut client = LegacyClient::connect(address);
                    client.send(b"PUT 100000 same\n");
                    [b'a' + index; 100_000].chunks(7000).for_each(|chunk| client.send(chunk));
                    client.send(b"Q\n");
                    let mut text = String::new();
                    client.0.read_to_string(&mut text).unwrap();
                    text
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(replies.iter().filter(|reply| reply.starts_with("OK 100000 ")).count(), 1, "{replies:?}");
    assert_eq!(replies.iter().filter(|reply| reply.starts_with("ERR exists ")).count(), 19);
    let stored = fs::read(files.library.path().join("same")).unwrap();
    assert!(stored.len() == 100_000 && stored.iter().all(|byte| *byte == stored[0]));
}
