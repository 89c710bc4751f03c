//! A connection's output: the outbox, and the peer's progress in receiving it.

use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

use crate::clock::Instant;
use crate::limits::{ACKNOWLEDGED_RETRY, DISK_RETRY};
use crate::outbox::{Next, Outbox, PIECES_MAX};
use crate::transport::Transport;

/// The output side of a connection.
#[derive(Debug)]
pub(super) struct Output {
    /// The queued output; `None` between turns if there is none. The loop lends the memory.
    queue: Option<Box<OutputQueue>>,
    /// Whether a send may make progress.
    pub(super) writable: bool,
    /// The number of bytes sent since input was last received, as far as it fits.
    pub(super) sent_since_input: u32,
}

/// Queued output, and the peer's progress in receiving it.
#[derive(Debug)]
pub(super) struct OutputQueue {
    /// The output that is still to be sent.
    outbox: Outbox,
    /// When output was last sent, or queued in an empty outbox.
    progress: Instant,
    /// The number of bytes that the peer had not acknowledged when the socket last blocked, or at the last
    /// check since.
    unacknowledged: usize,
    hold: Hold,
}

/// What the front of the outbox waits for, other than the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Nothing.
    None,
    /// A pause begins when the peer has acknowledged all earlier output. The next check is at this time.
    Unacknowledged(Instant),
    /// A pause ends at this time.
    Silence(Instant),
    /// The disk reads a part of a file. The next try is at this time.
    Disk(Instant),
}

/// What queued output waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputWait {
    /// Nothing is queued.
    Nothing,
    /// The next turn.
    Turn,
    /// The transport accepts no more until the peer has received some output.
    Peer,
    Disk,
    /// The peer has not acknowledged what precedes a pause.
    Acknowledgement,
    /// The end of a pause.
    Pause,
}

/// How a [flush](Output::flush) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing is left to send.
    Everything,
    /// The transport accepts no more; an event reports when it does.
    Blocked,
    /// The budget is used up.
    OutOfBudget,
    /// A pause comes next.
    Paused,
    /// A part of a file comes next that the disk is still reading.
    AwaitingDisk,
}

impl OutputQueue {
    fn new(now: Instant) -> Box<OutputQueue> {
        Box::new(OutputQueue {
            outbox: Outbox::default(),
            progress: now,
            unacknowledged: 0,
            hold: Hold::None,
        })
    }

    /// Forgets what the empty queue waited for, which another connection may have used.
    fn restart(&mut self, now: Instant) {
        (self.progress, self.unacknowledged, self.hold) = (now, 0, Hold::None);
    }
}

impl Output {
    /// Creates the output of a new connection.
    pub(super) fn new() -> Output {
        Output { queue: None, writable: true, sent_since_input: 0 }
    }

    /// Returns whether no output is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.outbox.is_empty())
    }

    /// Returns what the queued output waits for.
    pub(super) fn wait(&self) -> OutputWait {
        match self.queue.as_ref().filter(|queue| !queue.outbox.is_empty()) {
            None => OutputWait::Nothing,
            Some(queue) => match queue.hold {
                Hold::Disk(_) => OutputWait::Disk,
                Hold::Unacknowledged(_) => OutputWait::Acknowledgement,
                Hold::Silence(_) => OutputWait::Pause,
                Hold::None if self.writable => OutputWait::Turn,
                Hold::None => OutputWait::Peer,
            },
        }
    }

    /// Returns the number of queued bytes.
    pub(super) fn unsent(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.outbox.unsent())
    }

    /// Returns whether the connection is in the middle of a large response.
    pub(super) fn is_large(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.outbox.is_large())
    }

    /// Returns the bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| size_of::<OutputQueue>() + queue.outbox.capacity())
    }

    /// Returns when the peer must have accepted some output, or `None` if none is queued. For a pause or a part
    /// of a file that is being read, returns when to check it.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        let queue = self.queue.as_ref().filter(|queue| !queue.outbox.is_empty())?;
        let patience = queue.progress + timeout;
        Some(match queue.hold {
            Hold::None => patience,
            Hold::Unacknowledged(again) | Hold::Disk(again) => patience.min(again),
            Hold::Silence(end) => end,
        })
    }

    /// Returns whether the output waits for the disk.
    pub(super) fn awaits_disk(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| matches!(queue.hold, Hold::Disk(_)))
    }

    /// Begins a turn: borrows the loop's `spare` queue, whose memory is already allocated, if none is queued.
    pub(super) fn begin(&mut self, spare: &mut Option<Box<OutputQueue>>, now: Instant) {
        if self.queue.is_none() {
            let mut queue = spare.take().unwrap_or_else(|| OutputQueue::new(now));
            queue.restart(now);
            self.queue = Some(queue);
        }
    }

    /// Ends a turn: returns the memory of an empty queue to the loop, and shrinks one that still has output.
    pub(super) fn end(&mut self, spare: &mut Option<Box<OutputQueue>>) {
        let Some(queue) = &mut self.queue else { return };
        if !queue.outbox.is_empty() {
            queue.outbox.shrink();
        } else if spare.as_ref().is_none_or(|spare| spare.outbox.capacity() < queue.outbox.capacity()) {
            *spare = self.queue.take();
        } else {
            self.queue = None;
        }
    }

    /// Returns the outbox, during a turn.
    #[inline]
    pub(super) fn outbox(&mut self) -> &mut Outbox {
        &mut self.queue().outbox
    }

    #[inline]
    fn queue(&mut self) -> &mut OutputQueue {
        // `begin` has set it.
        self.queue.get_or_insert_with(|| OutputQueue::new(Instant::ZERO))
    }

    /// Sends what the transport accepts, and subtracts the bytes from `budget`. Returns how the flush ended,
    /// and the number of bytes sent.
    pub(super) fn flush<T: Transport>(
        &mut self,
        transport: &mut T,
        budget: &mut usize,
        now: Instant,
    ) -> io::Result<(Flushed, usize)> {
        if !self.writable {
            let flushed = if self.is_empty() { Flushed::Everything } else { Flushed::Blocked };
            return Ok((flushed, 0));
        }
        let queue = self.queue();
        let before = *budget;
        let flushed = queue.flush(transport, budget, now)?;
        let moved = before - *budget;
        if flushed == Flushed::Blocked {
            self.writable = false;
        }
        self.sent_since_input = self.sent_since_input.saturating_add(moved as u32);
        Ok((flushed, moved))
    }

    /// Extends the expired write deadline if the peer has acknowledged output since the socket blocked.
    /// Returns whether the deadline was extended. A slow peer acknowledges output long before the socket's
    /// buffer, which holds megabytes, has room.
    pub(super) fn extend<T: Transport>(&mut self, transport: &T, now: Instant) -> bool {
        let queue = self.queue();
        match transport.unacknowledged() {
            Some(left) if left < queue.unacknowledged => {
                queue.unacknowledged = left;
                queue.progress = now;
                true
            }
            _ => false,
        }
    }

    /// Drops the unsent output, because the peer has stopped reading.
    pub(super) fn forget(&mut self) {
        self.queue().outbox = Outbox::default();
    }
}

impl OutputQueue {
    /// Sends what the transport accepts and the pauses allow, and subtracts the bytes from `budget`.
    fn flush<T: Transport>(
        &mut self,
        transport: &mut T,
        budget: &mut usize,
        now: Instant,
    ) -> io::Result<Flushed> {
        let cold = matches!(self.hold, Hold::Disk(_));
        if cold {
            self.hold = Hold::None;
        }
        let before = *budget;
        let mut flushed = self.send_all(transport, budget, cold)?;
        while flushed == Flushed::Paused && self.is_silence_over(transport, now) {
            self.outbox.end_pause();
            flushed = self.send_all(transport, budget, cold)?;
        }
        if *budget < before {
            self.progress = now;
        }
        match flushed {
            Flushed::AwaitingDisk => self.hold = Hold::Disk(now + DISK_RETRY),
            Flushed::Blocked => self.unacknowledged = transport.unacknowledged().unwrap_or(0),
            _ => {}
        }
        Ok(flushed)
    }

    /// Sends what the transport accepts, up to the next pause, and subtracts the bytes from `budget`. If a
    /// file shrinks, returns `UnexpectedEof`: padding would pass off wrong bytes as the announced body.
    #[inline]
    fn send_all<T: Transport>(
        &mut self,
        transport: &mut T,
        budget: &mut usize,
        cold: bool,
    ) -> io::Result<Flushed> {
        loop {
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            // Without budget nothing is sent, but a limit of 1 tells whether any output is left.
            let sent = match self.outbox.next(&mut pieces, (*budget).max(1)) {
                Next::Nothing => return Ok(Flushed::Everything),
                _ if *budget == 0 => return Ok(Flushed::OutOfBudget),
                Next::Pause => return Ok(Flushed::Paused),
                Next::Pieces(count, more) => transport.send(&pieces[..count], more).and_then(sent_some),
                Next::File(file, offset, count) => {
                    transport.send_file(file, offset, count, cold).and_then(file_sent)
                }
            };
            match sent {
                Ok(sent) => {
                    self.outbox.advance(sent);
                    *budget -= sent;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == ErrorKind::ResourceBusy => return Ok(Flushed::AwaitingDisk),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins or continues the pause at the front of the outbox. Returns whether it is over.
    fn is_silence_over<T: Transport>(&mut self, transport: &T, now: Instant) -> bool {
        match self.hold {
            Hold::Silence(end) if end <= now => {
                self.hold = Hold::None;
                self.progress = now;
                return true;
            }
            Hold::Silence(_) => {}
            Hold::None | Hold::Unacknowledged(_) | Hold::Disk(_) => {
                let begun = transport.unacknowledged().is_none_or(|left| left == 0);
                let silence = self.outbox.front_pause().unwrap_or_default();
                self.hold = if begun {
                    Hold::Silence(now + silence)
                } else {
                    Hold::Unacknowledged(now + ACKNOWLEDGED_RETRY)
                };
            }
        }
        false
    }
}

/// Turns a send of 0 bytes into an error, since it would be retried forever.
fn sent_some(count: usize) -> io::Result<usize> {
    if count == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(count) }
}

/// Turns a send of 0 bytes into `UnexpectedEof`: the file ends before its announced length.
fn file_sent(count: usize) -> io::Result<usize> {
    if count == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lent_queue_does_not_wait_for_what_its_last_connection_waited_for() {
        let (now, timeout) = (Instant::now(), Duration::from_secs(30));
        for hold in [Hold::Unacknowledged(now), Hold::Silence(now), Hold::Disk(now)] {
            let (mut spare, mut first, mut next) = (None, Output::new(), Output::new());
            first.begin(&mut spare, now);
            first.queue().hold = hold;
            first.outbox().write(|bytes| bytes.push(b'x'));
            first.forget();
            first.end(&mut spare);
            let later = now + timeout;
            next.begin(&mut spare, later);
            assert!(spare.is_none(), "the queue was not lent");
            next.outbox().write(|bytes| bytes.push(b'x'));
            assert_eq!((next.deadline(timeout), next.wait()), (Some(later + timeout), OutputWait::Turn));
        }
    }
}
