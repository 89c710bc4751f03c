//! A connection: receives, lets the protocol process the input, and sends, within the budget of a turn.

mod failure;
mod handshake;
mod linger;
mod logging;
mod standing;

use std::io;
use std::time::Instant;

use super::event::Readiness;
use super::input::Input;
use super::output::{Flushed, Output};
use super::parking::Parking;
use crate::close_reason::CloseReason;
use crate::limits::{
    LINGER_IDLE_TIMEOUT, LINGER_TIMEOUT, SHARED_FOR, TURN_READ_BYTES, TURN_REQUESTS, TURN_WRITE_BYTES,
    TURN_WRITE_SHARED_BYTES,
};
use crate::outbox::Outbox;
use crate::protocol::{AnyProtocol, Demand, Protocol, Step};
use crate::services::{Context, Core};
use crate::transport::{HandshakeBudget, Transport};
pub(super) use standing::Standing;

/// A connection in the loop.
#[derive(Debug)]
pub(super) struct Connection<T> {
    transport: T,
    protocol: AnyProtocol,
    phase: Phase,
    input: Input,
    output: Output,
    /// When bytes last moved, in either direction.
    last_activity: Instant,
}

/// Buffers that connections use one at a time, so that idle connections own none.
pub(super) struct Scratch {
    /// The buffer for one recv.
    pub input: Vec<u8>,
    /// An empty outbox with allocated memory, lent to the connection that is being driven.
    pub outbox: Outbox,
    /// The memory for incomplete requests.
    pub parking: Parking,
    /// The time that the handshakes of this turn may still take.
    pub handshakes: HandshakeBudget,
    /// When a response was last begun and sent completely within one turn.
    small_served_at: Option<Instant>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            input: vec![0; TURN_READ_BYTES],
            outbox: Outbox::default(),
            parking: Parking::default(),
            handshakes: HandshakeBudget::default(),
            small_served_at: None,
        }
    }
}

/// The phase of a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The transport's handshake, which began at this instant, is in progress.
    Handshaking(Instant),
    /// The protocol processes input.
    Open,
    /// The protocol is done. The connection closes once the queued output is sent.
    Finishing(CloseReason),
    /// Our side was shut down at this instant. Input is dropped until EOF or the linger deadline.
    Lingering(CloseReason, Instant),
}

/// What a connection waits for after it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// An event, or this deadline.
    Waiting(Instant),
    /// The next turn: the connection has used up its budget.
    Yielding,
    /// Nothing: the connection is to be closed.
    Closed(CloseReason),
}

/// What is left of a connection's budget in this turn.
struct Budget {
    read: usize,
    write: usize,
    requests: usize,
    /// Calls of [`Protocol::resume`], each for a slice of a response that takes more than a turn.
    slices: usize,
}

/// Why a connection stopped processing input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The protocol needs more input than was received.
    Starved,
    /// The outbox is full, or a pending response comes first.
    NoRoom,
    /// The budget of the turn is used up.
    OutOfBudget,
}

impl<T: Transport> Connection<T> {
    /// Creates a connection that was accepted at `now`.
    pub(super) fn new(transport: T, protocol: AnyProtocol, now: Instant) -> Connection<T> {
        let phase = if transport.is_encrypted() { Phase::Handshaking(now) } else { Phase::Open };
        Connection {
            transport,
            protocol,
            phase,
            input: Input::new(),
            output: Output::new(now),
            last_activity: now,
        }
    }

    /// Returns the name of the protocol.
    pub(super) fn protocol(&self) -> &'static str {
        self.protocol.name()
    }

    /// Returns whether the bytes are encrypted on their way.
    pub(super) fn is_encrypted(&self) -> bool {
        self.transport.is_encrypted()
    }

    /// Returns whether the transport's handshake is in progress.
    pub(super) fn is_shaking_hands(&self) -> bool {
        matches!(self.phase, Phase::Handshaking(_))
    }

    /// Records the readiness that an event reports.
    pub(super) fn set_readiness(&mut self, readiness: Readiness) {
        self.input.set_readiness(readiness);
        self.output.writable |= readiness.writable;
    }

    /// Returns when the connection times out.
    pub(super) fn deadline(&self, core: &Core) -> Instant {
        match self.phase {
            Phase::Handshaking(since) => return since + core.limits.timeouts.head,
            Phase::Lingering(reason, since) => {
                let timeout =
                    if reason == CloseReason::BodyUnread { LINGER_TIMEOUT } else { LINGER_IDLE_TIMEOUT };
                return (since + timeout).min(self.last_activity + LINGER_IDLE_TIMEOUT);
            }
            Phase::Open | Phase::Finishing(_) => {}
        }
        let write = self.output.deadline(core.limits.timeouts.write);
        let protocol = match self.phase {
            Phase::Open => self.protocol.deadline(write.is_none().then_some(self.last_activity), core),
            _ => None,
        };
        let known = [write, protocol].into_iter().flatten().min();
        // Every connection has a deadline, even if its protocol sets none.
        known.unwrap_or(self.last_activity + core.limits.timeouts.idle)
    }

    /// Returns whether the connection is in the middle of a large response, so that it may wait for others.
    pub(super) fn is_bulk(&self) -> bool {
        self.output.outbox.is_large()
    }

    /// Returns what the connection is waiting for, or `None` if it may not be evicted: it is being served, or
    /// may have received what it waits for.
    pub(super) fn standing(&self) -> Option<Standing> {
        match self.phase {
            Phase::Lingering(_, since) => Some(Standing::Lingering(since)),
            Phase::Open if self.input.awaits_peer() && self.output.outbox.is_empty() => {
                Standing::new(self.protocol.evictability(), self.last_activity)
            }
            Phase::Handshaking(_) => Some(Standing::Incomplete),
            Phase::Open | Phase::Finishing(_) => None,
        }
    }

    /// Tells the peer that all output was sent, if it was, before the connection is closed.
    pub(super) fn end(&mut self, reason: CloseReason) {
        if reason.is_orderly() && self.output.outbox.is_empty() {
            let _ = self.transport.end();
        }
    }

    /// Returns the close reason if the connection is evicted now. A connection that lingers has ended before.
    pub(super) fn eviction_reason(&self) -> CloseReason {
        if let Phase::Lingering(reason, _) = self.phase { reason } else { CloseReason::Evicted }
    }

    /// Returns the bytes of memory held in buffers.
    pub(super) fn buffered(&self) -> usize {
        self.input.capacity() + self.output.outbox.capacity() + self.transport.buffered()
    }

    /// Receives, processes and sends within the budget of a turn. Returns what the connection waits for.
    pub(super) fn drive(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> Progress {
        let now = cx.core.clock.now.monotonic;
        let (had_output, sent) = (!self.output.outbox.is_empty(), cx.core.statistics.sent_bytes);
        let write = if had_output && scratch.small_served_at.is_some_and(|at| now < at + SHARED_FOR) {
            TURN_WRITE_SHARED_BYTES
        } else {
            TURN_WRITE_BYTES
        };
        self.input.begin();
        self.output.begin(&mut scratch.outbox, now);
        let progress = self.run(scratch, write, cx).unwrap_or_else(|error| self.fail(&error, cx));
        if !had_output && self.output.outbox.is_empty() && cx.core.statistics.sent_bytes > sent {
            scratch.small_served_at = Some(now);
        }
        self.output.end(&mut scratch.outbox);
        self.input.end(&scratch.parking);
        progress
    }

    fn run(&mut self, scratch: &mut Scratch, write: usize, cx: &mut Context<'_>) -> io::Result<Progress> {
        if let Phase::Handshaking(_) = self.phase
            && let Some(progress) = self.shake_hands(&mut scratch.handshakes, cx.core)?
        {
            return Ok(progress);
        }
        let scratch = &mut scratch.input[..];
        let mut budget = Budget { read: TURN_READ_BYTES, write, requests: TURN_REQUESTS, slices: 1 };
        loop {
            let stop = self.process(scratch, &mut budget, cx)?;
            let flushed = self.flush(&mut budget.write, cx)?;
            match (self.phase, stop, flushed) {
                (Phase::Lingering(reason, _), ..) => {
                    return Ok(self.linger(scratch, &mut budget, reason, cx));
                }
                (Phase::Finishing(reason), _, Flushed::Everything) => {
                    if let Some(progress) = self.await_end(reason, cx.core) {
                        return Ok(progress);
                    } else if !self.linger_after(reason, cx.core) {
                        return Ok(Progress::Closed(reason));
                    }
                }
                (_, Stop::NoRoom, Flushed::Everything) => {}
                _ => match self.deadline(cx.core) {
                    deadline if deadline <= cx.core.clock.now.monotonic => self.on_timeout(cx),
                    _ if stop == Stop::OutOfBudget || flushed == Flushed::OutOfBudget => {
                        return Ok(Progress::Yielding);
                    }
                    deadline => return Ok(Progress::Waiting(deadline)),
                },
            }
        }
    }

    /// Processes input and resumes a pending response until the input, the room in the outbox or the budget
    /// is used up.
    fn process(&mut self, scratch: &mut [u8], budget: &mut Budget, cx: &mut Context<'_>) -> io::Result<Stop> {
        while self.phase == Phase::Open {
            if self.output.outbox.is_full() {
                return Ok(Stop::NoRoom);
            }
            let Demand::Input(sure) = self.protocol.demand() else {
                if budget.slices == 0 {
                    return Ok(Stop::OutOfBudget);
                }
                budget.slices -= 1;
                if let Some(reason) = self.protocol.resume(&mut self.output.outbox, cx) {
                    self.phase = Phase::Finishing(reason);
                }
                continue;
            };
            if budget.requests == 0 {
                return Ok(Stop::OutOfBudget);
            } else if let Some(inbox) = self.input.take_unread() {
                let (taken, stop) = self.offer(&inbox, &mut budget.requests, cx);
                self.input.restore_unread(inbox, taken, stop != Stop::Starved);
            } else if self.input.has_ended() {
                let rest = self.input.take_rest();
                if let Some(reason) = self.protocol.on_eof(&rest, &mut self.output.outbox, cx) {
                    self.phase = Phase::Finishing(reason);
                }
            } else if !self.input.is_readable() {
                return Ok(Stop::Starved);
            } else if budget.read == 0 {
                return Ok(Stop::OutOfBudget);
            } else if self.fill(scratch, sure, budget, cx)? {
                return Ok(Stop::Starved);
            }
        }
        match self.phase {
            // The peer may not read our response before it has sent its whole body, so keep receiving.
            Phase::Finishing(reason) if reason.lingers() => self.drop_input(scratch, &mut budget.read, cx),
            _ => Ok(Stop::Starved),
        }
    }

    /// Receives once and offers the bytes to the protocol, straight from the scratch buffer if no older bytes
    /// are unread. Returns whether the protocol consumed all available input and waits for more.
    fn fill(
        &mut self,
        scratch: &mut [u8],
        sure: usize,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        let is_first = self.input.is_empty();
        let limit = budget.read.min(scratch.len());
        let received = self.input.recv(&mut self.transport, &mut scratch[..limit], sure)?;
        self.on_received(received.count, cx.core);
        budget.read -= received.count;
        if !received.is_drained {
            budget.read = budget.read.saturating_sub(self.transport.overhead());
        }
        let input = &scratch[..received.count];
        if !is_first {
            self.input.keep(input, received.count > 0);
            return Ok(false);
        }
        let (taken, stop) = self.offer(input, &mut budget.requests, cx);
        if taken < input.len() {
            self.input.keep(&input[taken..], stop != Stop::Starved);
            return Ok(false);
        }
        Ok(received.is_drained && stop == Stop::Starved && self.phase == Phase::Open)
    }

    fn on_received(&mut self, count: usize, core: &mut Core) {
        if count > 0 {
            core.statistics.received_bytes += count as u64;
            self.last_activity = core.clock.now.monotonic;
            self.output.sent_since_input = 0;
        }
    }

    /// Passes `input` to the protocol until it needs more input, the outbox is full or the budget is used up.
    /// Returns the number of bytes consumed, and why it stopped.
    fn offer(&mut self, input: &[u8], requests: &mut usize, cx: &mut Context<'_>) -> (usize, Stop) {
        let mut taken = 0;
        while taken < input.len() {
            // `process` has checked the outbox before the first call.
            if taken > 0 && self.output.outbox.is_full() {
                return (taken, Stop::NoRoom);
            }
            if *requests == 0 {
                return (taken, Stop::OutOfBudget);
            }
            *requests -= 1;
            match self.protocol.on_input(&input[taken..], &mut self.output.outbox, cx) {
                Step::Consumed(count) => taken += count,
                Step::NeedInput => break,
                Step::Pending(count) => return (taken + count, Stop::NoRoom),
                Step::Finish(count, reason) => {
                    self.phase = Phase::Finishing(reason);
                    return (taken + count, Stop::Starved);
                }
            }
        }
        (taken, Stop::Starved)
    }

    fn flush(&mut self, budget: &mut usize, cx: &mut Context<'_>) -> io::Result<Flushed> {
        let now = cx.core.clock.now.monotonic;
        let (flushed, moved) = self.output.flush(&mut self.transport, budget, now)?;
        if moved > 0 {
            self.last_activity = now;
            cx.core.statistics.sent_bytes += moved as u64;
        }
        Ok(flushed)
    }

    /// Handles an expired deadline. The available input was processed before, and the bytes of a request head
    /// do not extend its deadline.
    #[cold]
    fn on_timeout(&mut self, cx: &mut Context<'_>) {
        let now = cx.core.clock.now.monotonic;
        if self.output.deadline(cx.core.limits.timeouts.write).is_some_and(|deadline| deadline <= now) {
            if self.output.awaits_disk() {
                log::warn!("the disk did not deliver a part of a file in time");
                self.drop_output(cx);
                self.phase = Phase::Finishing(CloseReason::Failed);
            } else if !self.output.extend(&self.transport, now) {
                // The peer accepts no output, so drop the rest.
                self.drop_output(cx);
                self.phase = Phase::Finishing(CloseReason::WriteTimeout);
            }
        } else if let Some(reason) = self.protocol.on_deadline(&mut self.output.outbox, cx) {
            self.phase = Phase::Finishing(reason);
        }
    }
}
