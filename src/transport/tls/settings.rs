//! What a TLS server or client is told, and their errors.

use std::fmt;
use std::path::PathBuf;

/// Which certificates a server has, and whether its clients need one.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// The certificate chains and their keys, in PEM. The first is used for clients that ask for no name or an
    /// unknown one.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// The certificates, in PEM, of the authorities that sign those of clients. With it, clients need one.
    pub client_ca: Option<PathBuf>,
}

/// The application protocols that a listener offers (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1` and `http/1.0`.
    Http,
    /// None.
    Unnamed,
}

/// The servers that a client trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those with a certificate of an authority that the system trusts.
    System,
    /// Those with a certificate in this PEM file, or signed by one.
    File(PathBuf),
    /// All.
    Any,
}

/// A problem with a certificate, a key or a folder for them: one line that names the file and says what to do.
#[derive(Debug)]
pub struct TlsError(pub(super) String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}
