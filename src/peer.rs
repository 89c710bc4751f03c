//! The peer of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The address of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A host and its port.
    Inet(SocketAddr),
    /// A process on this machine, connected through a unix socket.
    Unix,
}

impl Peer {
    /// Returns the address by which the connections of a client are counted; unix sockets have none. An IPv4
    /// client has the same address on a dual-stack listener as on an IPv4 listener.
    pub fn client(self) -> Option<IpAddr> {
        match self {
            Peer::Inet(address) => Some(address.ip().to_canonical()),
            Peer::Unix => None,
        }
    }

    /// Returns the [host](host_of) of the peer; unix sockets have none.
    pub fn host(self) -> Option<IpAddr> {
        match self {
            Peer::Inet(address) => Some(host_of(address.ip())),
            Peer::Unix => None,
        }
    }
}

/// Returns the address that stands for a host: an IPv4 address, or the /64 network of an IPv6 address,
/// because one host may have all addresses of it.
pub fn host_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// Writes an IPv4 peer of a dual-stack listener with its IPv4 address.
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
    fn display_unmaps_ipv4_addresses_and_keeps_ipv6_ones() {
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
