//! How many datagrams of a peer are answered: so many a second, that nobody can be flooded through
//! us under a forged address.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::limits::RATED_PEERS_MAX;

/// The peers of the last second.
#[derive(Debug)]
pub struct Rates {
    /// Answers that a peer gets in a second; 0 is no limit.
    per_second: u32,
    /// In the order in which their seconds began, the latest first.
    peers: LruCache<IpAddr, Share>,
}

/// What a peer has had.
#[derive(Debug)]
struct Share {
    /// When its current second began: with a datagram.
    since: Instant,
    /// Answers in that second.
    answers: u32,
    /// Datagrams that were admitted since it is remembered.
    count: u64,
}

const SECOND: Duration = Duration::from_secs(1);

impl Rates {
    /// For so many answers a second; 0 is no limit.
    pub fn new(per_second: u32) -> Rates {
        // It would allocate its bound at once.
        Rates { per_second, peers: LruCache::unbounded() }
    }

    /// Whether a datagram of `peer` may be answered, and the how many-th it is. A peer that is not
    /// known takes the place of the one whose second began first, but not before that is over: or a
    /// flood of forged addresses would give everyone a new second.
    pub fn admit(&mut self, peer: IpAddr, now: Instant) -> Option<u64> {
        let is_over = |share: &Share| now.saturating_duration_since(share.since) >= SECOND;
        let fresh = Share { since: now, answers: 0, count: 0 };
        let share = match self.peers.peek_mut(&peer) {
            Some(share) if !is_over(share) => share,
            Some(_) => {
                let share = self.peers.get_mut(&peer)?;
                *share = Share { count: share.count, ..fresh };
                share
            }
            None => {
                if self.peers.len() >= RATED_PEERS_MAX {
                    self.peers.peek_lru().filter(|(_, share)| is_over(share))?;
                    self.peers.pop_lru();
                }
                self.peers.get_or_insert_mut(peer, || fresh)
            }
        };
        if self.per_second != 0 && share.answers >= self.per_second {
            return None;
        }
        share.answers += 1;
        share.count += 1;
        Some(share.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> IpAddr {
        IpAddr::V4(u32::try_from(number).expect("a number").into())
    }

    #[test]
    fn so_many_in_every_second() {
        let (mut rates, start) = (Rates::new(200), Instant::now());
        for second in 0..3 {
            let now = start + SECOND * second;
            let admitted =
                (0..1000).filter(|step| rates.admit(peer(1), now + Duration::from_micros(*step)).is_some());
            assert_eq!(admitted.count(), 200);
        }
        assert_eq!(rates.admit(peer(1), start + SECOND * 3), Some(601));
        let mut unlimited = Rates::new(0);
        assert!((1..10_000).all(|count| unlimited.admit(peer(1), start) == Some(count)));
    }

    #[test]
    fn forged_addresses_give_nobody_a_new_second() {
        let (mut rates, start) = (Rates::new(1), Instant::now());
        assert_eq!(rates.admit(peer(0), start), Some(1));
        let known = (1..100_000).filter(|number| rates.admit(peer(*number), start).is_some());
        assert_eq!(known.count(), RATED_PEERS_MAX - 1);
        assert_eq!(rates.admit(peer(0), start + SECOND / 2), None);
        assert_eq!(rates.admit(peer(200_000), start + SECOND), Some(1));
        assert_eq!(rates.peers.len(), RATED_PEERS_MAX);
    }
}
