//! The TLS server that all connections share: certificates and their renewal, session tickets, protocol names.

use std::cell::{RefCell, RefMut};
use std::fs::Metadata;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};

use super::certificates::{Certificates, read_authorities};
use super::self_signed::Identity;
use super::settings::{Alpn, TlsError, TlsSettings};
use crate::clock::calls::{Call, timed};
use crate::clock::{Instant, Now};
use crate::limits::{TLS_CERTIFICATE_CHECK, TLS_HANDSHAKE_COST, TURN_READ_BYTES};
use crate::store::FileVersion;

/// The certificates and keys of a server, which are read again when their files change.
pub struct TlsServer {
    settings: TlsSettings,
    /// A certificate made at start, used after those of the settings.
    identity: Option<Identity>,
    provider: Arc<CryptoProvider>,
    /// Encrypts session tickets with keys that rotate. A new certificate does not change them, if clients have none.
    tickets: Arc<dyn ProducesTickets>,
    loaded: RefCell<Loaded>,
    /// Where all connections receive records, and where content is collected that is encrypted next.
    input: RefCell<Vec<u8>>,
    /// An empty buffer for the records to send, lent to one connection at a time.
    output: RefCell<Vec<u8>>,
}

struct Loaded {
    /// By [`Alpn`].
    configs: [Arc<ServerConfig>; 2],
    /// The time that the server takes to answer a ClientHello.
    cost: Duration,
    /// The versions of the files when they were last read, successfully or not.
    versions: Vec<Option<FileVersion>>,
    next_check: Option<Instant>,
}

/// Turns the connections of a listener into TLS connections.
pub struct TlsAcceptor {
    server: Rc<TlsServer>,
    alpn: Alpn,
    plain_reply: &'static [u8],
}

impl TlsServer {
    /// Reads the certificates and keys.
    pub fn new(settings: TlsSettings, identity: Option<Identity>, now: Now) -> Result<TlsServer, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tickets = new_tickets()?;
        let versions = versions(&settings);
        let (configs, cost) = load(&settings, identity.as_ref(), (&provider, &tickets), now)?;
        let loaded = RefCell::new(Loaded { configs, cost, versions, next_check: None });
        let (input, output) = (RefCell::new(vec![0; TURN_READ_BYTES]), RefCell::default());
        Ok(TlsServer { settings, identity, provider, tickets, loaded, input, output })
    }

    /// Reads the certificates and keys again if their files have changed. If they are unusable, the server keeps the
    /// old ones, and logs why.
    pub fn reload(&self, now: Now) {
        let versions = timed(Call::Open, || versions(&self.settings));
        let mut loaded = self.loaded.borrow_mut();
        if versions == loaded.versions {
            return;
        }
        loaded.versions = versions;
        match timed(Call::Read, || self.load_again(now)) {
            Ok((configs, cost)) => {
                (loaded.configs, loaded.cost) = (configs, cost);
                log::info!("read the certificates again");
            }
            Err(error) => log::warn!("{error}; the old certificates stay in use"),
        }
    }

    /// Loads the files again. A session is resumed without its client's certificate, so another authority for clients
    /// needs other tickets.
    fn load_again(&self, now: Now) -> Result<([Arc<ServerConfig>; 2], Duration), TlsError> {
        // Opening a pipe would wait for its writer.
        let mut special =
            files(&self.settings).filter(|path| std::fs::metadata(path).is_ok_and(|m| is_special(&m)));
        if let Some(path) = special.next() {
            return Err(TlsError(format!("{} is no regular file", path.display())));
        }
        let tickets = match self.settings.client_ca {
            Some(_) => &new_tickets()?,
            None => &self.tickets,
        };
        load(&self.settings, self.identity.as_ref(), (&self.provider, tickets), now)
    }

    fn check(&self, now: Now) {
        let next = self.loaded.borrow().next_check;
        if next.is_none_or(|next| next <= now.monotonic) {
            self.reload(now);
            self.loaded.borrow_mut().next_check = Some(now.monotonic + TLS_CERTIFICATE_CHECK);
        }
    }
}

impl TlsAcceptor {
    /// Creates an acceptor. Clients that speak no TLS get `plain_reply`.
    pub fn new(server: &Rc<TlsServer>, alpn: Alpn, plain_reply: &'static [u8]) -> Rc<TlsAcceptor> {
        Rc::new(TlsAcceptor { server: Rc::clone(server), alpn, plain_reply })
    }

    /// Returns the configuration for a new session. The files of the certificates are checked when connections need
    /// them, so an idle server does not wake up.
    pub(super) fn config(&self, now: Now) -> Arc<ServerConfig> {
        self.server.check(now);
        Arc::clone(&self.server.loaded.borrow().configs[self.alpn as usize])
    }

    /// Returns the time that the answer to a ClientHello takes.
    pub(super) fn cost(&self) -> Duration {
        self.server.loaded.borrow().cost
    }

    pub(super) fn plain_reply(&self) -> &'static [u8] {
        self.plain_reply
    }

    pub(super) fn input(&self) -> RefMut<'_, Vec<u8>> {
        self.server.input.borrow_mut()
    }

    /// Takes an empty buffer, whose memory is already allocated.
    pub(super) fn take_output(&self) -> Vec<u8> {
        self.server.output.take()
    }

    /// Gives a buffer back, or keeps the larger one.
    pub(super) fn return_output(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut kept = self.server.output.borrow_mut();
        if buffer.capacity() > kept.capacity() {
            *kept = buffer;
        }
    }
}

fn new_tickets() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    aws_lc_rs::Ticketer::new()
        .map_err(|error| TlsError(format!("cannot make keys for session tickets: {error}")))
}

/// Returns the paths of all files.
fn files(settings: &TlsSettings) -> impl Iterator<Item = &PathBuf> {
    let pairs = settings.pairs.iter().flat_map(|(certificate, key)| [certificate, key]);
    pairs.chain(&settings.client_ca)
}

/// Returns the versions of all files, `None` for one that is missing. A pipe has none: it can be read once, at start.
fn versions(settings: &TlsSettings) -> Vec<Option<FileVersion>> {
    let version = |path| {
        let metadata = std::fs::metadata(path).ok().filter(|metadata| !is_special(metadata))?;
        Some(FileVersion::from(&metadata))
    };
    files(settings).map(version).collect()
}

fn is_special(metadata: &Metadata) -> bool {
    !metadata.is_file() && !metadata.is_dir()
}

fn load(
    settings: &TlsSettings,
    identity: Option<&Identity>,
    (provider, tickets): (&Arc<CryptoProvider>, &Arc<dyn ProducesTickets>),
    now: Now,
) -> Result<([Arc<ServerConfig>; 2], Duration), TlsError> {
    let mut certificates = Certificates::read(&settings.pairs, provider, now.wall)?;
    if let Some(identity) = identity {
        certificates.add(identity.certified());
    }
    let cost = TLS_HANDSHAKE_COST + certificates.signature_time();
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(format!("cannot set up TLS: {error}")))?;
    let builder = match &settings.client_ca {
        Some(path) => {
            let authorities = Arc::new(read_authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities, Arc::clone(provider));
            builder.with_client_cert_verifier(
                verifier.build().map_err(|error| TlsError(format!("{}: {error}", path.display())))?,
            )
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificates));
    config.ticketer = Arc::clone(tickets);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    let unnamed = config.clone();
    // A client that speaks only HTTP/1.0 (curl -0) says so, and fails if no name is accepted.
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    Ok(([Arc::new(config), Arc::new(unnamed)], cost))
}
