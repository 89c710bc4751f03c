//! Who is at the other end of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A host and its port.
    Inet(SocketAddr),
    /// A process of this machine.
    Unix,
}

impl Peer {
    /// By which connections of one client are counted. A client that comes over IPv4 through a
    /// dual-stack listener is the same as one that comes over IPv4.
    pub fn client(self) -> Option<IpAddr> {
        match self {
            Peer::Inet(address) => Some(address.ip().to_canonical()),
            Peer::Unix => None,
        }
    }
}

/// Over IPv4, an IPv4 address, through a dual-stack listener, too.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Inet(address) => match address.ip().to_canonical() {
                IpAddr::V4(v4) => SocketAddr::from((v4, address.port())).fmt(f),
                IpAddr::V6(_) => address.fmt(f),
            },
            Peer::Unix => f.write_str("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_peer_is_written() {
        for (address, expected) in [
            ("10.0.0.1:5", "10.0.0.1:5"),
            ("[::ffff:10.0.0.1]:5", "10.0.0.1:5"),
            ("[2001:db8::1]:5", "[2001:db8::1]:5"),
            ("[fe80::1%2]:5", "[fe80::1%2]:5"),
        ] {
            let peer = Peer::Inet(address.parse().expect("an address"));
            assert_eq!(peer.to_string(), expected);
        }
    }
}
