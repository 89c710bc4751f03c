//! Drives a TLS connection with the bytes of a fuzzer, in memory: as the beginning of a connection, or after a real
//! handshake. Nothing may panic, loop or be sent after the end.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::rc::Rc;
use std::sync::Arc;

use evserve::clock::Now;
use evserve::transport::tls::{Alpn, Identity, TlsAcceptor, TlsServer, TlsSettings};
use evserve::transport::{Handshake, HandshakeBudget, Socket, Transport};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// The peer's end of a connection.
#[derive(Default)]
struct Memory {
    arrived: Vec<u8>,
    /// How much one recv returns at most.
    piece: usize,
    sent: Vec<u8>,
    has_ended: bool,
}

impl Transport for Memory {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty());
        let count = buffer.len().min(self.piece).min(self.arrived.len());
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..count].copy_from_slice(&self.arrived[..count]);
        self.arrived.drain(..count);
        Ok(count)
    }

    fn send(&mut self, pieces: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        assert!(!self.has_ended, "output behind its end");
        pieces.iter().for_each(|piece| self.sent.extend_from_slice(piece));
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    }

    fn send_file(&mut self, _: &File, _: u64, _: usize, _: bool) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.has_ended = true;
        Ok(())
    }

    fn unacknowledged(&self) -> Option<usize> {
        Some(0)
    }

    fn short_recv_drains(&self) -> bool {
        false
    }
}

/// A server and clients of both versions of TLS.
struct Fixture {
    acceptor: Rc<TlsAcceptor>,
    clients: [Arc<ClientConfig>; 2],
    now: Now,
}

thread_local! {
    static FIXTURE: OnceCell<Fixture> = const { OnceCell::new() };
}

impl Fixture {
    fn new() -> Fixture {
        let now = Now::read();
        let folder = tempfile::tempdir().expect("a folder");
        let identity = Identity::keep(folder.path(), &["localhost".into()], now).expect("a certificate");
        let certificate = CertificateDer::from_pem_file(folder.path().join("self-signed.crt"));
        let mut trusted = RootCertStore::empty();
        trusted.add(certificate.expect("a certificate")).expect("a certificate");
        let server = Rc::new(TlsServer::new(TlsSettings::default(), Some(identity), now).expect("a server"));
        let clients = [&rustls::version::TLS13, &rustls::version::TLS12].map(|version| {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
            let builder = builder.expect("a version").with_root_certificates(trusted.clone());
            Arc::new(builder.with_no_client_auth())
        });
        Fixture { acceptor: TlsAcceptor::new(&server, Alpn::Http, b"speak TLS"), clients, now }
    }

    /// Continues the handshake as far as the bytes reach.
    fn shake(&self, stream: &mut Socket<Memory>) -> io::Result<Handshake> {
        for _ in 0..100_000 {
            match stream.handshake(self.now, &mut HandshakeBudget::default())? {
                Handshake::Yielding => {}
                other => return Ok(other),
            }
        }
        panic!("a handshake without end");
    }

    /// Completes a handshake with a real client, which then encrypts `request` and refreshes its keys if `updates`.
    fn connect(&self, version: usize, request: &[u8], updates: bool) -> Socket<Memory> {
        let mut stream = Socket::new(Memory { piece: usize::MAX, ..Memory::default() }, Some(&self.acceptor));
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::clone(&self.clients[version]), name).expect("a client");
        loop {
            while client.wants_write() {
                client.write_tls(&mut memory(&mut stream).arrived).expect("memory");
            }
            let shaken = self.shake(&mut stream).expect("a handshake");
            let sent = std::mem::take(&mut memory(&mut stream).sent);
            let mut rest = &sent[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("memory");
                client.process_new_packets().expect("a handshake");
            }
            if shaken == Handshake::Complete && !client.is_handshaking() {
                break;
            }
        }
        client.writer().write_all(request).expect("memory");
        if updates {
            client.refresh_traffic_keys().expect("TLS 1.3");
        }
        while client.wants_write() {
            client.write_tls(&mut memory(&mut stream).arrived).expect("memory");
        }
        stream
    }
}

fn memory(stream: &mut Socket<Memory>) -> &mut Memory {
    match stream {
        Socket::Plain(memory) => memory,
        Socket::Tls(stream) => stream.inner_mut(),
    }
}

/// Receives and replies until the connection waits or ends. Returns the content.
fn echo(stream: &mut Socket<Memory>, room: usize) -> Vec<u8> {
    let (mut content, mut buffer) = (Vec::new(), vec![0; room]);
    for _ in 0..1_000_000 {
        match stream.recv(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                content.extend_from_slice(&buffer[..count]);
                let mut sent = 0;
                while sent < count {
                    sent += stream.send(&[IoSlice::new(&buffer[sent..count])], false).expect("memory");
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return content,
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::ConnectionAborted),
                    "{error}"
                );
                assert!(!memory(stream).sent.is_empty(), "no alert");
                break;
            }
        }
    }
    let _ = stream.end();
    let _ = stream.shutdown_write();
    // What follows is dropped.
    while stream.recv(&mut buffer).is_ok_and(|count| count > 0) {}
    assert!(memory(stream).arrived.is_empty(), "a recv without end");
    let _ = stream.end();
    content
}

/// Tests TLS. The first byte chooses how the rest is used, the second how it is cut.
pub fn tls(data: &[u8]) {
    let [how, piece, bytes @ ..] = data else { return };
    let piece = if *piece == 0 { usize::MAX } else { usize::from(*piece) };
    FIXTURE.with(|fixture| {
        let fixture = fixture.get_or_init(Fixture::new);
        if how & 1 == 0 {
            let arrived = bytes.to_vec();
            let mut stream =
                Socket::new(Memory { arrived, piece, ..Memory::default() }, Some(&fixture.acceptor));
            match fixture.shake(&mut stream) {
                Ok(_) => assert!(memory(&mut stream).arrived.is_empty()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
                    assert!(!memory(&mut stream).sent.is_empty(), "no alert: {error}");
                }
            }
            return;
        }
        let (version, room) =
            (usize::from(how >> 1 & 1), [1, 100, 16_384, 65_536][usize::from(how >> 2 & 3)]);
        let request = &bytes[..bytes.len().min(usize::from(how >> 4 & 3) * 5000)];
        let mut stream = fixture.connect(version, request, version == 0 && how & 64 > 0);
        memory(&mut stream).arrived.extend_from_slice(bytes);
        memory(&mut stream).piece = piece;
        let content = echo(&mut stream, room);
        // No byte of a fuzzer is authentic. Content that arrives together with a violation is dropped.
        assert!(request.starts_with(&content));
        assert!(!bytes.is_empty() || content == request);
    });
}

#[cfg(test)]
mod tests {
    /// Runs the target without a fuzzer: random bytes, with the beginnings of records among them.
    #[test]
    fn random_bytes_are_survived() {
        let mut state = 1_u64;
        let mut random = move |most: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % most
        };
        for _ in 0..4000 {
            let mut data = vec![random(256) as u8, random(256) as u8];
            for _ in 0..random(6) {
                let most = if random(4) == 0 { 20_000 } else { 60 };
                let length = random(most);
                if random(4) > 0 {
                    let kind = [20, 21, 22, 23, 24][random(5)];
                    data.extend([kind, 3, [1, 3][random(2)], (length >> 8) as u8, length as u8]);
                }
                data.extend((0..length).map(|_| random(256) as u8));
            }
            super::tls(&data);
        }
    }
}
