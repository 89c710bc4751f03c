//! A connection: fill, process, flush, within the bounds of a turn.

use std::io::{self, ErrorKind};
use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::limits::{INBOX_MAX_BYTES, LINGER_TIMEOUT, TURN_READ_BYTES, TURN_REQUESTS, TURN_WRITE_BYTES};
use crate::outbox::Outbox;
use crate::protocol::{AnyProtocol, Protocol, Step};
use crate::services::Services;
use crate::transport::{Flushed, Transport, flush};

use super::network::Readiness;

/// One peer's connection.
#[derive(Debug)]
pub struct Connection<T> {
    transport: T,
    protocol: AnyProtocol,
    phase: Phase,
    intake: Intake,
    /// Input that the protocol has not taken.
    inbox: Vec<u8>,
    /// Whether the protocol may want what is in the inbox now. It is false after it asked for more.
    offer: bool,
    outbox: Outbox,
    /// Whether a recv may bring something: an event said so, and none has come up short since.
    readable: bool,
    /// Whether a send may take something.
    writable: bool,
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
    /// Our output has ended; what the peer still sends is dropped until it stops.
    Lingering(CloseReason, Instant),
}

/// What is known of the peer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    /// It may go on. A short recv has taken all there was.
    Open,
    /// An event said that its end has come: no further one will, so it must be read up to there.
    Ending,
    /// It was read to its end.
    Ended,
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
}

/// Buffers that all connections use in turn, so that idle ones need none.
pub struct Scratch {
    /// What one recv brings.
    input: Vec<u8>,
    /// An outbox with its memory.
    outbox: Outbox,
}

/// Why a connection stopped taking input.
enum Stop {
    /// Nothing more has come.
    Starved,
    /// The outbox is full.
    NoRoom,
    /// Its share of the turn is used up.
    OutOfBudget,
}

impl Scratch {
    /// The buffers of one loop.
    pub fn new() -> Scratch {
        Scratch { input: vec![0; TURN_READ_BYTES], outbox: Outbox::default() }
    }
}

impl<T: Transport> Connection<T> {
    /// A connection that was accepted at `now`.
    pub fn new(transport: T, protocol: AnyProtocol, now: Instant) -> Connection<T> {
        Connection {
            transport,
            protocol,
            phase: Phase::Open,
            intake: Intake::Open,
            inbox: Vec::new(),
            offer: false,
            outbox: Outbox::default(),
            readable: false,
            writable: true,
            moved: now,
        }
    }

    /// Notes what an event said.
    pub fn note(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable;
        self.writable |= readiness.writable;
        if readiness.ending && self.intake == Intake::Open {
            self.intake = Intake::Ending;
        }
    }

    /// Looks for input once more although no event said that there is any.
    pub fn look_again(&mut self) {
        self.readable = true;
    }

    /// Since when the connection has been idle between two requests, if it is.
    pub fn idle_since(&self) -> Option<Instant> {
        let idle = self.phase == Phase::Open
            && !self.readable
            && self.inbox.is_empty()
            && self.outbox.is_empty()
            && self.protocol.may_make_room();
        idle.then_some(self.moved)
    }

    /// Bytes of memory held in buffers.
    pub fn buffered(&self) -> usize {
        self.inbox.capacity() + self.outbox.capacity()
    }

    /// Does what can be done now, within the bounds of a turn.
    pub fn drive(&mut self, scratch: &mut Scratch, cx: &mut Services) -> Progress {
        // An empty outbox is exchanged for the loop's, whose memory is there already; whoever has
        // sent everything gives it back.
        if self.outbox.is_empty() {
            std::mem::swap(&mut self.outbox, &mut scratch.outbox);
        }
        let progress =
            self.run(&mut scratch.input, cx).unwrap_or_else(|error| Progress::Closed(reason(&error)));
        if self.outbox.is_empty() {
            let used = std::mem::take(&mut self.outbox);
            if used.capacity() > scratch.outbox.capacity() {
                scratch.outbox = used;
            }
        } else {
            self.outbox.shrink();
        }
        if self.inbox.is_empty() {
            self.inbox = Vec::new();
        }
        progress
    }

    fn run(&mut self, scratch: &mut [u8], cx: &mut Services) -> io::Result<Progress> {
        let mut budget = Budget { read: TURN_READ_BYTES, write: TURN_WRITE_BYTES, requests: TURN_REQUESTS };
        loop {
            let stop = self.converse(scratch, &mut budget, cx)?;
            let flushed = self.flush(&mut budget, cx)?;
            match (self.phase, stop, flushed) {
                (Phase::Lingering(reason, until), ..) => return Ok(self.linger(scratch, reason, until, cx)),
                (_, _, Flushed::OutOfBudget) | (_, Stop::OutOfBudget, _) => return Ok(Progress::Yielding),
                (_, Stop::NoRoom, Flushed::Everything) => {}
                (Phase::Finishing(reason), _, Flushed::Everything) => {
                    if let Some(reason) = self.finish(reason, cx)? {
                        return Ok(Progress::Closed(reason));
                    }
                }
                _ => match self.deadline(cx) {
                    deadline if cx.clock.now() < deadline => return Ok(Progress::Waiting(deadline)),
                    _ => self.give_up(cx),
                },
            }
        }
    }

    /// When the patience with the peer ends.
    pub fn deadline(&self, cx: &Services) -> Instant {
        match self.outbox.is_empty() {
            true => self.protocol.deadline(self.moved, cx),
            false => self.moved + cx.limits.timeouts.write,
        }
    }

    /// The deadline has passed. That is asked only after all input was taken, and bytes do not put
    /// off the deadline of a head.
    fn give_up(&mut self, cx: &mut Services) {
        self.phase = Phase::Finishing(if self.outbox.is_empty() {
            self.protocol.on_deadline(&mut self.outbox, cx)
        } else {
            // Nothing more is sent to a peer that takes nothing.
            self.outbox = Outbox::default();
            CloseReason::WriteTimeout
        });
    }

    /// Takes input and has it answered, until there is none, or no room for answers.
    fn converse(&mut self, scratch: &mut [u8], budget: &mut Budget, cx: &mut Services) -> io::Result<Stop> {
        while self.phase == Phase::Open {
            if self.outbox.is_full() {
                return Ok(Stop::NoRoom);
            } else if budget.requests == 0 {
                return Ok(Stop::OutOfBudget);
            } else if self.offer {
                let mut input = std::mem::take(&mut self.inbox);
                let taken = self.offer(&input, budget, cx);
                input.drain(..taken);
                self.inbox = input;
            } else if self.intake == Intake::Ended {
                self.phase = Phase::Finishing(self.protocol.on_eof(&mut self.outbox, cx));
            } else if !self.readable {
                return Ok(Stop::Starved);
            } else if budget.read == 0 {
                return Ok(Stop::OutOfBudget);
            } else {
                self.fill(scratch, budget, cx)?;
            }
        }
        Ok(Stop::Starved)
    }

    /// Receives once and offers what came to the protocol, straight from the scratch buffer if
    /// nothing older waits.
    fn fill(&mut self, scratch: &mut [u8], budget: &mut Budget, cx: &mut Services) -> io::Result<()> {
        // The protocol refuses a full inbox, so there is room; a recv into none would look like
        // the end of the input.
        let room = INBOX_MAX_BYTES.saturating_sub(self.inbox.len()).max(1);
        let limit = (room + self.protocol.appetite()).min(budget.read).min(scratch.len());
        let count = self.recv(&mut scratch[..limit], cx)?;
        budget.read -= count;
        let input = &scratch[..count];
        if self.inbox.is_empty() {
            let taken = self.offer(input, budget, cx);
            self.inbox.extend_from_slice(&input[taken..]);
        } else {
            self.inbox.extend_from_slice(input);
            self.offer = count > 0;
        }
        Ok(())
    }

    /// Receives into `buffer` and notes what a short recv means.
    fn recv(&mut self, buffer: &mut [u8], cx: &Services) -> io::Result<usize> {
        match self.transport.recv(buffer) {
            Ok(0) => {
                self.intake = Intake::Ended;
                self.readable = false;
                Ok(0)
            }
            Ok(count) => {
                self.moved = cx.clock.now();
                if count < buffer.len() && self.intake == Intake::Open && self.transport.short_recv_drains() {
                    self.readable = false;
                }
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Gives `input` to the protocol for as long as it takes some and has room for the answers.
    /// Returns how much it took.
    fn offer(&mut self, input: &[u8], budget: &mut Budget, cx: &mut Services) -> usize {
        let mut taken = 0;
        self.offer = false;
        while taken < input.len() {
            if self.outbox.is_full() || budget.requests == 0 {
                self.offer = true;
                break;
            }
            match self.protocol.on_input(&input[taken..], &mut self.outbox, cx) {
                Step::Consumed(count) => taken += count,
                Step::NeedInput => break,
                Step::Finish(count, reason) => {
                    taken += count;
                    self.phase = Phase::Finishing(reason);
                    break;
                }
            }
            budget.requests -= 1;
        }
        taken
    }

    fn flush(&mut self, budget: &mut Budget, cx: &Services) -> io::Result<Flushed> {
        if self.outbox.is_empty() {
            return Ok(Flushed::Everything);
        }
        if !self.writable {
            return Ok(Flushed::Blocked);
        }
        let before = budget.write;
        let flushed = flush(&mut self.outbox, &mut self.transport, &mut budget.write)?;
        if budget.write < before {
            self.moved = cx.clock.now();
        }
        self.writable = flushed != Flushed::Blocked;
        Ok(flushed)
    }

    /// Everything is sent. A peer that may be sending still is heard out, or the close would be a
    /// reset that destroys what is on its way there; else the connection is over.
    fn finish(&mut self, reason: CloseReason, cx: &Services) -> io::Result<Option<CloseReason>> {
        let unread = reason.lingers() || !self.inbox.is_empty() || self.readable;
        if self.intake == Intake::Ended || reason == CloseReason::WriteTimeout || !unread {
            return Ok(Some(reason));
        }
        self.transport.shutdown_write()?;
        self.inbox = Vec::new();
        self.phase = Phase::Lingering(reason, cx.clock.now() + LINGER_TIMEOUT);
        Ok(None)
    }

    /// Drops input until its end, or until it has taken too long.
    fn linger(&mut self, scratch: &mut [u8], reason: CloseReason, until: Instant, cx: &Services) -> Progress {
        let mut limit = TURN_READ_BYTES;
        while self.readable && limit > 0 {
            let length = limit.min(scratch.len());
            match self.recv(&mut scratch[..length], cx) {
                Ok(count) => limit -= count,
                Err(_) => return Progress::Closed(reason),
            }
        }
        if self.intake == Intake::Ended || cx.clock.now() >= until {
            Progress::Closed(reason)
        } else if self.readable {
            Progress::Yielding
        } else {
            Progress::Waiting(until)
        }
    }
}

/// What an error of the transport means.
fn reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        // Of all that is sent, only a file has an end.
        ErrorKind::UnexpectedEof => CloseReason::FileShrank,
        _ => CloseReason::Reset,
    }
}
