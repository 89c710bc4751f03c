//! The build without the feature `tls`: constructors fail, and no value of these types exists.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::path::Path;
use std::rc::Rc;

use super::settings::{Alpn, TlsError, TlsSettings, Trust};
use crate::clock::Now;

/// A self-signed certificate and its key.
#[derive(Clone, Debug)]
pub enum Identity {}

/// The certificates and keys of a server.
pub enum TlsServer {}

/// Turns the connections of a listener into TLS connections.
pub enum TlsAcceptor {}

/// Which servers a client trusts.
#[derive(Debug)]
pub enum TlsClient {}

/// A TLS connection to a server, over `T`.
#[derive(Debug)]
pub enum TlsClientStream<T> {
    /// Does not exist.
    Never(Infallible, T),
}

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

impl TlsClient {
    /// Fails.
    pub fn new(_trust: &Trust) -> Result<TlsClient, TlsError> {
        Err(TlsError("this evclient was built without TLS; build it with the feature tls".into()))
    }

    /// Is never called.
    pub fn connect<T: Read + Write>(&self, _server: &str, _inner: T) -> io::Result<TlsClientStream<T>> {
        match *self {}
    }
}

impl<T> TlsClientStream<T> {
    /// Is never called.
    pub fn inner(&self) -> &T {
        let TlsClientStream::Never(never, _) = self;
        match *never {}
    }

    /// Is never called.
    pub fn end(&mut self) {
        let TlsClientStream::Never(never, _) = self;
        match *never {}
    }
}

impl<T> Read for TlsClientStream<T> {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        let TlsClientStream::Never(never, _) = self;
        match *never {}
    }
}

impl<T> Write for TlsClientStream<T> {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        let TlsClientStream::Never(never, _) = self;
        match *never {}
    }

    fn flush(&mut self) -> io::Result<()> {
        let TlsClientStream::Never(never, _) = self;
        match *never {}
    }
}

fn missing() -> TlsError {
    TlsError("this evserve was built without TLS; build it with the feature tls".into())
}
