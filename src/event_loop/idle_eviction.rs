//! Finds the least recently active idle connection, to be evicted for a new one.

use std::collections::VecDeque;
use std::time::Instant;

use slab::Slab;

use super::event::Token;
use super::network::Network;
use super::source::Source;
use crate::limits::ACCEPT_RETRY;

/// The least recently active idle connections as of the last scan of all sources, oldest first. A candidate
/// that has been idle since the scan is still among the oldest, so that most searches need no scan.
#[derive(Debug, Default)]
pub(super) struct IdleEviction {
    candidates: VecDeque<(Token, Instant)>,
    /// When to scan again, if the last scan found no idle connection.
    none_until: Option<Instant>,
}

/// The number of candidates that a scan collects.
const CANDIDATES_MAX: usize = 64;

impl IdleEviction {
    /// Returns the key of the least recently active idle connection.
    pub(super) fn find<N: Network>(&mut self, sources: &Slab<Source<N>>, now: Instant) -> Option<usize> {
        if self.next(sources).is_none() && self.none_until.is_none_or(|until| until <= now) {
            self.look(sources);
            self.none_until = self.candidates.is_empty().then_some(now + ACCEPT_RETRY);
        }
        self.next(sources)
    }

    /// Returns the first candidate that has been idle since the scan, and drops those before it.
    fn next<N: Network>(&mut self, sources: &Slab<Source<N>>) -> Option<usize> {
        while let Some((token, since)) = self.candidates.front() {
            let source =
                sources.get(token.key()).filter(|source| source.token == *token && source.queued.is_none());
            if source.is_some_and(|source| source.idle_since() == Some(*since)) {
                return Some(token.key());
            }
            self.candidates.pop_front();
        }
        None
    }

    fn look<N: Network>(&mut self, sources: &Slab<Source<N>>) {
        let idle = sources.iter().filter_map(|(_, source)| Some((source.idle_since()?, source.token)));
        let mut idle: Vec<(Instant, Token)> = idle.collect();
        let count = idle.len().min(CANDIDATES_MAX);
        if count < idle.len() {
            idle.select_nth_unstable_by_key(count, |(since, _)| *since);
            idle.truncate(count);
        }
        idle.sort_unstable_by_key(|(since, _)| *since);
        self.candidates = idle.into_iter().map(|(since, token)| (token, since)).collect();
    }
}
