//! Counts the connections of each client.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::peer::Peer;

/// The number of connections per client address, counted only if there is a limit. Each entry has at least
/// one connection, so `max_connections` bounds the map.
#[derive(Debug)]
pub(super) struct Peers {
    limit: usize,
    counts: HashMap<IpAddr, usize>,
}

impl Peers {
    /// Allows `limit` connections per client; 0 means no limit.
    pub(super) fn new(limit: usize) -> Peers {
        Peers { limit, counts: HashMap::new() }
    }

    /// Counts a connection of `peer`. Returns false if its client is already at the limit.
    #[must_use]
    pub(super) fn try_add(&mut self, peer: Peer) -> bool {
        let Some(client) = peer.client().filter(|_| self.limit > 0) else { return true };
        let count = self.counts.entry(client).or_default();
        if *count >= self.limit {
            return false;
        }
        *count += 1;
        true
    }

    /// Stops counting a connection of `peer`, which has closed.
    pub(super) fn remove(&mut self, peer: Peer) {
        let Some(client) = peer.client().filter(|_| self.limit > 0) else { return };
        if let Some(count) = self.counts.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_over_the_client_limit_are_refused_until_one_closes() {
        let peer = |address: &str| Peer::from(address.parse::<std::net::SocketAddr>().expect("an address"));
        let mut peers = Peers::new(2);
        assert!(peers.try_add(peer("10.0.0.1:1")) && peers.try_add(peer("[::ffff:10.0.0.1]:2")));
        assert!(!peers.try_add(peer("10.0.0.1:3")));
        assert!(peers.try_add(peer("10.0.0.2:3")) && peers.try_add(Peer::Unix));
        peers.remove(peer("10.0.0.1:1"));
        assert!(peers.try_add(peer("10.0.0.1:3")));
        for address in ["10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:3"] {
            peers.remove(peer(address));
        }
        assert!(peers.counts.is_empty());
    }
}
