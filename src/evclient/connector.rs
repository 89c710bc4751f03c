//! How the server is reached: its address, and TLS.

use std::io::{Write, stderr};

use evserve::transport::tls::{TlsClient, Trust};

use super::address::Address;
use super::failure::Failure;
use super::stream::Stream;

/// Connects to a server, once or again.
#[derive(Debug)]
pub(crate) struct Connector {
    address: Address,
    tls: Option<TlsClient>,
}

impl Connector {
    /// Reads the certificates of the servers that are trusted. Without `trust`, connections are plain.
    pub(crate) fn new(address: &Address, trust: Option<&Trust>) -> Result<Connector, Failure> {
        let tls = trust.map(TlsClient::new).transpose();
        let tls = tls.map_err(|error| Failure::Local(error.to_string()))?;
        if trust == Some(&Trust::Any) {
            let _ = writeln!(stderr(), "{INSECURE}");
        }
        Ok(Connector { address: address.clone(), tls })
    }

    pub(crate) fn connect(&self) -> Result<Stream, Failure> {
        self.address.connect(self.tls.as_ref())
    }
}

/// The warning of `--insecure`.
const INSECURE: &str = "evclient: warning: with --insecure the connection is encrypted, but anybody could be at its \
                        other end";
