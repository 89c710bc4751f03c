//! Answers what the inspector asks: takes a census of the slab, and closes connections.

use super::EventLoop;
use super::network::Network;
use super::source::{Source, SourceKind};
use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::observe::{Activity, Census, SlotMap, Timers};
use crate::protocol::PROTOCOLS;
use crate::services::Detail;

impl<N: Network> EventLoop<N> {
    /// Does at the end of a turn what the inspector has asked for.
    #[cold]
    pub(super) fn inspect(&mut self) {
        for id in self.services.core.inspector.take_closing() {
            let key = self.sources.iter().find(|(_, source)| {
                source.token.generation() == id && matches!(source.kind, SourceKind::Connection(..))
            });
            let key = key.map(|(key, _)| key);
            if let Some(key) = key {
                // It may be in the middle of a response, or be the connection that asks.
                if self.sources[key].queued.take().is_some() {
                    self.schedule.withdraw(key);
                }
                self.close(key, CloseReason::AdminClosed);
            }
            self.services.core.inspector.answer_close(id, key.is_some());
        }
        let now = self.services.core.clock.now;
        let detail = self.services.core.inspector.take_question(now.monotonic);
        if detail > Detail::Nothing {
            let census = self.census(detail);
            self.services.core.inspector.answer(census);
        }
    }

    fn census(&self, detail: Detail) -> Census {
        let core = &self.services.core;
        let mut census = Census {
            turn: core.recorder.turn.number,
            now: core.clock.now,
            open: PROTOCOLS.map(|(name, _)| (name, 0)).to_vec(),
            activities: [0; Activity::ALL.len()],
            timers: Timers::default(),
            slots: SlotMap::default(),
            statistics: self.services.statistics.clone(),
            services: self.services.counts(),
            has_connections: detail == Detail::Connections,
            connections: Vec::new(),
        };
        let mut next = 0;
        for (key, source) in &self.sources {
            census.slots.skip_to(key, &mut next);
            self.count(key, source, &mut census, core.clock.now.monotonic);
        }
        census
    }

    fn count(&self, key: usize, source: &Source<N>, census: &mut Census, now: Instant) {
        if let Some(deadline) = source.alarm.deadline() {
            census.timers.add(deadline, now);
        }
        let SourceKind::Connection(peer, connection) = &source.kind else {
            let letter = match source.kind {
                SourceKind::Listener(_) => 'l',
                SourceKind::Endpoint(_) => 'u',
                _ => '.',
            };
            return census.slots.push(letter, '.');
        };
        let (protocol, activity) = (connection.protocol_index(), connection.activity());
        census.open[protocol].1 += 1;
        census.activities[activity as usize] += 1;
        let letter = PROTOCOLS[protocol].1;
        let letter = if connection.is_encrypted() { letter.to_ascii_uppercase() } else { letter };
        census.slots.push(letter, activity.name().1);
        if census.has_connections {
            let (id, is_queued) = (source.token.generation(), source.queued.is_some());
            let status = connection.status((id, key), *peer, is_queued, &self.services.core);
            census.connections.push(status);
        }
    }
}
