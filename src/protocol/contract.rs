//! The interface between the event loop and a protocol: bytes in, bytes out. A protocol has no access to the
//! socket or the poll, and reads time only from the clock it is given, so tests can drive it byte by byte
//! under virtual time.

use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::observe::ProtocolStatus;
use crate::outbox::Outbox;
use crate::services::{Context, Core};

/// The server's side of one connection.
pub trait Protocol {
    /// Consumes a prefix of `input`, which is not empty. After [`Step::NeedInput`] the loop calls `on_input`
    /// again with the same bytes followed by new ones. The loop calls it only while the outbox has room and
    /// no response is in progress.
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step;

    /// Handles EOF from the peer. `rest` holds the bytes for which `on_input` last returned
    /// [`Step::NeedInput`]; it may be empty. Returns why the connection closes, or `None` if a response is
    /// still in progress: the loop calls `on_eof` again, with an empty `rest`, once the response is complete.
    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason>;

    /// Handles an expired [`deadline`](Protocol::deadline). Returns why the connection closes, or `None` if
    /// it stays open with a later deadline.
    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason>;

    /// Returns what the protocol is waiting for.
    fn demand(&self) -> Demand {
        Demand::Input(0)
    }

    /// Produces the next slice of the response in progress. Returns why the connection closes after the
    /// queued output, if it does.
    fn resume(&mut self, _out: &mut Outbox, _cx: &mut Context<'_>) -> Option<CloseReason> {
        None
    }

    /// Returns the time at which [`on_deadline`](Protocol::on_deadline) is due. `quiet_since` is when bytes
    /// last moved on the connection, in either direction. It is `None` while output is queued: then only a
    /// deadline that does not depend on activity applies.
    fn deadline(&self, quiet_since: Option<Instant>, core: &Core) -> Option<Instant>;

    /// Returns what is lost if the connection is closed in favor of a new one while its outbox is empty.
    fn evictability(&self) -> Evictability;

    /// Describes the connection for the inspector, while no output is queued.
    fn status(&self) -> ProtocolStatus;
}

/// What is lost if a connection is closed in favor of a new one. The loop evicts idle connections first, then
/// incomplete ones, then sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evictability {
    /// Nothing: the connection is idle between two requests, and clients of the protocol connect again for
    /// the next one.
    Idle,
    /// Nothing that the server knows of: no complete request was received, or only part of the next one.
    Incomplete,
    /// A session: the connection is between two commands of a client that does not connect again for each,
    /// such as a person at a prompt.
    Session,
    /// A request that is being received or answered. The connection is not evicted.
    Never,
}

/// What a protocol is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Input. The number is how many bytes are sure to follow and would be consumed at once, such as the
    /// rest of a body. One recv may exceed the limit on unread input by that number.
    Input(usize),
    /// The next turn, to continue a response that takes more than one. The loop offers no input meanwhile,
    /// and calls [`Protocol::resume`] once a turn while the outbox has room.
    Turn,
    /// The [`deadline`](Protocol::deadline). The loop offers no input meanwhile.
    Deadline,
}

/// The outcome of offering input to a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The number of bytes consumed, at least one.
    Consumed(usize),
    /// The number of bytes consumed, at least one. They began a response that takes more than a turn: the
    /// protocol accepts no input until [`Protocol::resume`] has completed the response.
    Pending(usize),
    /// The input is incomplete: the protocol needs more bytes.
    NeedInput,
    /// The number of bytes consumed, and why the connection closes after the queued output.
    Finish(usize, CloseReason),
}

impl Step {
    /// Returns [`Step::Finish`] if there is a reason to close, and [`Step::Consumed`] otherwise.
    pub fn after(consumed: usize, close: Option<CloseReason>) -> Step {
        match close {
            Some(reason) => Step::Finish(consumed, reason),
            None => Step::Consumed(consumed),
        }
    }

    /// Turns [`Step::Consumed`] into [`Step::Pending`] if the protocol now waits for its next turn.
    pub fn with_demand(self, demand: Demand) -> Step {
        match (self, demand) {
            (Step::Consumed(consumed), Demand::Turn) => Step::Pending(consumed),
            (step, _) => step,
        }
    }
}
