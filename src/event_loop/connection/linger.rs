//! Closes a connection without destroying output that the peer has not received yet.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::{Budget, Connection, Phase, Progress, Stop};
use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::limits::SENT_AT_ONCE_BYTES;
use crate::services::{Context, Core};
use crate::transport::Transport;

impl<T: Transport> Connection<T> {
    /// Tells the peer that all output was sent. Returns what to wait for if the transport does not accept that yet.
    pub(super) fn await_end(&mut self, reason: CloseReason, core: &Core) -> Option<Progress> {
        if !reason.is_orderly() {
            return None;
        }
        self.transport.end().err().filter(|error| error.kind() == ErrorKind::WouldBlock)?;
        let deadline = self.last_activity + core.limits.timeouts.write;
        Some(match deadline <= core.clock.now.monotonic {
            true => Progress::Closed(CloseReason::WriteTimeout),
            false => Progress::Waiting(deadline),
        })
    }

    /// Shuts down our side and starts to linger if the peer may still be sending: a close with unread input
    /// is a reset, which destroys output in flight. Called when all output has been sent. Returns whether the
    /// connection lingers.
    pub(super) fn linger_after(&mut self, reason: CloseReason, core: &Core) -> bool {
        let lingers = match reason {
            _ if self.input.has_ended() => false,
            CloseReason::WriteTimeout => false,
            CloseReason::CloseRequested => {
                self.output.sent_since_input as usize > SENT_AT_ONCE_BYTES || self.input.has_unread()
            }
            // Part of the last response may still be unacknowledged.
            CloseReason::IdleTimeout | CloseReason::Drained => self.transport.unacknowledged() > Some(0),
            _ => reason.lingers() || self.input.has_unread(),
        };
        lingers && self.begin_linger(reason, core)
    }

    /// Shuts down our side and starts to linger. Returns whether the transport allows it.
    pub(super) fn begin_linger(&mut self, reason: CloseReason, core: &Core) -> bool {
        if self.transport.shutdown_write().is_err() {
            return false;
        }
        self.input.forget();
        self.last_activity = core.clock.now.monotonic;
        let after = (self.last_activity - self.accepted).as_millis();
        self.phase = Phase::Lingering(reason, u32::try_from(after).unwrap_or(u32::MAX));
        true
    }

    /// Returns when the connection began to linger, from the milliseconds after the accept.
    pub(super) fn lingering_since(&self, after: u32) -> Instant {
        match after {
            // More than 49 days: the number says no more than that.
            u32::MAX => self.last_activity,
            after => self.accepted + Duration::from_millis(after.into()),
        }
    }

    /// Drops input until EOF, an error or the linger deadline.
    pub(super) fn linger(
        &mut self,
        scratch: &mut [u8],
        budget: &mut Budget,
        reason: CloseReason,
        cx: &mut Context<'_>,
    ) -> Progress {
        let dropped = self.drop_input(scratch, &mut budget.read, cx);
        let deadline = self.deadline(cx.core);
        match dropped {
            Err(_) => Progress::Closed(reason),
            Ok(_) if self.input.has_ended() || deadline <= cx.core.clock.now.monotonic => {
                Progress::Closed(reason)
            }
            Ok(Stop::OutOfBudget) => Progress::Yielding,
            Ok(_) => Progress::Waiting(deadline),
        }
    }

    /// Receives and drops the available input, at most `limit` bytes.
    pub(super) fn drop_input(
        &mut self,
        scratch: &mut [u8],
        limit: &mut usize,
        cx: &mut Context<'_>,
    ) -> io::Result<Stop> {
        while self.input.is_readable() {
            if *limit == 0 {
                return Ok(Stop::OutOfBudget);
            }
            let length = scratch.len().min(*limit);
            let received = self.input.recv(&mut self.transport, &mut scratch[..length], usize::MAX)?;
            self.on_received(received.count, cx);
            *limit = limit.saturating_sub(received.count + self.transport.overhead());
        }
        Ok(Stop::Starved)
    }
}
