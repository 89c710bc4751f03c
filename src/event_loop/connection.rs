//! A connection: fill, process, flush, within the bounds of a turn.

mod linger;

use std::io::{self, ErrorKind};
use std::time::Instant;

use super::delivery::Delivery;
use super::intake::Intake;
use super::network::Readiness;
use super::scratch::Scratch;
use crate::close_reason::CloseReason;
use crate::limits::{LINGER_SILENCE, LINGER_TIMEOUT, TURN_READ_BYTES, TURN_REQUESTS, TURN_WRITE_BYTES};
use crate::protocol::{AnyProtocol, Protocol, Step};
use crate::services::Services;
use crate::transport::{Flushed, Transport};

/// One peer's connection.
#[derive(Debug)]
pub struct Connection<T> {
    transport: T,
    protocol: AnyProtocol,
    phase: Phase,
    intake: Intake,
    delivery: Delivery,
    /// When bytes last moved, in either direction.
    moved: Instant,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It converses.
    Open,
    /// The protocol is done; what is queued is sent, then it ends.
    Finishing(CloseReason),
    /// Our output has ended; since then what the peer still sends is dropped.
    Lingering(CloseReason, Instant),
}

/// What a connection waits for after it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
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
    pub fn new(transport: T, protocol: AnyProtocol, now: Instant) -> Connection<T> {
        Connection {
            transport,
            protocol,
            phase: Phase::Open,
            intake: Intake::new(),
            delivery: Delivery::new(now),
            moved: now,
        }
    }

    /// What is spoken on it.
    pub fn protocol(&self) -> &'static str {
        self.protocol.name()
    }

    /// Notes what an event said.
    pub fn note(&mut self, readiness: Readiness) {
        self.intake.note(readiness);
        self.delivery.note(readiness.writable);
    }

    /// When the patience with the peer ends.
    pub fn deadline(&self, cx: &Services) -> Instant {
        if let Phase::Lingering(reason, since) = self.phase {
            let timeout = if reason == CloseReason::BodyUnwanted { LINGER_TIMEOUT } else { LINGER_SILENCE };
            return (since + timeout).min(self.moved + LINGER_SILENCE);
        }
        let write = self.delivery.deadline(cx.limits.timeouts.write);
        let protocol = match self.phase {
            Phase::Open => self.protocol.deadline(write.is_none().then_some(self.moved), cx),
            _ => None,
        };
        let known = [write, protocol].into_iter().flatten().min();
        // Nobody is without a deadline, whatever the protocol says.
        known.unwrap_or(self.moved + cx.limits.timeouts.idle)
    }

    /// Since when the connection has been idle between two requests, if it is.
    pub fn idle_since(&self) -> Option<Instant> {
        let idle = self.phase == Phase::Open
            && !self.intake.has_unread()
            && self.delivery.outbox.is_empty()
            && self.protocol.may_make_room();
        idle.then_some(self.moved)
    }

    /// Bytes of memory held in buffers.
    pub fn buffered(&self) -> usize {
        self.intake.capacity() + self.delivery.outbox.capacity()
    }

    /// Does what can be done now, within the bounds of a turn.
    pub fn drive(&mut self, scratch: &mut Scratch, cx: &mut Services) -> Progress {
        self.delivery.begin(scratch, cx.clock.now());
        let progress =
            self.run(&mut scratch.input, cx).unwrap_or_else(|error| Progress::Closed(reason(&error)));
        scratch.reclaim(&mut self.delivery.outbox);
        self.intake.release();
        progress
    }

    fn run(&mut self, scratch: &mut [u8], cx: &mut Services) -> io::Result<Progress> {
        let mut budget =
            Budget { read: TURN_READ_BYTES, write: TURN_WRITE_BYTES, requests: TURN_REQUESTS, slices: 1 };
        loop {
            let stop = self.converse(scratch, &mut budget, cx)?;
            let flushed = self.flush(&mut budget.write, cx)?;
            match (self.phase, stop, flushed) {
                (Phase::Lingering(reason, _), ..) => {
                    return Ok(self.linger(scratch, &mut budget, reason, cx));
                }
                (Phase::Finishing(reason), _, Flushed::Everything) => {
                    if !self.linger_after(reason, cx) {
                        return Ok(Progress::Closed(reason));
                    }
                }
                (_, Stop::NoRoom, Flushed::Everything) => {}
                _ => match self.deadline(cx) {
                    deadline if deadline <= cx.clock.now() => self.give_up(cx),
                    _ if stop == Stop::OutOfBudget || flushed == Flushed::OutOfBudget => {
                        return Ok(Progress::Yielding);
                    }
                    deadline => return Ok(Progress::Waiting(deadline)),
                },
            }
        }
    }

    /// Takes input and has it answered, until there is none, or no room for answers.
    fn converse(&mut self, scratch: &mut [u8], budget: &mut Budget, cx: &mut Services) -> io::Result<Stop> {
        while self.phase == Phase::Open {
            if self.delivery.outbox.is_full() {
                return Ok(Stop::NoRoom);
            } else if self.protocol.is_producing() {
                if budget.slices == 0 {
                    return Ok(Stop::OutOfBudget);
                }
                budget.slices -= 1;
                if let Some(reason) = self.protocol.resume(&mut self.delivery.outbox, cx) {
                    self.phase = Phase::Finishing(reason);
                }
            } else if budget.requests == 0 {
                return Ok(Stop::OutOfBudget);
            } else if let Some(inbox) = self.intake.take_offer() {
                let (taken, stop) = self.offer(&inbox, &mut budget.requests, cx);
                self.intake.put_back(inbox, taken, stop != Stop::Starved);
            } else if self.intake.has_ended() {
                let rest = self.intake.take_rest();
                if let Some(reason) = self.protocol.on_eof(&rest, &mut self.delivery.outbox, cx) {
                    self.phase = Phase::Finishing(reason);
                }
            } else if !self.intake.is_readable() {
                return Ok(Stop::Starved);
            } else if budget.read == 0 {
                return Ok(Stop::OutOfBudget);
            } else {
                self.fill(scratch, budget, cx)?;
            }
        }
        match self.phase {
            // The peer may be unable to read our answer before it has sent all of its body.
            Phase::Finishing(reason) if reason.lingers() => self.drop_input(scratch, &mut budget.read, cx),
            _ => Ok(Stop::Starved),
        }
    }

    /// Receives once and offers what came to the protocol, straight from the scratch buffer if
    /// nothing older waits.
    fn fill(&mut self, scratch: &mut [u8], budget: &mut Budget, cx: &mut Services) -> io::Result<()> {
        let wanted = self.intake.room() + self.protocol.appetite();
        let limit = wanted.min(budget.read).min(scratch.len());
        let count = self.recv(&mut scratch[..limit], cx)?;
        budget.read -= count;
        let input = &scratch[..count];
        if self.intake.is_empty() {
            let (taken, stop) = self.offer(input, &mut budget.requests, cx);
            self.intake.keep(&input[taken..], stop != Stop::Starved);
        } else {
            self.intake.keep(input, count > 0);
        }
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8], cx: &mut Services) -> io::Result<usize> {
        let count = self.intake.recv(&mut self.transport, buffer)?;
        if count > 0 {
            cx.statistics.received_bytes += count as u64;
            self.moved = cx.clock.now();
            self.delivery.heard();
        }
        Ok(count)
    }

    /// Gives `input` to the protocol for as long as it takes some and has room for the answers.
    /// Returns how much it took, and why not more.
    fn offer(&mut self, input: &[u8], requests: &mut usize, cx: &mut Services) -> (usize, Stop) {
        let mut taken = 0;
        while taken < input.len() {
            // Before the first one there was room.
            if taken > 0 && (self.delivery.outbox.is_full() || self.protocol.is_producing()) {
                return (taken, Stop::NoRoom);
            }
            if *requests == 0 {
                return (taken, Stop::OutOfBudget);
            }
            *requests -= 1;
            match self.protocol.on_input(&input[taken..], &mut self.delivery.outbox, cx) {
                Step::Consumed(count) => taken += count,
                Step::NeedInput => break,
                Step::Finish(count, reason) => {
                    self.phase = Phase::Finishing(reason);
                    return (taken + count, Stop::Starved);
                }
            }
        }
        (taken, Stop::Starved)
    }

    fn flush(&mut self, budget: &mut usize, cx: &mut Services) -> io::Result<Flushed> {
        let now = cx.clock.now();
        let (flushed, moved) = self.delivery.flush(&mut self.transport, budget, now)?;
        if moved > 0 {
            self.moved = now;
            cx.statistics.sent_bytes += moved as u64;
        }
        Ok(flushed)
    }

    /// The deadline has passed. That is asked only after all input was taken, and bytes do not put
    /// off the deadline of a head.
    fn give_up(&mut self, cx: &mut Services) {
        let now = cx.clock.now();
        if self.delivery.deadline(cx.limits.timeouts.write).is_some_and(|deadline| deadline <= now) {
            if !self.delivery.extend(&self.transport, now) {
                // Nothing more is sent to a peer that takes nothing.
                self.delivery.forget();
                self.phase = Phase::Finishing(CloseReason::WriteTimeout);
            }
        } else if let Some(reason) = self.protocol.on_deadline(&mut self.delivery.outbox, cx) {
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
