//! Sets up TLS: the certificates, and the acceptors of the listeners.

use std::net::IpAddr;
use std::rc::Rc;

use rustix::system::uname;

use super::StartError;
use super::reach::own_addresses;
use crate::clock::Now;
use crate::config::Config;
use crate::protocol::Kind;
use crate::transport::tls::{Alpn, Identity, TlsAcceptor, TlsError, TlsServer, TlsSettings};

/// Reads the certificates, or makes one, if there is a listener with TLS.
pub(super) fn server(config: &Config, now: Now) -> Result<Option<Rc<TlsServer>>, StartError> {
    let tls = &config.tls;
    if tls.redirect && tls.https.is_empty() {
        return Err(StartError(
            "--redirect-https needs a listener for HTTPS; give --https an address".into(),
        ));
    }
    if tls.https.is_empty() && tls.file_tls.is_empty() {
        return Ok(None);
    }
    let failed = |error: TlsError| StartError(error.to_string());
    let identity = match (tls.self_signed, &tls.state) {
        (false, _) => None,
        (true, Some(folder)) => Some(Identity::keep(folder, &own_names(), now).map_err(failed)?),
        (true, None) => Some(Identity::create(&own_names(), now).map_err(failed)?),
    };
    if let Some(identity) = &identity {
        log::info!("the self-signed certificate has the SHA-256 fingerprint {}", identity.fingerprint());
    }
    let settings = TlsSettings { pairs: tls.pairs.clone(), client_ca: tls.client_ca.clone() };
    Ok(Some(Rc::new(TlsServer::new(settings, identity, now).map_err(failed)?)))
}

/// Returns the acceptor for listeners of `kind`.
pub(super) fn acceptor(server: &Rc<TlsServer>, kind: Kind) -> Rc<TlsAcceptor> {
    let alpn = if kind == Kind::Http { Alpn::Http } else { Alpn::Unnamed };
    TlsAcceptor::new(server, alpn, kind.plain_reply())
}

/// Returns the names and addresses under which clients may reach this machine.
fn own_names() -> Vec<String> {
    let host = uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned()];
    // A certificate takes only names that DNS could have.
    if host != "localhost" && !host.is_empty() && host.bytes().all(is_of_host) {
        names.push(host);
    }
    // Link-local addresses are of no use without a zone, which a certificate cannot have.
    let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    names.extend(own_addresses().iter().filter(|address| !is_link_local(address)).map(IpAddr::to_string));
    names.dedup();
    names
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}
