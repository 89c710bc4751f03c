//! TLS 1.3 and 1.2 (RFC 8446, RFC 5246) as a transport around another one. Only this folder names rustls.

#[cfg(feature = "tls")]
mod acceptor;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(not(feature = "tls"))]
mod none;
#[cfg(feature = "tls")]
mod records;
#[cfg(feature = "tls")]
mod self_signed;
mod settings;
#[cfg(feature = "tls")]
mod stream;

#[cfg(feature = "tls")]
pub use acceptor::{TlsAcceptor, TlsServer};
#[cfg(not(feature = "tls"))]
pub use none::{Identity, TlsAcceptor, TlsServer};
#[cfg(feature = "tls")]
pub use self_signed::Identity;
pub use settings::{Alpn, TlsError, TlsSettings};
#[cfg(feature = "tls")]
pub use stream::TlsStream;
