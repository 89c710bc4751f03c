//! Sessions: the visits of each client, under an id that no other client can guess.

use std::fmt;
use std::time::SystemTime;

use lru::LruCache;

use crate::clock::{Instant, Now};
use crate::limits::{SESSION_IDLE, SESSIONS_MAX};

/// The current sessions, at most [`SESSIONS_MAX`].
#[derive(Debug)]
pub struct Sessions {
    /// The sessions, the most recently visited first.
    sessions: LruCache<SessionId, Session>,
}

/// The id of a session: 128 random bits, so that it cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

/// The data of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The number of visits, including the current one.
    pub visits: u64,
    /// The time of the first visit.
    pub first: SystemTime,
    /// The time of the last visit.
    last: Instant,
}

impl Default for Sessions {
    fn default() -> Sessions {
        // A bounded `LruCache` would allocate its full capacity at once.
        Sessions { sessions: LruCache::unbounded() }
    }
}

impl Sessions {
    /// Counts a visit. Returns `None` if there is no session with this id, or it has expired.
    pub fn visit(&mut self, id: SessionId, now: Now) -> Option<Session> {
        self.expire(now);
        let session = self.sessions.get_mut(&id)?;
        session.visits += 1;
        session.last = now.monotonic;
        Some(*session)
    }

    /// Creates a session. If there are too many, the least recently visited one is evicted. Fails if the
    /// kernel returns no random bits (getrandom(2)).
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

    /// Returns the number of sessions.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Returns whether there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Removes the sessions that had no visit for [`SESSION_IDLE`].
    fn expire(&mut self, now: Now) {
        while let Some((_, session)) = self.sessions.peek_lru()
            && now.monotonic.saturating_duration_since(session.last) >= SESSION_IDLE
        {
            self.sessions.pop_lru();
        }
    }
}

impl SessionId {
    /// Parses an id: 32 lower-case hexadecimal digits.
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

/// Hides the id. Any client that knows the id can use the session, so it must not appear in a log.
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
    fn sessions_expire_after_the_idle_timeout() {
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
    fn a_new_session_evicts_the_least_recently_visited() {
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
    fn ids_are_32_lower_case_hex_digits() {
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
