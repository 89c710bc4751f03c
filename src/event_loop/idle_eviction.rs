//! Which connection has been idle for longest, when one must make room for another.

use std::collections::VecDeque;
use std::time::Instant;

use slab::Slab;

use super::event::Token;
use super::network::Network;
use super::source::Source;
use crate::limits::ACCEPT_RETRY;

/// The connections that were idle for longest when all of them were last looked at, longest first.
/// Who was idle then and has not moved since is still among the longest, so that not every one that
/// comes takes a look at all.
#[derive(Debug, Default)]
pub(super) struct IdleEviction {
    candidates: VecDeque<(Token, Instant)>,
    /// The last look found nobody, and the next one waits until then.
    none_until: Option<Instant>,
}

/// How many are candidates from one look.
const CANDIDATES_MAX: usize = 64;

impl IdleEviction {
    /// The key of the connection that has been idle for longest at `now`.
    pub(super) fn find<N: Network>(&mut self, sources: &Slab<Source<N>>, now: Instant) -> Option<usize> {
        if self.next(sources).is_none() && self.none_until.is_none_or(|until| until <= now) {
            self.look(sources);
            self.none_until = self.candidates.is_empty().then_some(now + ACCEPT_RETRY);
        }
        self.next(sources)
    }

    /// The first that is candidates and has not moved since.
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
