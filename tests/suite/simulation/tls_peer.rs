//! Peers of the simulation that speak TLS, and the certificate of the simulated server.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use evserve::clock::Now;
use evserve::close_reason::CloseReason;
use evserve::event_loop::Readiness;
use evserve::transport::tls::{Alpn, Identity, TlsAcceptor, TlsServer, TlsSettings};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore, SupportedProtocolVersion};

use super::peers::{Behavior, SimPeer};
use super::world::Simulation;

/// What clients without TLS get.
pub const PLAIN_REPLY: &[u8] = b"speak TLS";

thread_local! {
    static SERVER: OnceCell<Rc<TlsServer>> = const { OnceCell::new() };
}

/// Returns an acceptor of the server that a test thread shares.
pub fn acceptor(now: Now) -> Rc<TlsAcceptor> {
    let server = SERVER.with(|server| {
        Rc::clone(server.get_or_init(|| {
            let identity = Some(IDENTITY.0.clone());
            Rc::new(TlsServer::new(TlsSettings::default(), identity, now).unwrap())
        }))
    });
    TlsAcceptor::new(&server, Alpn::Unnamed, PLAIN_REPLY)
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// The certificate of the server, which is made once, and the trust in it.
static IDENTITY: LazyLock<(Identity, RootCertStore)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    // Clients read the system's clock.
    let identity = Identity::keep(folder.path(), &["localhost".into()], Now::read()).unwrap();
    let certificate = CertificateDer::from_pem_file(folder.path().join("self-signed.crt")).unwrap();
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate).unwrap();
    (identity, trusted)
});

/// Returns the configuration of a client of one version of TLS.
pub fn config_with(
    provider: Arc<CryptoProvider>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(IDENTITY.1.clone())
        .with_no_client_auth()
}

/// The versions, with configurations that all clients share, so that sessions are resumed.
pub static VERSIONS: LazyLock<[Arc<ClientConfig>; 2]> = LazyLock::new(|| {
    [&rustls::version::TLS13, &rustls::version::TLS12]
        .map(|version| Arc::new(config_with(Arc::clone(&PROVIDER), version)))
});

/// The client's side of a TLS connection: bytes in, bytes out.
pub struct TlsClient {
    pub session: ClientConnection,
    /// How many of the received bytes were processed.
    processed: usize,
    /// The decrypted content.
    pub plain: Vec<u8>,
    /// Records that were not delivered to the server yet.
    pub outgoing: VecDeque<u8>,
    /// Whether close_notify was sent and received.
    pub has_closed: bool,
    pub has_ended: bool,
    /// Why the session failed, such as an alert of the server.
    pub error: Option<Error>,
}

impl TlsClient {
    pub fn new(config: &Arc<ClientConfig>) -> TlsClient {
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
        session.set_buffer_limit(None);
        let mut client = TlsClient {
            session,
            processed: 0,
            plain: Vec::new(),
            outgoing: VecDeque::new(),
            has_closed: false,
            has_ended: false,
            error: None,
        };
        client.flush();
        client
    }

    /// Takes all that the server has sent so far, and decrypts what is new.
    pub fn receive(&mut self, received: &[u8]) {
        let mut rest = &received[self.processed..];
        self.processed = received.len();
        while !rest.is_empty() && self.error.is_none() {
            assert!(!self.has_ended, "output behind close_notify");
            self.session.read_tls(&mut rest).unwrap();
            self.error = self.session.process_new_packets().err();
            let mut buffer = [0; 4096];
            while !self.has_ended
                && let Ok(count) = self.session.reader().read(&mut buffer)
            {
                self.plain.extend_from_slice(&buffer[..count]);
                self.has_ended = count == 0;
            }
        }
        self.flush();
    }

    /// Encrypts content, in records of at most `record` bytes.
    pub fn write(&mut self, content: &[u8], record: usize) {
        for piece in content.chunks(record) {
            self.session.writer().write_all(piece).unwrap();
        }
        self.flush();
    }

    /// Sends close_notify.
    pub fn close(&mut self) {
        self.has_closed = true;
        self.session.send_close_notify();
        self.flush();
    }

    pub fn is_ready(&self) -> bool {
        !self.session.is_handshaking()
    }

    pub fn flush(&mut self) {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.outgoing).unwrap();
        }
    }

    /// Takes up to `count` bytes to deliver.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        self.outgoing.drain(..count.min(self.outgoing.len())).collect()
    }
}

impl SimPeer {
    /// Makes the peer speak TLS.
    pub fn in_tls(mut self, config: &Arc<ClientConfig>) -> SimPeer {
        self.tls = Some(Box::new(TlsClient::new(config)));
        self
    }

    /// Like [`SimPeer::act`]: records and their parts arrive at random, too.
    pub fn act_in_tls(&mut self, random: &mut fastrand::Rng) -> Option<Readiness> {
        let wire = &mut *self.wire.borrow_mut();
        let tls = self.tls.as_mut()?;
        let reads = self.behavior != Behavior::NeverReads || !tls.is_ready();
        if reads {
            tls.receive(&wire.received);
        }
        let token = wire.token.filter(|_| !wire.closed && !wire.reset)?;
        let mut readiness = Readiness { token, readable: false, writable: false, ending: false };
        if reads && wire.window < 50_000 && random.bool() {
            wire.window += random.usize(1..600_000);
            readiness.writable = std::mem::take(&mut wire.blocked);
        }
        let stops_at = match self.behavior {
            Behavior::Stops | Behavior::Resets => self.script.len() / 2,
            _ => self.script.len(),
        };
        if tls.is_ready() && self.sent < stops_at && random.bool() {
            let most = if random.bool() { 30 } else { 40_000 };
            let count = random.usize(1..=most).min(stops_at - self.sent);
            let record = if random.bool() { random.usize(1..=most) } else { 16_384 };
            tls.write(&self.script[self.sent..self.sent + count], record);
            self.sent += count;
        }
        let closes = self.behavior == Behavior::HalfCloses && self.sent == self.script.len();
        if closes && tls.is_ready() && !tls.has_closed && random.bool() {
            tls.close();
        }
        if !tls.outgoing.is_empty() && random.bool() {
            let most = if random.bool() { 300 } else { 60_000 };
            wire.arrived.extend(tls.take(random.usize(1..=most)));
            readiness.readable = true;
        }
        if tls.has_closed && tls.outgoing.is_empty() && !wire.ended && random.u8(..4) == 0 {
            wire.ended = true;
            (readiness.readable, readiness.ending) = (true, true);
        }
        if self.behavior == Behavior::Resets && self.sent == stops_at && random.u8(..10) == 0 {
            wire.reset = true;
            return Some(Readiness { token, readable: true, writable: true, ending: true });
        }
        (readiness.readable || readiness.writable).then_some(readiness)
    }
}

/// Tests that say what a client does, and when.
impl Simulation {
    /// Connects a client from 10.0.0.`host` that accepts everything, and lets the server accept it.
    pub fn join(&mut self, config: &Arc<ClientConfig>, host: u8) -> usize {
        let peer = SimPeer::with(Behavior::Polite, Default::default(), OnceCell::new(), &mut self.random, 0);
        {
            let wire = &mut *peer.wire.borrow_mut();
            (wire.window, wire.short_recv_drains) = (1 << 40, true);
            wire.address = [10, 0, 0, host].into();
        }
        self.add(peer.in_tls(config));
        self.turn(Vec::new());
        self.peers.len() - 1
    }

    /// Connects a client and completes its handshake.
    pub fn join_and_shake(&mut self, version: usize) -> usize {
        let peer = self.join(&VERSIONS[version], 1);
        self.shake(peer);
        peer
    }

    /// Delivers records until the client has none left. Its handshake is complete then.
    pub fn shake(&mut self, peer: usize) {
        for _ in 0..10 {
            self.exchange(peer);
        }
        let tls = self.client(peer);
        assert!(tls.is_ready() && tls.outgoing.is_empty(), "{:?}", tls.error);
    }

    pub fn client(&mut self, peer: usize) -> &mut TlsClient {
        self.peers[peer].tls.as_mut().unwrap()
    }

    /// Delivers all records of the client, runs a turn, and lets the client process the reply.
    pub fn exchange(&mut self, peer: usize) {
        let bytes = self.client(peer).take(usize::MAX);
        self.deliver(peer, &bytes);
    }

    /// Delivers any bytes, runs a turn, and lets the client process the reply.
    pub fn deliver(&mut self, peer: usize, bytes: &[u8]) {
        let event = self.arrive(peer, bytes);
        self.turn(event.into_iter().collect());
        self.process(peer);
    }

    /// Lets bytes arrive, and returns the event for them.
    pub fn arrive(&mut self, peer: usize, bytes: &[u8]) -> Option<Readiness> {
        let wire = &mut *self.peers[peer].wire.borrow_mut();
        wire.arrived.extend(bytes);
        let token = wire.token.filter(|_| !wire.closed && !bytes.is_empty())?;
        Some(Readiness { token, readable: true, writable: false, ending: wire.ended })
    }

    /// Delivers what clients have to send. Returns the events for the server.
    pub fn arrive_all(&mut self, peers: &[usize]) -> Vec<Readiness> {
        let arrive = |peer: &usize| {
            let bytes = self.client(*peer).take(usize::MAX);
            self.arrive(*peer, &bytes)
        };
        peers.iter().filter_map(arrive).collect()
    }

    /// Lets the client process what it has received.
    pub fn process(&mut self, peer: usize) {
        let peer = &mut self.peers[peer];
        peer.tls.as_mut().unwrap().receive(&peer.wire.borrow().received);
    }

    /// Encrypts and delivers content.
    pub fn say(&mut self, peer: usize, content: impl AsRef<[u8]>) {
        self.client(peer).write(content.as_ref(), 16_384);
        self.exchange(peer);
    }

    /// Delivers FIN.
    pub fn fin(&mut self, peer: usize) {
        let token = {
            let wire = &mut *self.peers[peer].wire.borrow_mut();
            wire.ended = true;
            wire.token.filter(|_| !wire.closed)
        };
        let event = token.map(|token| Readiness { token, readable: true, writable: false, ending: true });
        self.turn(event.into_iter().collect());
        self.process(peer);
    }

    /// Closes the peer, which has seen that the server has shut down its side and lingers.
    pub fn leave(&mut self, peer: usize) {
        // The rest of the input is read and dropped first.
        (0..9).for_each(|_| self.turn(Vec::new()));
        let wire = self.peers[peer].wire.borrow();
        assert!(wire.server_ended && !wire.closed, "the server does not linger");
        drop(wire);
        self.fin(peer);
        assert!(self.is_closed(peer));
    }

    /// Lets the network accept `count` more bytes, and runs a turn.
    pub fn open_window(&mut self, peer: usize, count: usize) {
        let token = {
            let wire = &mut *self.peers[peer].wire.borrow_mut();
            wire.window += count;
            let blocked = std::mem::take(&mut wire.blocked);
            wire.token.filter(|_| !wire.closed && blocked)
        };
        let event = token.map(|token| Readiness { token, readable: false, writable: true, ending: false });
        self.turn(event.into_iter().collect());
        self.process(peer);
    }

    pub fn is_closed(&self, peer: usize) -> bool {
        self.peers[peer].wire.borrow().closed
    }

    pub fn ended(&self, reason: CloseReason) -> u64 {
        self.event_loop.services().statistics.ended(reason)
    }
}
