//! The query of `/loop.json`: which connections it lists, and in which order.

use std::cmp::Reverse;

use crate::observe::{Activity, Census, ConnectionStatus};
use crate::protocol::http::semantics::{HttpError, target};

/// The connections that are asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    protocol: Option<&'static str>,
    activity: Option<Activity>,
    /// A part of the peer's address.
    peer: Option<String>,
    id: Option<usize>,
    slot: Option<usize>,
    sort: Option<SortKey>,
    is_ascending: bool,
    limit: Option<usize>,
}

/// What the connections are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SortKey {
    Id,
    Age,
    Inactive,
    In,
    Out,
    Queued,
    Requests,
    Deadline,
}

impl Query {
    /// Parses a query for the connections of `census`.
    pub(super) fn parse(query: Option<&[u8]>, census: &Census) -> Result<Query, HttpError> {
        let mut parsed = Query::default();
        let pairs = query.unwrap_or_default().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        for pair in pairs {
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            let value = target::decode(value)?;
            let value = std::str::from_utf8(&value).map_err(|_| BAD_VALUE)?;
            parsed.set(name, value, census).ok_or(BAD_VALUE)?;
        }
        Ok(parsed)
    }

    fn set(&mut self, name: &[u8], value: &str, census: &Census) -> Option<()> {
        match name {
            b"protocol" => self.protocol = Some(census.open.iter().find(|(name, _)| *name == value)?.0),
            b"phase" => {
                let found = Activity::ALL.into_iter().find(|activity| activity.name().0 == value)?;
                self.activity = Some(found);
            }
            b"peer" => self.peer = Some(value.to_owned()).filter(|peer| !peer.is_empty()),
            b"id" => self.id = Some(value.parse().ok()?),
            b"slot" => self.slot = Some(value.parse().ok()?),
            b"limit" => self.limit = Some(value.parse().ok()?),
            b"sort" => self.sort = Some(SortKey::parse(value)?),
            b"order" => match value {
                "asc" => self.is_ascending = true,
                "desc" => self.is_ascending = false,
                _ => return None,
            },
            _ => return None,
        }
        Some(())
    }

    /// Returns the indices of the connections, in order, and the number of those that match.
    pub(super) fn select(&self, census: &Census) -> (Vec<u32>, usize) {
        let connections = &census.connections;
        let mut found: Vec<u32> =
            (0..).zip(connections).filter(|(_, one)| self.matches(one)).map(|(index, _)| index).collect();
        let matched = found.len();
        let limit = self.limit.unwrap_or(matched).min(matched);
        if let Some(key) = self.sort {
            let order = |index: &u32| {
                let value = key.of(&connections[*index as usize], census);
                // The sign of the order, with the index as the tie-break.
                (if self.is_ascending { (value, Reverse(0)) } else { (0, Reverse(value)) }, *index)
            };
            if limit < matched && limit > 0 {
                found.select_nth_unstable_by_key(limit - 1, order);
                found.truncate(limit);
            }
            found.sort_unstable_by_key(order);
        }
        found.truncate(limit);
        (found, matched)
    }

    fn matches(&self, one: &ConnectionStatus) -> bool {
        self.protocol.is_none_or(|protocol| one.protocol == protocol)
            && self.activity.is_none_or(|activity| one.activity == activity)
            && self.id.is_none_or(|id| one.id == id)
            && self.slot.is_none_or(|slot| one.slot == slot)
            && self.peer.as_ref().is_none_or(|peer| one.peer.to_string().contains(peer))
    }
}

const BAD_VALUE: HttpError = HttpError::bad_request(
    "The query may have protocol, phase, peer, id, slot, sort (id, age, inactive, in, out, queued, requests, deadline), \
     order (asc, desc) and limit",
);

impl SortKey {
    fn parse(name: &str) -> Option<SortKey> {
        Some(match name {
            "id" => SortKey::Id,
            "age" => SortKey::Age,
            "inactive" => SortKey::Inactive,
            "in" => SortKey::In,
            "out" => SortKey::Out,
            "queued" => SortKey::Queued,
            "requests" => SortKey::Requests,
            "deadline" => SortKey::Deadline,
            _ => return None,
        })
    }

    fn of(self, one: &ConnectionStatus, census: &Census) -> u64 {
        let now = census.now.monotonic;
        match self {
            SortKey::Id => one.id as u64,
            SortKey::Age => (now - one.accepted).as_nanos() as u64,
            SortKey::Inactive => (now - one.last_activity).as_nanos() as u64,
            SortKey::In => one.received,
            SortKey::Out => one.sent,
            SortKey::Queued => one.queued,
            SortKey::Requests => one.requests.into(),
            SortKey::Deadline => (one.deadline - now).as_nanos() as u64,
        }
    }
}
