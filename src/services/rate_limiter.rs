//! Limits the replies to datagrams, per peer and second, so that a sender with forged addresses cannot make
//! the server flood a victim.

use std::net::IpAddr;
use std::time::Duration;

use lru::LruCache;

use crate::clock::Instant;
use crate::limits::RATED_PEERS_MAX;
use crate::peer::host_of;

/// A limiter of the replies to datagrams, per peer and second.
#[derive(Debug)]
pub struct RateLimiter {
    /// The maximum number of replies to a peer in a second; 0 is no limit.
    per_second: u32,
    /// The time at which the first slot began.
    begun: Option<Instant>,
    /// The recent peers, the most recently active first.
    peers: LruCache<IpAddr, Bucket>,
}

/// The replies to one peer.
#[derive(Debug, Default)]
struct Bucket {
    /// The number of replies in each of the last slots. The index of a slot is its number modulo [`SLOTS`].
    answers: [u32; SLOTS],
    /// The number of the slot of the last datagram, up to which `answers` is valid.
    last: u64,
    /// The number of replies since the bucket was created.
    count: u64,
}

/// The length of a slot.
const SLOT: Duration = Duration::from_millis(100);

/// The number of slots that contain any second completely, wherever in a slot the second begins.
const SLOTS: usize = 11;

impl RateLimiter {
    /// Creates a limiter that permits `per_second` replies to each peer; 0 is no limit.
    pub fn new(per_second: u32) -> RateLimiter {
        // A bounded `LruCache` would allocate its full capacity at once.
        RateLimiter { per_second, begun: None, peers: LruCache::unbounded() }
    }

    /// Counts a reply to `peer` and returns its number, counted from 1. Returns `None` if the datagram must
    /// not be answered.
    ///
    /// If there are too many peers, a new peer evicts the least recently active one, but only if that one was
    /// inactive for a second. Otherwise a flood of forged addresses could evict a peer, which would then
    /// start again with an empty bucket.
    pub fn try_acquire(&mut self, peer: IpAddr, now: Instant) -> Option<u64> {
        let begun = *self.begun.get_or_insert(now);
        let slot = (now.saturating_duration_since(begun).as_millis() / SLOT.as_millis()) as u64;
        let peer = host_of(peer);
        if self.peers.len() >= RATED_PEERS_MAX && !self.peers.contains(&peer) {
            let (_, oldest) = self.peers.peek_lru()?;
            if self.per_second != 0 && slot < oldest.last + SLOTS as u64 {
                return None;
            }
            self.peers.pop_lru();
        }
        let bucket = self.peers.get_or_insert_mut(peer, Bucket::default);
        bucket.advance(slot);
        if self.per_second != 0 && bucket.answers.iter().sum::<u32>() >= self.per_second {
            return None;
        }
        bucket.answers[slot as usize % SLOTS] += 1;
        bucket.count += 1;
        Some(bucket.count)
    }
}

impl Bucket {
    /// Advances to `slot` and clears the slots that have passed since the last datagram.
    fn advance(&mut self, slot: u64) {
        for passed in (self.last + 1..=slot).take(SLOTS) {
            self.answers[passed as usize % SLOTS] = 0;
        }
        self.last = self.last.max(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> IpAddr {
        IpAddr::V4(u32::try_from(number).expect("a number").into())
    }

    #[test]
    fn replies_never_exceed_the_rate_in_any_second() {
        for seed in 0..20 {
            let (mut rates, start, mut random) =
                (RateLimiter::new(200), Instant::now(), fastrand::Rng::with_seed(seed));
            let (mut now, mut answered) = (start, Vec::new());
            while now < start + Duration::from_secs(5) {
                // Bursts and pauses.
                now += Duration::from_micros(if random.u8(..) == 0 { 300_000 } else { random.u64(..3000) });
                if rates.try_acquire(peer(1), now).is_some() {
                    answered.push(now);
                }
            }
            assert!(answered.len() >= 500, "{}", answered.len());
            for window in answered.windows(201) {
                assert!(window[200] - window[0] > Duration::from_secs(1), "seed {seed}");
            }
        }
    }

    #[test]
    fn peers_within_the_rate_are_always_answered() {
        let (mut rates, start) = (RateLimiter::new(200), Instant::now());
        let every = Duration::from_micros(5600);
        assert!(
            (1..2000)
                .all(|count| rates.try_acquire(peer(1), start + every * count) == Some(u64::from(count)))
        );
        let mut unlimited = RateLimiter::new(0);
        assert!((1..10_000).all(|count| unlimited.try_acquire(peer(1), start) == Some(count)));
        assert!((1..10_000).all(|number| unlimited.try_acquire(peer(number), start).is_some()));
    }

    #[test]
    fn floods_of_forged_addresses_evict_no_active_peer() {
        let (mut rates, start) = (RateLimiter::new(1), Instant::now());
        assert_eq!(rates.try_acquire(peer(0), start), Some(1));
        let known = (1..100_000).filter(|number| rates.try_acquire(peer(*number), start).is_some());
        assert_eq!(known.count(), RATED_PEERS_MAX - 1);
        let (soon, later) = (start + SLOT * 9, start + SLOT * 11);
        assert_eq!((rates.try_acquire(peer(0), soon), rates.try_acquire(peer(200_000), soon)), (None, None));
        assert_eq!(rates.try_acquire(peer(200_000), later), Some(1));
        assert_eq!(rates.peers.len(), RATED_PEERS_MAX);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_peer() {
        let (mut rates, now) = (RateLimiter::new(1), Instant::now());
        let mut acquire = |peer: &str| rates.try_acquire(peer.parse().expect("an address"), now).is_some();
        assert!(acquire("2001:db8::1") && !acquire("2001:db8::2") && acquire("2001:db8:0:1::1"));
        assert!(acquire("10.0.0.1") && !acquire("::ffff:10.0.0.1") && acquire("10.0.0.2"));
    }
}
