//! A connection's input: the state of the peer's output, and received bytes that the protocol has not
//! consumed.

use std::io::{self, ErrorKind};

use super::parking::{Parked, Parking};
use crate::event_loop::event::Readiness;
use crate::limits::INBOX_MAX_BYTES;
use crate::transport::Transport;

/// The input side of a connection.
#[derive(Debug)]
pub(super) struct Input {
    stage: Stage,
    socket: RecvState,
    /// Received bytes that the protocol has not consumed.
    unread: Unread,
    offer: Offer,
}

/// Unread bytes.
#[derive(Debug)]
enum Unread {
    Bytes(Vec<u8>),
    /// Many bytes, until the protocol is offered them again.
    Parked(Parked),
}

/// What is known about the peer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing: no event was reported, and the first one may report input.
    Unseen,
    /// The peer may send more. A short recv means that the socket is drained.
    Open,
    /// An event reported EOF or an error. No further event follows, so the socket must be read to its end.
    Ending,
    /// EOF was read.
    Ended,
}

/// What the next recv may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecvState {
    /// Bytes: an event reported input, and no recv has come up short since.
    Readable,
    /// Nothing: the last recv came up short, which is taken to mean that it drained the socket.
    Drained,
    /// Nothing: no input was reported, or the last recv found none.
    Blocked,
}

/// When to offer the unread bytes to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// Immediately.
    Now,
    /// After further bytes were received: the protocol has asked for more.
    WithMore,
}

/// The result of a recv.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecvOutcome {
    /// The number of bytes received; 0 means no data yet, or EOF.
    pub(super) count: usize,
    /// Whether the recv is taken to have drained the socket, so that an event reports further input.
    pub(super) is_drained: bool,
}

impl Input {
    /// Creates the input of a new connection.
    pub(super) fn new() -> Input {
        Input {
            stage: Stage::Unseen,
            socket: RecvState::Blocked,
            unread: Unread::Bytes(Vec::new()),
            offer: Offer::WithMore,
        }
    }

    /// Records the readiness that an event reports.
    pub(super) fn set_readiness(&mut self, readiness: Readiness) {
        if readiness.readable {
            self.socket = RecvState::Readable;
        }
        if readiness.ending && self.stage != Stage::Ended {
            self.stage = Stage::Ending;
        } else if self.stage == Stage::Unseen {
            self.stage = Stage::Open;
        }
    }

    /// Notes that a recv may return input that no event announces.
    pub(super) fn expect_more(&mut self) {
        self.socket = RecvState::Readable;
    }

    /// Returns whether a recv may return bytes or EOF.
    pub(super) fn is_readable(&self) -> bool {
        self.socket == RecvState::Readable
    }

    /// Returns whether EOF was read.
    pub(super) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Returns whether there is, or may be, input that the protocol has not consumed.
    pub(super) fn has_unread(&self) -> bool {
        self.is_readable() || self.stage == Stage::Unseen || !self.is_empty()
    }

    /// Returns whether the protocol has seen all input that was received, and waits for more.
    pub(super) fn awaits_peer(&self) -> bool {
        !self.is_readable() && self.stage != Stage::Unseen && self.offer == Offer::WithMore
    }

    /// Returns the bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        match &self.unread {
            Unread::Bytes(bytes) => bytes.capacity(),
            Unread::Parked(parked) => parked.capacity(),
        }
    }

    /// Returns how many more unread bytes may be kept. The protocol rejects input that fills the limit, so
    /// there is room left; the minimum of 1 guards against a recv into an empty buffer, which would look like
    /// EOF.
    fn room(&self) -> usize {
        INBOX_MAX_BYTES.saturating_sub(self.unread_bytes()).max(1)
    }

    /// Returns the number of received bytes that the protocol has not consumed.
    pub(super) fn unread_bytes(&self) -> usize {
        match &self.unread {
            Unread::Bytes(bytes) => bytes.len(),
            Unread::Parked(parked) => parked.len(),
        }
    }

    /// Receives into `buffer`: at most the number of bytes that may be kept, plus `sure` bytes that the
    /// protocol is certain to consume. Inlined always: with TLS the call is large, and a plain recv is small.
    #[inline(always)]
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
                self.socket = RecvState::Blocked;
                0
            }
            Ok(count) => {
                if count < limit && self.stage == Stage::Open && transport.short_recv_drains() {
                    self.socket = RecvState::Drained;
                }
                count
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.socket = RecvState::Blocked;
                0
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(RecvOutcome { count, is_drained: self.socket == RecvState::Drained })
    }

    /// Returns whether no older bytes are unread.
    pub(super) fn is_empty(&self) -> bool {
        self.unread_bytes() == 0
    }

    /// Keeps received bytes. `offer_again` says that the protocol may consume unread bytes before more are
    /// received.
    pub(super) fn keep(&mut self, bytes: &[u8], offer_again: bool) {
        let mut unread = self.take_rest();
        unread.extend_from_slice(bytes);
        self.unread = Unread::Bytes(unread);
        self.set_offer(offer_again);
    }

    /// Decides when the unread bytes are offered again. If the protocol waits for more, one further recv
    /// tests whether the short recv really drained the socket: a recv also comes up short at TCP's urgent
    /// mark, and where a descriptor was passed over a unix socket.
    fn set_offer(&mut self, offer_again: bool) {
        let has_unread = !self.is_empty();
        self.offer = if offer_again && has_unread { Offer::Now } else { Offer::WithMore };
        if self.socket == RecvState::Drained {
            let test = has_unread && !offer_again && self.stage != Stage::Ended;
            self.socket = if test { RecvState::Readable } else { RecvState::Blocked };
        }
    }

    /// Takes out the unread bytes if the protocol may consume some of them now. The caller
    /// [restores](Input::restore_unread) the rest.
    pub(super) fn take_unread(&mut self) -> Option<Vec<u8>> {
        (self.offer == Offer::Now).then(|| self.take_rest())
    }

    /// Takes out all unread bytes, as at EOF.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.unread, Unread::Bytes(Vec::new())) {
            Unread::Bytes(bytes) => bytes,
            Unread::Parked(parked) => parked.copy(),
        }
    }

    /// Puts the unread bytes back, without the first `taken`.
    pub(super) fn restore_unread(&mut self, mut unread: Vec<u8>, taken: usize, offer_again: bool) {
        unread.drain(..taken);
        self.unread = Unread::Bytes(unread);
        self.set_offer(offer_again);
    }

    /// Ends a turn: parks the unread bytes, or frees the buffer if it is empty. An idle connection owns none.
    pub(super) fn end(&mut self, parking: &Parking) {
        let Unread::Bytes(bytes) = &mut self.unread else { return };
        if bytes.is_empty() {
            *bytes = Vec::new();
        } else if let Some(parked) = parking.park(bytes) {
            self.unread = Unread::Parked(parked);
        }
    }

    /// Drops the unread bytes.
    pub(super) fn forget(&mut self) {
        self.unread = Unread::Bytes(Vec::new());
        self.offer = Offer::WithMore;
    }
}
