//! A connection's input: what is known of the peer's output, and the bytes of it that the protocol
//! has not taken.

use std::io::{self, ErrorKind};

use super::event::Readiness;
use crate::limits::INBOX_MAX_BYTES;
use crate::transport::Transport;

/// The input side of a connection.
#[derive(Debug)]
pub(super) struct Input {
    stage: Stage,
    socket: Socket,
    /// Bytes that the protocol has not taken.
    unread: Vec<u8>,
    offer: Offer,
}

/// What is known of the peer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing: no event has come yet, and the first one may tell of input.
    Unseen,
    /// It may continue. A short recv has taken all there was.
    Open,
    /// An event said that its end has come: no further one will, so it must be read up to there.
    Ending,
    /// It was read to its end.
    Ended,
}

/// What a recv may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    /// Bytes: an event said so, and no recv has come up short since.
    Readable,
    /// Nothing, as the last recv came up short and was taken to have brought all there was.
    Drained,
    /// Nothing, as the last recv said itself.
    Blocked,
}

/// When the protocol may take some of the unread bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// Now.
    Now,
    /// When there are more: it has asked for them.
    WithMore,
}

/// What a recv has brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecvOutcome {
    /// So many bytes; 0 is nothing now, or the end.
    pub(super) count: usize,
    /// Whether that was all there was: more comes with an event.
    pub(super) is_drained: bool,
}

impl Input {
    /// The input of a new connection.
    pub(super) fn new() -> Input {
        Input { stage: Stage::Unseen, socket: Socket::Blocked, unread: Vec::new(), offer: Offer::WithMore }
    }

    /// Takes what an event says.
    pub(super) fn set_readiness(&mut self, readiness: Readiness) {
        if readiness.readable {
            self.socket = Socket::Readable;
        }
        if readiness.ending && self.stage != Stage::Ended {
            self.stage = Stage::Ending;
        } else if self.stage == Stage::Unseen {
            self.stage = Stage::Open;
        }
    }

    /// Whether a recv may bring something.
    pub(super) fn is_readable(&self) -> bool {
        self.socket == Socket::Readable
    }

    /// Whether the peer's output was read to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Whether bytes are left that the protocol has not taken, or may be left.
    pub(super) fn has_unread(&self) -> bool {
        self.is_readable() || self.stage == Stage::Unseen || !self.unread.is_empty()
    }

    /// Bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        self.unread.capacity()
    }

    /// How many more unread bytes may be kept. The protocol refuses input that fills all of it, so there
    /// is some room; and a recv into none would look like the end of the input.
    fn room(&self) -> usize {
        INBOX_MAX_BYTES.saturating_sub(self.unread.len()).max(1)
    }

    /// Receives into `buffer`, no more than may be kept and `sure` bytes that the protocol is sure to take.
    pub(super) fn recv<T: Transport>(
        &mut self,
        transport: &mut T,
        buffer: &mut [u8],
        sure: usize,
    ) -> io::Result<RecvOutcome> {
        let limit = buffer.len().min(self.room().saturating_add(sure));
        debug_assert!(limit > 0, "a recv into no room looks like the end");
        let count = match transport.recv(&mut buffer[..limit]) {
            Ok(0) => {
                self.stage = Stage::Ended;
                self.socket = Socket::Blocked;
                0
            }
            Ok(count) => {
                if count < limit && self.stage == Stage::Open && transport.short_recv_drains() {
                    self.socket = Socket::Drained;
                }
                count
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.socket = Socket::Blocked;
                0
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(RecvOutcome { count, is_drained: self.socket == Socket::Drained })
    }

    /// Whether no older bytes wait before those that are received now.
    pub(super) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// Keeps bytes that were received. `offer_again` says that the protocol may take some of the unread
    /// bytes without any more.
    pub(super) fn keep(&mut self, bytes: &[u8], offer_again: bool) {
        self.unread.extend_from_slice(bytes);
        self.set_offer(offer_again);
    }

    /// Decides when the unread bytes are offered again. If more is waited for, the meaning of a short
    /// recv is put to the test once: it is wrong behind TCP's urgent mark and where a descriptor was
    /// passed over a unix socket.
    fn set_offer(&mut self, offer_again: bool) {
        let has_unread = !self.unread.is_empty();
        self.offer = if offer_again && has_unread { Offer::Now } else { Offer::WithMore };
        if self.socket == Socket::Drained {
            let test = has_unread && !offer_again && self.stage != Stage::Ended;
            self.socket = if test { Socket::Readable } else { Socket::Blocked };
        }
    }

    /// Takes the unread bytes out, if the protocol may take some of them now, to be
    /// [restored](Input::restore_unread).
    pub(super) fn take_unread(&mut self) -> Option<Vec<u8>> {
        (self.offer == Offer::Now).then(|| std::mem::take(&mut self.unread))
    }

    /// Takes out the bytes behind which the protocol wanted more, when there is no more.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Puts the unread bytes back without the first `taken`.
    pub(super) fn restore_unread(&mut self, mut unread: Vec<u8>, taken: usize, offer_again: bool) {
        unread.drain(..taken);
        self.unread = unread;
        self.set_offer(offer_again);
    }

    /// Gives the memory back if no byte is unread: an idle connection owns none.
    pub(super) fn release(&mut self) {
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
    }

    /// Drops the unread bytes.
    pub(super) fn forget(&mut self) {
        self.unread = Vec::new();
        self.offer = Offer::WithMore;
    }
}
