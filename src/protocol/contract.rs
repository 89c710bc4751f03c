//! What the loop asks of a protocol: bytes in, bytes out. A protocol knows no socket, no poll and no clock
//! but the one that is lent to it, so it can be driven byte by byte under a virtual time.

use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::outbox::Outbox;
use crate::services::{Context, Core};

/// One connection's side of a conversation.
pub trait Protocol {
    /// Takes a prefix of `input`, which is not empty. After [`Step::NeedInput`] it is called again
    /// with the same bytes and more. It is called only while the outbox has room and
    /// nothing is being produced.
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step;

    /// The peer has ended its output; `rest` is what `on_input` wanted more behind. `None` if an
    /// answer is under way: it is called again, without a rest, when that is done.
    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason>;

    /// The deadline has passed. `None` if the conversation goes on, with a later deadline.
    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason>;

    /// What it waits for.
    fn demand(&self) -> Demand {
        Demand::Input(0)
    }

    /// Goes on with that answer. Returns why the conversation ends behind it, if it does.
    fn resume(&mut self, _out: &mut Outbox, _cx: &mut Context<'_>) -> Option<CloseReason> {
        None
    }

    /// When the protocol's patience with its peer ends. `quiet_since` is when bytes last moved on
    /// the connection, in either direction; `None` while output is queued, when only what does not
    /// depend on that has a deadline.
    fn deadline(&self, quiet_since: Option<Instant>, core: &Core) -> Option<Instant>;

    /// Whether the connection has served and waits for what is next, so that it may be closed to
    /// make room for another.
    fn is_evictable(&self) -> bool;
}

/// What a protocol waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Input, of which so many bytes are sure to come and would be taken at once, as of a body. One recv
    /// asks for so many more than may be kept unread.
    Input(usize),
    /// Its next turn: a response is under way that takes more than one. It takes no input, and is resumed
    /// once a turn while the outbox has room.
    Turn,
}

/// What a protocol did with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It took so many bytes, at least one.
    Consumed(usize),
    /// It took so many bytes, at least one, and has a response under way that takes more than a turn: it
    /// takes no input until it was [resumed](Protocol::resume) to its end.
    Pending(usize),
    /// It needs more than these bytes to go on.
    NeedInput,
    /// It took so many bytes and is done: send what is queued, then close.
    Finish(usize, CloseReason),
}

impl Step {
    /// So many bytes were taken, and behind the answer the conversation ends, if it does.
    pub fn after(consumed: usize, close: Option<CloseReason>) -> Step {
        match close {
            Some(reason) => Step::Finish(consumed, reason),
            None => Step::Consumed(consumed),
        }
    }

    /// The same of a protocol that waits for this now.
    pub fn with_demand(self, demand: Demand) -> Step {
        match (self, demand) {
            (Step::Consumed(consumed), Demand::Turn) => Step::Pending(consumed),
            (step, _) => step,
        }
    }
}
