//! The states of a connection, which only `mod.rs` assigns.

use std::num::NonZeroU32;
use std::time::Duration;

use super::access::LoggedRequest;
use super::discard::DiscardedBody;
use super::exchange::{FailedRequest, PendingResponse};
use super::head::OwnedHead;
use super::upload::UploadInProgress;
use crate::clock::Instant;
use crate::protocol::http::semantics::{Headers, Method};
use crate::services::Core;

/// What the connection is waiting for.
#[derive(Debug)]
pub(super) enum State {
    /// The start of a request.
    Idle(Waiting),
    /// The rest of a head.
    Head(PartialHead),
    /// The rest of a body that no handler uses.
    Discarding(Box<DiscardedBody>),
    /// The rest of a body that is being stored.
    Receiving(Box<UploadInProgress>),
    /// The connection's next turn, to continue a response.
    Responding(Box<PendingResponse>),
    /// The connection's next turn, to find out whether the file of an upload without a body is already stored.
    Comparing(Box<OwnedHead>),
    /// The connection's next turn, to hash the stored part of an upload before the body is appended to it.
    Verifying(Box<UploadInProgress>),
}

/// How long an idle connection may wait for a request to begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting {
    /// The head timeout, counted from the accept at this time.
    ForTheFirst(Instant),
    /// The idle timeout, counted from the last activity.
    ForTheNext,
}

pub(super) const IDLE: State = State::Idle(Waiting::ForTheNext);

/// What is known of a head before it is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartialHead {
    /// The time from which its timeout counts.
    pub since: Instant,
    /// How many milliseconds after `since` its first byte was received, plus one; `None` if only empty lines were
    /// received.
    begun: Option<NonZeroU32>,
    /// The number of bytes of empty lines before it.
    pub blank: u8,
    /// The number of its bytes that were already scanned.
    pub seen: u16,
    pub method: Option<Method>,
}

impl State {
    /// Returns what is known of the current head. The timeout of the first head of a connection counts from the
    /// accept, that of a later one from its first byte or empty line.
    pub(super) fn partial_head(&self, core: &Core) -> PartialHead {
        match self {
            State::Head(head) => *head,
            State::Idle(Waiting::ForTheFirst(since)) => PartialHead::new(*since),
            _ => PartialHead::new(core.clock.now.monotonic),
        }
    }

    /// Returns when the first byte of the current head was received.
    pub(super) fn request_begun(&self, core: &Core) -> Instant {
        if let State::Head(head) = self { head.begun(core) } else { core.clock.now.monotonic }
    }
}

impl PartialHead {
    /// Creates a head of which no byte was received.
    pub(super) fn new(since: Instant) -> PartialHead {
        PartialHead { since, begun: None, blank: 0, seen: 0, method: None }
    }

    /// Returns when its first byte was received: in this turn, if that was not noted before.
    fn begun(&self, core: &Core) -> Instant {
        let begun = self.begun.map(|after| self.since + Duration::from_millis(u64::from(after.get()) - 1));
        begun.unwrap_or(core.clock.now.monotonic)
    }

    /// Notes when its first byte was received, unless that was noted before.
    pub(super) fn begin(&mut self, now: Instant) {
        let after = u32::try_from((now - self.since).as_millis()).unwrap_or(u32::MAX);
        self.begun = self.begun.or(NonZeroU32::new(after.saturating_add(1)));
    }

    /// Returns the request, to refuse it.
    pub(super) fn failed_request(&self, core: &Core) -> FailedRequest<'static> {
        let logged = LoggedRequest { head: b"", begun: self.begun(core) };
        FailedRequest { logged, method: self.method, headers: Headers::NONE }
    }
}

/// Returns the length of the empty lines at the beginning of `input`.
pub(super) fn blank_lines(input: &[u8]) -> usize {
    let mut length = 0;
    while let [b'\n', ..] | [b'\r', b'\n', ..] = &input[length..] {
        length += if input[length] == b'\r' { 2 } else { 1 };
    }
    length
}
