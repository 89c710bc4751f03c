//! The peer of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The address of a peer. Every connection stores one, so it is smaller than a [`SocketAddr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An IPv4 address and a port.
    V4(Ipv4Addr, u16),
    /// An IPv6 address, a port, and the number of the interface of a link-local address.
    V6(Ipv6Addr, u16, u32),
    /// A process on this machine, connected through a unix socket.
    Unix,
}

impl Peer {
    /// Returns the address by which the connections of a client are counted; unix sockets have none. An IPv4
    /// client has the same address on a dual-stack listener as on an IPv4 listener.
    pub fn client(self) -> Option<IpAddr> {
        match self {
            Peer::V4(ip, _) => Some(ip.into()),
            Peer::V6(ip, ..) => Some(ip.to_canonical()),
            Peer::Unix => None,
        }
    }

    /// Returns the [host](host_of) of the peer; unix sockets have none.
    pub fn host(self) -> Option<IpAddr> {
        self.client().map(host_of)
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

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        match address {
            SocketAddr::V4(v4) => Peer::V4(*v4.ip(), v4.port()),
            SocketAddr::V6(v6) => Peer::V6(*v6.ip(), v6.port(), v6.scope_id()),
        }
    }
}

/// Writes an IPv4 peer of a dual-stack listener with its IPv4 address.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Peer::V4(ip, port) => SocketAddrV4::new(ip, port).fmt(f),
            Peer::V6(ip, port, scope) => match ip.to_ipv4_mapped() {
                Some(v4) => SocketAddrV4::new(v4, port).fmt(f),
                None => SocketAddrV6::new(ip, port, 0, scope).fmt(f),
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
            let peer = Peer::from(address.parse::<SocketAddr>().expect("an address"));
            assert_eq!(peer.to_string(), expected);
        }
    }
}
