//! The addresses of this machine under which other machines can open a listener on all interfaces.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::limits::REACHABLE_ADDRESSES_MAX;

/// Returns addresses that reach a listener on `listener`, if that is the unspecified address; else none. A listener
/// on `[::]` that is not `only_v6` is reached over IPv4, too.
pub(super) fn reachable(listener: SocketAddr, only_v6: bool) -> Vec<SocketAddr> {
    if !listener.ip().is_unspecified() {
        return Vec::new();
    }
    let families = Families { v4: listener.is_ipv4() || !only_v6, v6: listener.is_ipv6() };
    select(own_addresses(), families).into_iter().map(|ip| SocketAddr::new(ip, listener.port())).collect()
}

/// The address families that a listener accepts.
#[derive(Clone, Copy)]
struct Families {
    v4: bool,
    v6: bool,
}

/// Returns the addresses of the interfaces that are up. They are a courtesy: without them (a sandbox may forbid
/// netlink sockets) the list is empty.
pub(super) fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let addresses = interfaces
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        });
    addresses.collect()
}

/// Selects the addresses that other machines may use, IPv4 first, each once.
fn select(own: Vec<IpAddr>, families: Families) -> Vec<IpAddr> {
    let is_open = |address: &IpAddr| match address {
        IpAddr::V4(v4) => families.v4 && !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()),
        IpAddr::V6(v6) => families.v6 && is_global(*v6),
    };
    let mut open: Vec<IpAddr> = own.into_iter().filter(is_open).collect();
    open.sort_by_key(IpAddr::is_ipv6);
    let mut found: Vec<IpAddr> = Vec::new();
    for address in open {
        if found.len() < REACHABLE_ADDRESSES_MAX && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// Returns whether an address can be used without a zone, in this network or everywhere.
fn is_global(address: Ipv6Addr) -> bool {
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_unicast_link_local()
        || address.is_multicast()
        || address.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_scopes_and_families_are_left_out() {
        let own = || -> Vec<IpAddr> {
            ["127.0.0.1", "::1", "2001:db8::1", "fe80::1", "192.0.2.7", "169.254.1.1", "fd00::2", "192.0.2.7"]
                .map(|address| address.parse().expect("an address"))
                .to_vec()
        };
        let shown = |v4, v6| {
            select(own(), Families { v4, v6 }).iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(true, true), "192.0.2.7 2001:db8::1 fd00::2");
        assert_eq!(shown(true, false), "192.0.2.7");
        assert_eq!(shown(false, true), "2001:db8::1 fd00::2");
    }

    #[test]
    fn the_number_of_addresses_is_limited() {
        let many = (0..100).map(|index| IpAddr::from([10, 0, 0, index])).collect();
        assert_eq!(select(many, Families { v4: true, v6: true }).len(), REACHABLE_ADDRESSES_MAX);
    }

    #[test]
    fn only_listeners_on_all_interfaces_have_reachable_addresses() {
        for listener in ["127.0.0.1:80", "192.0.2.7:80", "[::1]:80"] {
            assert!(reachable(listener.parse().expect("an address"), true).is_empty());
        }
    }
}
