//! How many datagrams of a peer are answered: so many a second, that nobody can be flooded through
//! us under a forged address.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::limits::RATED_PEERS_MAX;

/// The peers that have asked lately.
#[derive(Debug)]
pub struct RateLimiter {
    /// Answers that a peer gets in a second; 0 is no limit.
    per_second: u32,
    /// When the first slot began.
    begun: Option<Instant>,
    /// Who has asked last comes first.
    peers: LruCache<IpAddr, Bucket>,
}

/// What a peer has had.
#[derive(Debug, Default)]
struct Bucket {
    /// Answers in each of the last slots; the number of a slot says where.
    answers: [u32; SLOTS],
    /// The slot of its last datagram, up to which `answers` is known.
    last: u64,
    /// All answers since it is remembered.
    count: u64,
}

/// A second is counted in tenths.
const SLOT: Duration = Duration::from_millis(100);

/// A second, wherever it begins, lies within so many of them.
const SLOTS: usize = 11;

impl RateLimiter {
    /// For so many answers a second; 0 is no limit.
    pub fn new(per_second: u32) -> RateLimiter {
        // With a bound of its own it would allocate all of it at once.
        RateLimiter { per_second, begun: None, peers: LruCache::unbounded() }
    }

    /// Whether a datagram of `peer` may be answered, and the how many-th answer that is. Who is not known
    /// takes the place of who has asked longest ago, but not within a second of an answer: or a flood of
    /// forged addresses would have everyone forgotten, and give them a new bucket.
    pub fn try_acquire(&mut self, peer: IpAddr, now: Instant) -> Option<u64> {
        let begun = *self.begun.get_or_insert(now);
        let slot = (now.saturating_duration_since(begun).as_millis() / SLOT.as_millis()) as u64;
        let peer = host(peer);
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
    /// Forgets what lies too far back.
    fn advance(&mut self, slot: u64) {
        for passed in (self.last + 1..=slot).take(SLOTS) {
            self.answers[passed as usize % SLOTS] = 0;
        }
        self.last = self.last.max(slot);
    }
}

/// What counts as one peer: an IPv4 address, or the /64 of an IPv6 one, of which a host may have all.
fn host(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> IpAddr {
        IpAddr::V4(u32::try_from(number).expect("a number").into())
    }

    #[test]
    fn so_many_in_any_second() {
        for seed in 0..20 {
            let (mut rates, start, mut random) =
                (RateLimiter::new(200), Instant::now(), fastrand::Rng::with_seed(seed));
            let (mut now, mut answered) = (start, Vec::new());
            while now < start + Duration::from_secs(5) {
                // Bursts, and times in which nothing comes.
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
    fn who_keeps_to_the_rate_is_always_answered() {
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
    fn forged_addresses_give_nobody_a_new_share() {
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
    fn a_network_of_one_host_is_one_peer() {
        let (mut rates, now) = (RateLimiter::new(1), Instant::now());
        let mut acquire = |peer: &str| rates.try_acquire(peer.parse().expect("an address"), now).is_some();
        assert!(acquire("2001:db8::1") && !acquire("2001:db8::2") && acquire("2001:db8:0:1::1"));
        assert!(acquire("10.0.0.1") && !acquire("::ffff:10.0.0.1") && acquire("10.0.0.2"));
    }
}
