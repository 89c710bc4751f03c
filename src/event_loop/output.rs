//! A connection's output: the outbox, and how the peer takes what is in it.

use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant};

use crate::limits::ACKNOWLEDGED_RETRY;
use crate::outbox::{Next, Outbox, PIECES_MAX};
use crate::transport::Transport;

/// The output side of a connection.
#[derive(Debug)]
pub(super) struct Output {
    /// What is still to be sent.
    pub outbox: Outbox,
    /// Whether a send may take something.
    pub(super) writable: bool,
    /// When output last moved, or began to wait.
    progress: Instant,
    /// Bytes sent since the peer last sent some.
    pub(super) sent_since_input: usize,
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
            sent_since_input: 0,
            unacknowledged: 0,
            pause: Pause::None,
        }
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
        if !self.writable {
            let flushed = if self.outbox.is_empty() { Flushed::Everything } else { Flushed::Blocked };
            return Ok((flushed, 0));
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
            self.sent_since_input += moved;
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
        loop {
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            // Without budget nothing is sent, but it is told whether there is more.
            let sent = match self.outbox.next(&mut pieces, (*budget).max(1)) {
                Next::Nothing => return Ok(Flushed::Everything),
                _ if *budget == 0 => return Ok(Flushed::OutOfBudget),
                Next::Pause => return Ok(Flushed::Paused),
                Next::Pieces(count, more) => transport.send(&pieces[..count], more).and_then(sent_some),
                Next::File(file, offset, count) => {
                    transport.send_file(file, offset, count).and_then(file_sent)
                }
            };
            match sent {
                Ok(sent) => {
                    self.outbox.advance(sent);
                    *budget -= sent;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
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

/// A send that takes nothing and says no error would be tried for ever.
fn sent_some(count: usize) -> io::Result<usize> {
    if count == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(count) }
}

/// A file that has no more bytes ends before its promised length.
fn file_sent(count: usize) -> io::Result<usize> {
    if count == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
}
