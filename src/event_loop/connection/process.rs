//! Receives input and lets the protocol process it, within the budget of a turn.

use std::io;

use super::{Budget, Connection, Phase, Stop};
use crate::protocol::{Demand, Protocol, Step};
use crate::services::Context;
use crate::transport::Transport;

impl<T: Transport> Connection<T> {
    /// Processes input and resumes a pending response until the input, the room in the outbox or the budget
    /// is used up.
    pub(super) fn process(
        &mut self,
        scratch: &mut [u8],
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> io::Result<Stop> {
        while self.phase == Phase::Open {
            if self.output.outbox().is_full() {
                return Ok(Stop::NoRoom);
            }
            let sure = match self.protocol.demand() {
                Demand::Input(sure) => sure,
                Demand::Deadline => return Ok(Stop::Starved),
                Demand::Turn if budget.slices == 0 => return Ok(Stop::OutOfBudget),
                Demand::Turn => {
                    budget.slices -= 1;
                    if let Some(reason) = self.protocol.resume(self.output.outbox(), cx) {
                        self.phase = Phase::Finishing(reason);
                    }
                    continue;
                }
            };
            if budget.requests == 0 {
                return Ok(Stop::OutOfBudget);
            } else if let Some(inbox) = self.input.take_unread() {
                let (taken, stop) = self.offer(&inbox, &mut budget.requests, cx);
                self.input.restore_unread(inbox, taken, stop != Stop::Starved);
            } else if self.input.has_ended() {
                let rest = self.input.take_rest();
                if let Some(reason) = self.protocol.on_eof(&rest, self.output.outbox(), cx) {
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
        self.on_received(received.count, cx);
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

    pub(super) fn on_received(&mut self, count: usize, cx: &mut Context<'_>) {
        if count > 0 {
            cx.statistics.received_bytes += count as u64;
            self.last_activity = cx.core.clock.now.monotonic;
            self.output.sent_since_input = 0;
        }
    }

    /// Passes `input` to the protocol until it needs more input, the outbox is full or the budget is used up.
    /// Returns the number of bytes consumed, and why it stopped.
    fn offer(&mut self, input: &[u8], requests: &mut usize, cx: &mut Context<'_>) -> (usize, Stop) {
        let mut taken = 0;
        while taken < input.len() {
            // `process` has checked the outbox before the first call.
            if taken > 0 && self.output.outbox().is_full() {
                return (taken, Stop::NoRoom);
            }
            if *requests == 0 {
                return (taken, Stop::OutOfBudget);
            }
            *requests -= 1;
            match self.protocol.on_input(&input[taken..], self.output.outbox(), cx) {
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
}
