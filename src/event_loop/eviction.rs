//! Finds the connection that is closed in favor of a new one.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use slab::Slab;

use super::connection::Standing;
use super::event::Token;
use super::network::Network;
use super::source::Source;
use crate::clock::Instant;
use crate::limits::{ACCEPT_RETRY, EVICTION_SCAN_COST, EVICTION_SCAN_PAUSE};

/// The position of a candidate in the order of eviction: its rank, the crowd, its standing, its age. The
/// crowd is the number of connections of its rank and address that are not older, where addresses compete.
type Order = (u8, Reverse<usize>, Standing, usize);

/// The first connections in the order of eviction, as of the last scan of all sources. A scan serves many
/// searches: a candidate that waits since the scan is still among the first.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    candidates: VecDeque<(Standing, Token)>,
    /// Whether the last scan found a connection.
    found: bool,
    /// The time from which on sources may be scanned again.
    next_scan: Option<Instant>,
}

/// The outcome of a search that found no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoVictim {
    /// When to search again.
    pub retry: Instant,
    /// Whether there was none at the last scan. Otherwise its candidates are used up, and the next scan may
    /// find others.
    pub all_busy: bool,
}

/// The minimum number of candidates that a scan collects.
const CANDIDATES_MIN: usize = 64;

/// A scan collects one of this number of connections. With [`EVICTION_SCAN_COST`] it limits evictions to
/// 25,000 a second.
const SOURCES_PER_CANDIDATE: usize = 16;

impl Eviction {
    /// Returns the key of the connection to evict next.
    pub(super) fn find<N: Network>(
        &mut self,
        sources: &Slab<Source<N>>,
        now: Instant,
    ) -> Result<usize, NoVictim> {
        if self.next_scan.is_none_or(|at| at <= now) {
            self.scan(sources, now);
        }
        let retry = self.next_scan.unwrap_or(now);
        self.next(sources).ok_or(NoVictim { retry, all_busy: !self.found })
    }

    /// Returns the first candidate that has the same standing as at the scan, and drops those before it.
    fn next<N: Network>(&mut self, sources: &Slab<Source<N>>) -> Option<usize> {
        while let Some((standing, token)) = self.candidates.front() {
            let source = sources.get(token.key()).filter(|source| source.token == *token);
            if source.is_some_and(|source| source.standing() == Some(*standing)) {
                return Some(token.key());
            }
            self.candidates.pop_front();
        }
        None
    }

    /// Collects candidates. The pause until the next scan bounds the time that all scans take, however many
    /// connections are accepted.
    fn scan<N: Network>(&mut self, sources: &Slab<Source<N>>, now: Instant) {
        let found = sources.iter().filter(|(_, source)| !source.is_admin()).filter_map(|(_, source)| {
            let standing = source.standing()?;
            Some((standing, source.host().filter(|_| standing.is_by_address()), source.token))
        });
        let mut order = in_order(found.collect());
        let count = order.len().min(CANDIDATES_MIN.max(sources.len() / SOURCES_PER_CANDIDATE));
        if count < order.len() {
            order.select_nth_unstable_by_key(count, |(order, _)| *order);
            order.truncate(count);
        }
        order.sort_unstable_by_key(|(order, _)| *order);
        self.candidates = order.into_iter().map(|((_, _, standing, _), token)| (standing, token)).collect();
        self.found = !self.candidates.is_empty();
        let pause = EVICTION_SCAN_COST.saturating_mul(u32::try_from(sources.len()).unwrap_or(u32::MAX));
        self.next_scan = Some(now + Duration::clamp(pause, EVICTION_SCAN_PAUSE, ACCEPT_RETRY));
    }
}

/// Adds the order of eviction to connections. Of each address that competes, the oldest connection is placed
/// by the number of all, the next one by the number that is left, and so on, as if they were evicted one by
/// one.
fn in_order(mut found: Vec<(Standing, Option<IpAddr>, Token)>) -> Vec<(Order, Token)> {
    found.sort_unstable_by_key(|(standing, host, token)| {
        (standing.rank(), *host, *standing, token.generation())
    });
    let groups = found
        .chunk_by(|(one, host, _), (other, other_host, _)| one.rank() == other.rank() && host == other_host);
    let placed = groups.flat_map(|group| {
        group.iter().enumerate().map(|(index, (standing, _, token))| {
            let crowd = if standing.is_by_address() { group.len() - index } else { 0 };
            ((standing.rank(), Reverse(crowd), *standing, token.generation()), *token)
        })
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_by_standing_then_by_the_crowd_of_the_address_then_by_age() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let host = |last| Some(IpAddr::from([10, 0, 0, last]));
        let found = [
            (Standing::Session(at(0)), host(1)),
            (Standing::Incomplete, host(1)),
            (Standing::Incomplete, host(2)),
            (Standing::Incomplete, None),
            (Standing::Incomplete, host(2)),
            (Standing::Idle(at(2)), None),
            (Standing::Incomplete, None),
            (Standing::Incomplete, host(2)),
            (Standing::Idle(at(1)), None),
            (Standing::Lingering(at(9)), None),
            (Standing::Session(at(5)), host(2)),
            (Standing::Session(at(4)), host(2)),
        ];
        let found = found.into_iter().enumerate();
        let mut order =
            in_order(found.map(|(key, (standing, host))| (standing, host, Token::new(key, key))).collect());
        order.sort_unstable_by_key(|(order, _)| *order);
        let keys: Vec<usize> = order.iter().map(|(_, token)| token.key()).collect();
        assert_eq!(keys, [9, 8, 5, 2, 3, 4, 1, 6, 7, 11, 0, 10]);
    }
}
