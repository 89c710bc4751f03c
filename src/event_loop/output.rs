//! A connection's output: the outbox, and how the peer takes what is in it.

use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant};

use crate::limits::ACKNOWLEDGED_RETRY;
use crate::outbox::{Outbox, PIECES_MAX};
use crate::transport::Transport;

/// The output side of a connection.
#[derive(Debug)]
pub(super) struct Output {
    /// What is still to be sent.
    pub outbox: Outbox,
    /// Whether a send may take something.
    writable: bool,
    /// When output last moved, or began to wait.
    progress: Instant,
    /// Bytes sent since the peer last sent some.
    sent: usize,
    /// Bytes that the peer had not acknowledged when the socket took no more.
    unacknowledged: usize,
    pause: Pause,
}

/// A silence between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// There is none.
    None,
    /// It begins when the peer has acknowledged everything, which is looked for then.
    Pending(Instant),
    /// It ends then.
    Until(Instant),
}

/// How a [flush](Output::flush) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing is left to send.
    Everything,
    /// The transport takes no more for now; it will say when.
    Blocked,
    /// The budget is used up.
    OutOfBudget,
    /// A silence comes next.
    Paused,
}

impl Output {
    /// The output of a connection that was accepted at `now`.
    pub(super) fn new(now: Instant) -> Output {
        Output {
            outbox: Outbox::default(),
            writable: true,
            progress: now,
            sent: 0,
            unacknowledged: 0,
            pause: Pause::None,
        }
    }

    /// Notes what an event said.
    pub(super) fn set_readiness(&mut self, writable: bool) {
        self.writable |= writable;
    }

    /// Notes that the peer has sent something.
    pub(super) fn on_received(&mut self) {
        self.sent = 0;
    }

    /// Bytes sent since the peer last sent some.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// Until when the peer has to take something; `None` when nothing waits for it.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        let patience = (!self.outbox.is_empty()).then(|| self.progress + timeout)?;
        Some(match self.pause {
            Pause::None => patience,
            Pause::Pending(again) => patience.min(again),
            Pause::Until(end) => end,
        })
    }

    /// Begins a turn: an empty outbox is exchanged for the loop's `spare` one, whose memory is there
    /// already.
    pub(super) fn begin(&mut self, spare: &mut Outbox, now: Instant) {
        if self.outbox.is_empty() {
            self.progress = now;
            std::mem::swap(&mut self.outbox, spare);
        }
    }

    /// Ends a turn: the memory of an outbox that is empty goes back to the loop. One that is not keeps what
    /// it needs of it.
    pub(super) fn end(&mut self, spare: &mut Outbox) {
        if !self.outbox.is_empty() {
            self.outbox.shrink();
            return;
        }
        let used = std::mem::take(&mut self.outbox);
        if used.capacity() > spare.capacity() {
            *spare = used;
        }
    }

    /// Sends what it can, and takes the bytes from `budget`. Returns how that ended, and how
    /// many moved.
    pub(super) fn flush<T: Transport>(
        &mut self,
        transport: &mut T,
        budget: &mut usize,
        now: Instant,
    ) -> io::Result<(Flushed, usize)> {
        if self.outbox.is_empty() {
            return Ok((Flushed::Everything, 0));
        }
        if !self.writable {
            return Ok((Flushed::Blocked, 0));
        }
        let before = *budget;
        let mut flushed = self.send_all(transport, budget)?;
        while flushed == Flushed::Paused && self.is_silence_over(transport, now) {
            self.outbox.end_pause();
            flushed = self.send_all(transport, budget)?;
        }
        let moved = before - *budget;
        if moved > 0 {
            self.progress = now;
            self.sent += moved;
        }
        if flushed == Flushed::Blocked {
            self.writable = false;
            self.unacknowledged = transport.unacknowledged().unwrap_or(0);
        }
        Ok((flushed, moved))
    }

    /// Sends what the transport takes, and takes the bytes from `budget`. A file that ends before its
    /// promised length is `UnexpectedEof`: it must not be padded.
    #[inline]
    fn send_all<T: Transport>(&mut self, transport: &mut T, budget: &mut usize) -> io::Result<Flushed> {
        while !self.outbox.is_empty() {
            if *budget == 0 {
                return Ok(Flushed::OutOfBudget);
            }
            match send_front(&self.outbox, transport, *budget) {
                Ok(None) => return Ok(Flushed::Paused),
                Ok(Some(sent)) => {
                    self.outbox.advance(sent);
                    *budget -= sent;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::Everything)
    }

    /// Begins the silence that comes next, or goes on with it.
    fn is_silence_over<T: Transport>(&mut self, transport: &T, now: Instant) -> bool {
        match self.pause {
            Pause::Until(end) if end <= now => {
                self.pause = Pause::None;
                self.progress = now;
                return true;
            }
            Pause::Until(_) => {}
            Pause::None | Pause::Pending(_) => {
                let begun = transport.unacknowledged().is_none_or(|left| left == 0);
                let silence = self.outbox.front_pause().unwrap_or_default();
                self.pause = if begun {
                    Pause::Until(now + silence)
                } else {
                    Pause::Pending(now + ACKNOWLEDGED_RETRY)
                };
            }
        }
        false
    }

    /// Asks, when the deadline has passed, whether the peer has acknowledged output since the
    /// socket took no more; then it has time again. A slow one does so long before the socket's
    /// buffer, which holds megabytes, has room.
    pub(super) fn extend<T: Transport>(&mut self, transport: &T, now: Instant) -> bool {
        match transport.unacknowledged() {
            Some(left) if left < self.unacknowledged => {
                self.unacknowledged = left;
                self.progress = now;
                true
            }
            _ => false,
        }
    }

    /// Drops what was not sent.
    pub(super) fn forget(&mut self) {
        self.outbox = Outbox::default();
    }
}

/// Sends what comes first, or nothing if that is a silence.
fn send_front<T: Transport>(outbox: &Outbox, transport: &mut T, limit: usize) -> io::Result<Option<usize>> {
    if let Some((file, range)) = outbox.front_file() {
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(limit);
        return match transport.send_file(file, range.start, count)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            sent => Ok(Some(sent)),
        };
    }
    let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
    let (count, more) = outbox.gather(&mut pieces, limit);
    if count == 0 {
        return Ok(None);
    }
    match transport.send(&pieces[..count], more)? {
        0 => Err(ErrorKind::WriteZero.into()),
        sent => Ok(Some(sent)),
    }
}
