//! Sessions: who has been here before, by an id that nobody else can know.

use std::fmt;
use std::time::{Instant, SystemTime};

use lru::LruCache;

use crate::clock::Now;
use crate::limits::{SESSION_IDLE, SESSIONS_MAX};

/// The sessions that there are.
#[derive(Debug)]
pub struct Sessions {
    /// The one that was visited last comes first.
    sessions: LruCache<SessionId, Session>,
}

/// The name of a session: 128 random bits, which are not to be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

/// What is remembered of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// How often it came, this time included.
    pub visits: u64,
    /// When it came first.
    pub first: SystemTime,
    /// When it came last.
    last: Instant,
}

impl Default for Sessions {
    fn default() -> Sessions {
        // With a bound of its own it would allocate all of it at once.
        Sessions { sessions: LruCache::unbounded() }
    }
}

impl Sessions {
    /// Counts a visit to a session, if there is one of this name and it has not expired.
    pub fn visit(&mut self, id: SessionId, now: Now) -> Option<Session> {
        self.expire(now);
        let session = self.sessions.get_mut(&id)?;
        session.visits += 1;
        session.last = now.monotonic;
        Some(*session)
    }

    /// Begins a session, for which the one that was left alone for longest makes room. Fails when the
    /// system has no random bits (getrandom(2)).
    pub fn begin(&mut self, now: Now) -> Result<(SessionId, Session), getrandom::Error> {
        let mut id = SessionId([0; 16]);
        getrandom::fill(&mut id.0)?;
        self.expire(now);
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.pop_lru();
        }
        let session = Session { visits: 1, first: now.wall, last: now.monotonic };
        self.sessions.put(id, session);
        Ok((id, session))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Forgets those that were left alone for too long.
    fn expire(&mut self, now: Now) {
        while let Some((_, session)) = self.sessions.peek_lru()
            && now.monotonic.saturating_duration_since(session.last) >= SESSION_IDLE
        {
            self.sessions.pop_lru();
        }
    }
}

impl SessionId {
    /// Reads a name as it is written: 32 digits, the letters among them small.
    pub fn parse(text: &[u8]) -> Option<SessionId> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 32)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let number = text.bytes().all(is_digit).then(|| u128::from_str_radix(text, 16).ok())??;
        Some(SessionId(number.to_be_bytes()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Whoever knows it is its visitor: it does not belong into a log.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::time::Duration;

    #[test]
    fn a_session_lasts_until_it_is_left_alone_for_too_long() {
        let (mut sessions, start) = (Sessions::default(), Now::read());
        let (id, _) = sessions.begin(start).expect("random bits");
        let almost = SESSION_IDLE - Duration::from_millis(1);
        let later = (1..4).fold(start, |now, visits| {
            let now = now + almost;
            let session = sessions.visit(id, now).expect("a session");
            assert_eq!((session.visits, session.first), (visits + 1, start.wall));
            now
        });
        assert_eq!(sessions.visit(id, later + SESSION_IDLE), None);
        assert!(sessions.is_empty());
    }

    #[test]
    fn there_are_so_many_and_the_one_left_alone_for_longest_goes() {
        let (mut sessions, now) = (Sessions::default(), Now::read());
        let ids: Vec<SessionId> =
            (0..SESSIONS_MAX).map(|_| sessions.begin(now).expect("random bits").0).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), SESSIONS_MAX);
        assert!(sessions.visit(ids[0], now).is_some());
        sessions.begin(now).expect("random bits");
        assert_eq!(sessions.len(), SESSIONS_MAX);
        assert!(sessions.visit(ids[0], now).is_some() && sessions.visit(ids[1], now).is_none());
    }

    #[test]
    fn a_name_is_32_digits() {
        let name = "00112233445566778899aabbccddeeff";
        assert_eq!(SessionId::parse(name.as_bytes()).map(|id| id.to_string()).as_deref(), Some(name));
        for bad in [
            "",
            "0",
            &name[1..],
            &format!("{name}0"),
            &name.to_uppercase(),
            &name.replace('f', "+"),
            "é".repeat(16).as_str(),
        ] {
            assert!(SessionId::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
