//! The TLS server that all connections share: certificates and their renewal, session tickets, protocol names.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};

use super::certificates::{Certificates, read_authorities};
use super::self_signed::Identity;
use super::settings::{Alpn, TlsError, TlsSettings};
use crate::clock::Now;
use crate::limits::{TLS_CERTIFICATE_CHECK, TLS_HANDSHAKE_COST, TURN_READ_BYTES};
use crate::store::FileVersion;

/// The certificates and keys of a server, which are read again when their files change.
pub struct TlsServer {
    settings: TlsSettings,
    /// A certificate made at start, used after those of the settings.
    identity: Option<Identity>,
    provider: Arc<CryptoProvider>,
    /// Encrypts session tickets with keys that rotate. A new certificate does not change them.
    tickets: Arc<dyn ProducesTickets>,
    loaded: RefCell<Loaded>,
    /// Where the records of all connections are received and the contents of files are read.
    scratch: RefCell<Vec<u8>>,
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
        let tickets = aws_lc_rs::Ticketer::new()
            .map_err(|error| TlsError(format!("cannot make keys for session tickets: {error}")))?;
        let versions = versions(&settings);
        let (configs, cost) = load(&settings, identity.as_ref(), (&provider, &tickets), now)?;
        let loaded = RefCell::new(Loaded { configs, cost, versions, next_check: None });
        let scratch = RefCell::new(vec![0; TURN_READ_BYTES]);
        Ok(TlsServer { settings, identity, provider, tickets, loaded, scratch })
    }

    /// Reads the certificates and keys again if their files have changed. If they are unusable, the server keeps the
    /// old ones, and logs why.
    pub fn reload(&self, now: Now) {
        let versions = versions(&self.settings);
        let mut loaded = self.loaded.borrow_mut();
        if versions == loaded.versions {
            return;
        }
        loaded.versions = versions;
        match load(&self.settings, self.identity.as_ref(), (&self.provider, &self.tickets), now) {
            Ok((configs, cost)) => {
                (loaded.configs, loaded.cost) = (configs, cost);
                log::info!("read the certificates again");
            }
            Err(error) => log::warn!("{error}; the old certificates stay in use"),
        }
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

    /// Returns the configuration for a new session, and the time that its handshake takes. The files of the
    /// certificates are checked when connections need them, so an idle server does not wake up.
    pub(super) fn config(&self, now: Now) -> (Arc<ServerConfig>, Duration) {
        self.server.check(now);
        let loaded = self.server.loaded.borrow();
        (Arc::clone(&loaded.configs[self.alpn as usize]), loaded.cost)
    }

    /// Returns the time that the answer to a ClientHello takes.
    pub(super) fn cost(&self) -> Duration {
        self.server.loaded.borrow().cost
    }

    pub(super) fn plain_reply(&self) -> &'static [u8] {
        self.plain_reply
    }

    pub(super) fn scratch(&self) -> RefMut<'_, Vec<u8>> {
        self.server.scratch.borrow_mut()
    }
}

/// Returns the versions of all files, `None` for one that is missing.
fn versions(settings: &TlsSettings) -> Vec<Option<FileVersion>> {
    let pairs = settings.pairs.iter().flat_map(|(certificate, key)| [certificate, key]);
    pairs
        .chain(&settings.client_ca)
        .map(|path| Some(FileVersion::from(&std::fs::metadata(path).ok()?)))
        .collect()
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
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(([Arc::new(config), Arc::new(unnamed)], cost))
}
