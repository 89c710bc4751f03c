//! A connection's input: what is known of the peer's output, and the bytes of it that the protocol
//! has not taken.

use std::io::{self, ErrorKind};

use super::network::Readiness;
use crate::limits::INBOX_MAX_BYTES;
use crate::transport::Transport;

/// The input side of a connection.
#[derive(Debug)]
pub struct Intake {
    stage: Stage,
    /// Whether a recv may bring something: an event said so, and none has come up short since.
    readable: bool,
    /// Whether the last recv came up short and was taken to have brought all there was.
    short: bool,
    /// Input that the protocol has not taken.
    inbox: Vec<u8>,
    /// Whether the protocol may want what is in the inbox now. It is false after it asked for more.
    offered_again: bool,
}

/// What is known of the peer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing: no event has come yet, and the first one may tell of input.
    Unseen,
    /// It may go on. A short recv has taken all there was.
    Open,
    /// An event said that its end has come: no further one will, so it must be read up to there.
    Ending,
    /// It was read to its end.
    Ended,
}

impl Intake {
    /// The input of a new connection.
    pub fn new() -> Intake {
        Intake {
            stage: Stage::Unseen,
            readable: false,
            short: false,
            inbox: Vec::new(),
            offered_again: false,
        }
    }

    /// Notes what an event said.
    pub fn note(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable;
        if readiness.ending && self.stage != Stage::Ended {
            self.stage = Stage::Ending;
        } else if self.stage == Stage::Unseen {
            self.stage = Stage::Open;
        }
    }

    /// Whether a recv may bring something.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether the peer's output was read to its end.
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Whether bytes are left that the protocol has not taken, or may be left.
    pub fn has_unread(&self) -> bool {
        self.readable || self.stage == Stage::Unseen || !self.inbox.is_empty()
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.inbox.capacity()
    }

    /// How many bytes the inbox has room for. The protocol refuses what fills it, so there is
    /// some; and a recv into none would look like the end of the input.
    pub fn room(&self) -> usize {
        INBOX_MAX_BYTES.saturating_sub(self.inbox.len()).max(1)
    }

    /// Receives into `buffer`. 0 is nothing now, or the end.
    pub fn recv<T: Transport>(&mut self, transport: &mut T, buffer: &mut [u8]) -> io::Result<usize> {
        match transport.recv(buffer) {
            Ok(0) => {
                self.stage = Stage::Ended;
                self.readable = false;
                Ok(0)
            }
            Ok(count) => {
                let drained = count < buffer.len() && transport.short_recv_drains();
                if drained && self.stage == Stage::Open {
                    self.readable = false;
                    self.short = true;
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

    /// Whether nothing older waits before what is received now.
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Keeps bytes that were received. `offer_again` says that the protocol may take some of what
    /// is kept without any more.
    pub fn keep(&mut self, bytes: &[u8], offer_again: bool) {
        self.inbox.extend_from_slice(bytes);
        self.set_offer(offer_again);
    }

    /// Notes whether the inbox may be offered again as it is. If not, more is waited for, and what
    /// a short recv was taken to mean is put to the test once: it is wrong behind TCP's urgent mark
    /// and where a descriptor was passed over a unix socket.
    fn set_offer(&mut self, offer_again: bool) {
        let unread = !self.inbox.is_empty();
        self.offered_again = offer_again && unread;
        self.readable |= unread && !offer_again && self.stage != Stage::Ended && self.short;
        self.short = false;
    }

    /// Takes the inbox out, if the protocol may take some of it now, to be [kept](Intake::put_back)
    /// again.
    pub fn take_offer(&mut self) -> Option<Vec<u8>> {
        self.offered_again.then(|| std::mem::take(&mut self.inbox))
    }

    /// Takes out what the protocol wanted more behind, when there is no more.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.inbox)
    }

    /// Puts the inbox back without the first `taken` bytes.
    pub fn put_back(&mut self, mut inbox: Vec<u8>, taken: usize, offer_again: bool) {
        inbox.drain(..taken);
        self.inbox = inbox;
        self.set_offer(offer_again);
    }

    /// Gives the inbox's memory back if it is empty: an idle connection owns none.
    pub fn release(&mut self) {
        if self.inbox.is_empty() {
            self.inbox = Vec::new();
        }
    }

    /// Drops what was received and not taken.
    pub fn forget(&mut self) {
        self.inbox = Vec::new();
        self.offered_again = false;
    }
}
