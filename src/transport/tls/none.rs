//! The build without the feature `tls`: constructors fail, and no value of these types exists.

use std::path::Path;
use std::rc::Rc;

use super::settings::{Alpn, TlsError, TlsSettings};
use crate::clock::Now;

/// A self-signed certificate and its key.
#[derive(Clone, Debug)]
pub enum Identity {}

/// The certificates and keys of a server.
pub enum TlsServer {}

/// Turns the connections of a listener into TLS connections.
pub enum TlsAcceptor {}

impl Identity {
    /// Fails.
    pub fn create(_names: &[String], _now: Now) -> Result<Identity, TlsError> {
        Err(missing())
    }

    /// Fails.
    pub fn keep(_folder: &Path, _names: &[String], _now: Now) -> Result<Identity, TlsError> {
        Err(missing())
    }

    /// Is never called.
    pub fn fingerprint(&self) -> String {
        match *self {}
    }
}

impl TlsServer {
    /// Fails.
    pub fn new(
        _settings: TlsSettings,
        _identity: Option<Identity>,
        _now: Now,
    ) -> Result<TlsServer, TlsError> {
        Err(missing())
    }

    /// Is never called.
    pub fn reload(&self, _now: Now) {
        match *self {}
    }
}

impl TlsAcceptor {
    /// Is never called.
    pub fn new(server: &Rc<TlsServer>, _alpn: Alpn, _plain_reply: &'static [u8]) -> Rc<TlsAcceptor> {
        match **server {}
    }
}

fn missing() -> TlsError {
    TlsError("this evserve was built without TLS; build it with the feature tls".into())
}
