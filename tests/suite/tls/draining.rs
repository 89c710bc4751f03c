//! TLS connections while the server drains, and while others only begin a handshake.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::server::{Https, LARGE, content, warnings};
use crate::process::Client;

#[test]
fn draining_finishes_a_download_and_closes_idle_connections_with_close_notify() {
    let mut https = Https::start(&[]);
    std::fs::write(https.server.site.path().join("10m"), content(LARGE)).unwrap();
    // The receive buffer is small, so the download is in progress until the script reads.
    let script = "import hashlib
idle, fresh = connect(), connect()
idle.sendall(b'GET / HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n')
assert idle.recv(65536).endswith(b'<p>front')
busy = connect()
busy.sendall(b'GET /10m HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n')
first = busy.recv(1)
print('ready', flush=True)
sys.stdin.readline()
assert idle.recv(65536) == b'' and fresh.recv(65536) == b''
print('closed', flush=True)
whole = first
while part := busy.recv(65536):
    whole += part
sys.stdout.write(hashlib.sha256(whole.split(b'\\r\\n\\r\\n', 1)[1]).hexdigest() + '\\n')";
    let Some(mut child) = https.start_python(script, &[]) else { return };
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    https.server.signal(Signal::TERM);
    https.server.wait_for_line("draining 3 connections");
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let expected = evserve_digest(&content(LARGE));
    assert_eq!(rest, format!("closed\n{expected}\n"));
    assert_eq!(https.server.ended().code(), Some(0));
    assert!(TcpStream::connect(https.address).is_err());
}

/// Returns the SHA-256 of `bytes` in hexadecimal digits.
fn evserve_digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn draining_does_not_wait_for_a_handshake_that_never_ends() {
    let mut https = Https::start(&["--head-timeout", "500ms"]);
    let mut silent = Client::new(TcpStream::connect(https.address).unwrap());
    let mut begun = Client::new(TcpStream::connect(https.address).unwrap());
    begun.send(b"\x16\x03\x01\x02\x00\x01");
    https.server.signal(Signal::TERM);
    assert_eq!(https.server.ended().code(), Some(0));
    silent.expect_end();
    begun.rest();
}

/// Records the ClientHello that Python sends.
fn client_hello() -> Option<Vec<u8>> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = std::process::Command::new(crate::process::tool("python3")?)
        .args([
            "-c",
            "import socket, ssl, sys
plain = socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=20)
try:
    ssl._create_unverified_context().wrap_socket(plain, server_hostname='localhost')
except OSError:
    pass",
            &listener.local_addr().unwrap().port().to_string(),
        ])
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut body).unwrap();
    drop(stream);
    child.wait().unwrap();
    Some([&head[..], &body].concat())
}

#[test]
fn a_flood_of_handshakes_does_not_keep_an_established_connection_from_being_answered() {
    let Some(hello) = client_hello() else { return };
    let https = Https::start(&[]);
    let script = "client = connect()
count = 0
sys.stdout.write('ready\\n'); sys.stdout.flush()
end = time.monotonic() + 2
while time.monotonic() < end or count == 0:
    client.sendall(b'GET /1k.txt HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n')
    received = b''
    while not received.endswith(b'k' * 1024):
        part = client.recv(65536)
        assert part, 'the end'
        received += part
    count += 1
print(count)";
    let Some(mut child) = https.start_python(script, &[]) else { return };
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let (answered, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut count = String::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    // Together 200 connections at a time.
                    let mut streams: Vec<TcpStream> =
                        (0..50).filter_map(|_| TcpStream::connect(https.address).ok()).collect();
                    for stream in &mut streams {
                        stream.write_all(&hello).unwrap();
                    }
                    for stream in &mut streams {
                        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                        let mut first = [0; 1];
                        if stream.read(&mut first).is_ok_and(|count| count == 1) {
                            // A handshake record: the ServerHello.
                            assert_eq!(first[0], 22);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        let begun = Instant::now();
        output.read_to_string(&mut count).unwrap();
        ended.store(true, Ordering::Relaxed);
        assert!(begun.elapsed() >= Duration::from_millis(500));
    });
    let result = child.wait_with_output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert!(count.trim().parse::<usize>().unwrap() > 0 && answered.load(Ordering::Relaxed) > 0);
    assert_eq!(warnings(&https.server.lines()), [""; 0]);
    assert_eq!(https.server.get("/").status, 200);
}
