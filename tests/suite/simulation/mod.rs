//! The event loop without sockets: a simulated network and a virtual clock. To add a file, declare it here.

mod accepting;
mod access_log;
mod datagrams;
mod eviction;
mod hot_path;
mod network;
pub mod peers;
mod properties;
mod site;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_abuse;
#[cfg(feature = "tls")]
mod tls_handshakes;
pub mod tls_peer;
pub mod tls_scripts;
mod turns;
pub mod world;
