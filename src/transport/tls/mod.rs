//! TLS 1.3 and 1.2 (RFC 8446, RFC 5246) as a transport around another one. Only this folder names rustls.

#[cfg(feature = "tls")]
mod acceptor;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod hello;
#[cfg(not(feature = "tls"))]
mod none;
#[cfg(feature = "tls")]
mod self_signed;
#[cfg(feature = "tls")]
mod sending;
#[cfg(feature = "tls")]
mod session;
mod settings;
#[cfg(feature = "tls")]
mod stream;

#[cfg(feature = "tls")]
pub use acceptor::{TlsAcceptor, TlsServer};
#[cfg(feature = "tls")]
pub use client::{TlsClient, TlsClientStream};
#[cfg(not(feature = "tls"))]
pub use none::{Identity, TlsAcceptor, TlsClient, TlsClientStream, TlsServer};
#[cfg(feature = "tls")]
pub use self_signed::Identity;
pub use settings::{Alpn, TlsError, TlsSettings, Trust};
#[cfg(feature = "tls")]
pub use stream::TlsStream;
