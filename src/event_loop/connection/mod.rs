//! A connection: fill, process, flush, within the bounds of a turn.

mod linger;

use std::io::{self, ErrorKind};
use std::time::Instant;

use super::event::Readiness;
use super::input::Input;
use super::output::{Flushed, Output};
use crate::close_reason::CloseReason;
use crate::limits::{LINGER_IDLE_TIMEOUT, LINGER_TIMEOUT, TURN_READ_BYTES, TURN_REQUESTS, TURN_WRITE_BYTES};
use crate::outbox::Outbox;
use crate::protocol::{AnyProtocol, Demand, Protocol, Step};
use crate::services::{Context, Core};
use crate::transport::Transport;

/// One peer's connection.
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

/// Buffers that all connections use in turn, so that idle ones need none.
pub(super) struct Scratch {
    /// What one recv brings.
    pub input: Vec<u8>,
    /// An outbox with its memory, while no connection has it.
    pub outbox: Outbox,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { input: vec![0; TURN_READ_BYTES], outbox: Outbox::default() }
    }
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It processs.
    Open,
    /// The protocol is done; what is queued is sent, then it ends.
    Finishing(CloseReason),
    /// Our output has ended; since then what the peer still sends is dropped.
    Lingering(CloseReason, Instant),
}

/// What a connection waits for after it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// For events, or until its deadline.
    Waiting(Instant),
    /// For its next turn.
    Yielding,
    /// For nothing: it is over.
    Closed(CloseReason),
}

/// What is left of a connection's share of the turn.
struct Budget {
    read: usize,
    write: usize,
    requests: usize,
    /// Slices of an answer that takes more than a turn.
    slices: usize,
}

/// Why a connection stopped taking input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The protocol needs more than has come.
    Starved,
    /// The outbox is full, or what is being produced for it comes first.
    NoRoom,
    /// Its share of the turn is used up.
    OutOfBudget,
}

impl<T: Transport> Connection<T> {
    /// A connection that was accepted at `now`.
    pub(super) fn new(transport: T, protocol: AnyProtocol, now: Instant) -> Connection<T> {
        Connection {
            transport,
            protocol,
            phase: Phase::Open,
            input: Input::new(),
            output: Output::new(now),
            last_activity: now,
        }
    }

    /// What is spoken on it.
    pub(super) fn protocol(&self) -> &'static str {
        self.protocol.name()
    }

    /// Takes what an event says.
    pub(super) fn set_readiness(&mut self, readiness: Readiness) {
        self.input.set_readiness(readiness);
        self.output.writable |= readiness.writable;
    }

    /// When the patience with the peer ends.
    pub(super) fn deadline(&self, core: &Core) -> Instant {
        if let Phase::Lingering(reason, since) = self.phase {
            let timeout =
                if reason == CloseReason::BodyUnwanted { LINGER_TIMEOUT } else { LINGER_IDLE_TIMEOUT };
            return (since + timeout).min(self.last_activity + LINGER_IDLE_TIMEOUT);
        }
        let write = self.output.deadline(core.limits.timeouts.write);
        let protocol = match self.phase {
            Phase::Open => self.protocol.deadline(write.is_none().then_some(self.last_activity), core),
            _ => None,
        };
        let known = [write, protocol].into_iter().flatten().min();
        // Nobody is without a deadline, whatever the protocol says.
        known.unwrap_or(self.last_activity + core.limits.timeouts.idle)
    }

    /// Since when the connection has been idle between two requests, if it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.phase == Phase::Open
            && !self.input.has_unread()
            && self.output.outbox.is_empty()
            && self.protocol.is_evictable();
        idle.then_some(self.last_activity)
    }

    /// Bytes of memory held in buffers.
    pub(super) fn buffered(&self) -> usize {
        self.input.capacity() + self.output.outbox.capacity()
    }

    /// Does what can be done now, within the bounds of a turn.
    pub(super) fn drive(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> Progress {
        self.output.begin(&mut scratch.outbox, cx.core.clock.now.monotonic);
        let progress =
            self.run(&mut scratch.input, cx).unwrap_or_else(|error| Progress::Closed(reason(&error)));
        self.output.end(&mut scratch.outbox);
        self.input.release();
        progress
    }

    fn run(&mut self, scratch: &mut [u8], cx: &mut Context<'_>) -> io::Result<Progress> {
        let mut budget =
            Budget { read: TURN_READ_BYTES, write: TURN_WRITE_BYTES, requests: TURN_REQUESTS, slices: 1 };
        loop {
            let stop = self.process(scratch, &mut budget, cx)?;
            let flushed = self.flush(&mut budget.write, cx)?;
            match (self.phase, stop, flushed) {
                (Phase::Lingering(reason, _), ..) => {
                    return Ok(self.linger(scratch, &mut budget, reason, cx));
                }
                (Phase::Finishing(reason), _, Flushed::Everything) => {
                    if !self.linger_after(reason, cx.core) {
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

    /// Takes input and has it answered, until there is none, or no room for answers.
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
            // The peer may be unable to read our answer before it has sent all of its body.
            Phase::Finishing(reason) if reason.lingers() => self.drop_input(scratch, &mut budget.read, cx),
            _ => Ok(Stop::Starved),
        }
    }

    /// Receives once and offers what came to the protocol, straight from the scratch buffer if
    /// nothing older waits. Returns whether the protocol has taken all there was, and waits for more.
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

    /// Gives `input` to the protocol for as long as it takes some and has room for the answers.
    /// Returns how much it took, and why not more.
    fn offer(&mut self, input: &[u8], requests: &mut usize, cx: &mut Context<'_>) -> (usize, Stop) {
        let mut taken = 0;
        while taken < input.len() {
            // Before the first one there was room.
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

    /// The deadline has passed. That is asked only after all input was taken, and bytes do not put
    /// off the deadline of a head.
    fn on_timeout(&mut self, cx: &mut Context<'_>) {
        let now = cx.core.clock.now.monotonic;
        if self.output.deadline(cx.core.limits.timeouts.write).is_some_and(|deadline| deadline <= now) {
            if !self.output.extend(&self.transport, now) {
                // Nothing more is sent to a peer that takes nothing.
                self.output.forget();
                self.phase = Phase::Finishing(CloseReason::WriteTimeout);
            }
        } else if let Some(reason) = self.protocol.on_deadline(&mut self.output.outbox, cx) {
            self.phase = Phase::Finishing(reason);
        }
    }
}

/// What an error of the transport means.
fn reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        // Of all that is sent, only a file has an end.
        ErrorKind::UnexpectedEof => CloseReason::FileShrank,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected => CloseReason::Reset,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            CloseReason::Reset
        }
        _ => {
            log::warn!("a connection failed: {error}");
            CloseReason::Failed
        }
    }
}
