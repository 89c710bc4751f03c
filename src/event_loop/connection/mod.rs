//! A connection: receives, lets the protocol process the input, and sends, within the budget of a turn.

mod failure;
mod handshake;
mod input;
mod linger;
mod logging;
mod output;
mod parking;
mod process;
mod standing;
mod status;

use std::io;

use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::event_loop::event::Readiness;
use crate::limits::{
    LINGER_IDLE_TIMEOUT, LINGER_TIMEOUT, SHARED_FOR, TURN_READ_BYTES, TURN_REQUESTS, TURN_WRITE_BYTES,
    TURN_WRITE_SHARED_BYTES,
};
use crate::observe::Statistics;
use crate::protocol::{AnyProtocol, Protocol};
use crate::services::{Context, Core};
use crate::transport::{HandshakeBudget, Transport};
use input::Input;
use output::{Flushed, Output, OutputQueue};
use parking::Parking;
pub(super) use standing::Standing;

/// A connection in the loop.
#[derive(Debug)]
pub(super) struct Connection<T> {
    transport: T,
    protocol: AnyProtocol,
    phase: Phase,
    input: Input,
    output: Output,
    accepted: Instant,
    /// When bytes last moved, in either direction.
    last_activity: Instant,
    traffic: Traffic,
}

/// What a connection has carried so far.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    received: u64,
    sent: u64,
    requests: u32,
}

/// Buffers that connections use one at a time, so that idle connections own none.
pub(super) struct Scratch {
    /// The buffer for one recv.
    pub input: Vec<u8>,
    /// An empty queue with allocated memory, lent to the connection that is being driven.
    output: Option<Box<OutputQueue>>,
    /// The memory for incomplete requests.
    parking: Parking,
    /// The time that the handshakes of this turn may still take.
    pub handshakes: HandshakeBudget,
    /// When a response was last begun and sent completely within one turn.
    small_served_at: Option<Instant>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            input: vec![0; TURN_READ_BYTES],
            output: None,
            parking: Parking::default(),
            handshakes: HandshakeBudget::default(),
            small_served_at: None,
        }
    }
}

/// The phase of a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The transport's handshake is in progress.
    Handshaking,
    /// The protocol processes input.
    Open,
    /// The protocol is done. The connection closes once the queued output is sent.
    Finishing(CloseReason),
    /// Our side was shut down, this number of milliseconds after the accept. Input is dropped until EOF or the linger
    /// deadline.
    Lingering(CloseReason, u32),
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
        let phase = if transport.is_encrypted() { Phase::Handshaking } else { Phase::Open };
        Connection {
            transport,
            protocol,
            phase,
            input: Input::new(),
            output: Output::new(),
            accepted: now,
            last_activity: now,
            traffic: Traffic::default(),
        }
    }

    /// Returns the index of the protocol in the list of all.
    pub(super) fn protocol_index(&self) -> usize {
        self.protocol.index()
    }

    /// Returns the name of the protocol.
    pub(super) fn protocol(&self) -> &'static str {
        self.protocol.name()
    }

    /// Returns whether the connection is one of the admin interface.
    pub(super) fn is_admin(&self) -> bool {
        self.protocol.is_for_admin()
    }

    /// Returns whether the bytes are encrypted on their way.
    pub(super) fn is_encrypted(&self) -> bool {
        self.transport.is_encrypted()
    }

    /// Returns whether the transport's handshake is in progress.
    pub(super) fn is_shaking_hands(&self) -> bool {
        self.phase == Phase::Handshaking
    }

    /// Records the readiness that an event reports.
    pub(super) fn set_readiness(&mut self, readiness: Readiness) {
        self.input.set_readiness(readiness);
        self.output.writable |= readiness.writable;
    }

    /// Returns when the connection times out.
    pub(super) fn deadline(&self, core: &Core) -> Instant {
        match self.phase {
            Phase::Handshaking => return self.accepted + core.limits.timeouts.head,
            Phase::Lingering(reason, after) => {
                let timeout =
                    if reason == CloseReason::BodyUnread { LINGER_TIMEOUT } else { LINGER_IDLE_TIMEOUT };
                return (self.lingering_since(after) + timeout).min(self.last_activity + LINGER_IDLE_TIMEOUT);
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
        self.output.is_large()
    }

    /// Returns what the connection is waiting for, or `None` if it may not be evicted: it is being served, or
    /// may have received what it waits for.
    pub(super) fn standing(&self) -> Option<Standing> {
        match self.phase {
            Phase::Lingering(_, after) => Some(Standing::Lingering(self.lingering_since(after))),
            Phase::Open if self.input.awaits_peer() && self.output.is_empty() => {
                Standing::new(self.protocol.evictability(), self.last_activity)
            }
            Phase::Handshaking => Some(Standing::Incomplete),
            Phase::Open | Phase::Finishing(_) => None,
        }
    }

    /// Tells the peer that all output was sent, if it was, before the connection is closed.
    pub(super) fn end(&mut self, reason: CloseReason) {
        if reason.is_orderly() && self.output.is_empty() {
            let _ = self.transport.end();
        }
    }

    /// Returns the close reason if the connection is evicted now. A connection that lingers has ended before.
    pub(super) fn eviction_reason(&self) -> CloseReason {
        if let Phase::Lingering(reason, _) = self.phase { reason } else { CloseReason::Evicted }
    }

    /// Returns the bytes of memory held in buffers.
    pub(super) fn buffered(&self) -> usize {
        self.input.capacity() + self.output.capacity() + self.transport.buffered()
    }

    /// Receives, processes and sends within the budget of a turn. Returns what the connection waits for.
    pub(super) fn drive(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> Progress {
        let now = cx.core.clock.now.monotonic;
        let had_output = !self.output.is_empty();
        let Statistics { received_bytes, sent_bytes, requests, .. } = *cx.statistics;
        let write = if had_output && scratch.small_served_at.is_some_and(|at| now < at + SHARED_FOR) {
            TURN_WRITE_SHARED_BYTES
        } else {
            TURN_WRITE_BYTES
        };
        self.output.begin(&mut scratch.output, now);
        let progress = self.run(scratch, write, cx).unwrap_or_else(|error| self.fail(&error, cx));
        let statistics = &*cx.statistics;
        self.traffic.received += statistics.received_bytes - received_bytes;
        self.traffic.sent += statistics.sent_bytes - sent_bytes;
        self.traffic.requests = self.traffic.requests.wrapping_add((statistics.requests - requests) as u32);
        if !had_output && self.output.is_empty() && statistics.sent_bytes > sent_bytes {
            scratch.small_served_at = Some(now);
        }
        self.output.end(&mut scratch.output);
        self.input.end(&scratch.parking);
        progress
    }

    fn run(&mut self, scratch: &mut Scratch, write: usize, cx: &mut Context<'_>) -> io::Result<Progress> {
        if self.phase == Phase::Handshaking
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

    fn flush(&mut self, budget: &mut usize, cx: &mut Context<'_>) -> io::Result<Flushed> {
        let now = cx.core.clock.now.monotonic;
        let (flushed, moved) = self.output.flush(&mut self.transport, budget, now)?;
        if moved > 0 {
            self.last_activity = now;
            cx.statistics.sent_bytes += moved as u64;
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
        } else if let Some(reason) = self.protocol.on_deadline(self.output.outbox(), cx) {
            self.phase = Phase::Finishing(reason);
        }
    }
}
