//! Datagram endpoints: each datagram is answered, or not, by itself.

use std::io::ErrorKind;

use crate::limits::{TURN_READ_BYTES, TURN_REQUESTS};
use crate::protocol::Kind;
use crate::services::Services;
use crate::transport::{DatagramSocket, Destination, Received};

/// A socket of datagrams in the loop.
#[derive(Debug)]
pub(super) struct Endpoint<D> {
    socket: D,
    kind: Kind,
    /// The memory of the answers.
    reply: Vec<u8>,
}

/// What is left after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiveStatus {
    /// Nothing: an event says when there is more.
    Drained,
    /// There may be more.
    MayHaveMore,
    /// Nothing but errors came, and more of them would.
    Failing,
}

impl<D: DatagramSocket> Endpoint<D> {
    /// An endpoint at which nobody has looked yet.
    pub(super) fn new(socket: D, kind: Kind) -> Endpoint<D> {
        Endpoint { socket, kind, reply: Vec::new() }
    }

    /// What its datagrams speak.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Answers what has come, within the bounds of a turn. Returns what is left.
    pub(super) fn drive(&mut self, scratch: &mut [u8], services: &mut Services) -> ReceiveStatus {
        let (mut bytes, mut failures) = (0, 0);
        for _ in 0..TURN_REQUESTS {
            match self.socket.recv(scratch) {
                Ok(received) => {
                    self.take(&scratch[..received.length], &received, services);
                    bytes += received.length;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return ReceiveStatus::Drained,
                // Most are what an earlier answer has run into, as ECONNREFUSED.
                Err(error) => {
                    log::debug!("cannot receive a datagram: {error}");
                    failures += 1;
                }
            }
            if bytes >= TURN_READ_BYTES {
                break;
            }
        }
        if failures == TURN_REQUESTS { ReceiveStatus::Failing } else { ReceiveStatus::MayHaveMore }
    }

    fn take(&mut self, datagram: &[u8], received: &Received, services: &mut Services) {
        services.core.statistics.datagrams.received += 1;
        if received.is_truncated {
            services.core.statistics.datagrams.truncated += 1;
            return;
        }
        self.reply.clear();
        // What was sent to everyone, everyone would answer.
        if received.destination == Destination::Everyone
            || !self.kind.on_datagram(datagram, received.peer, &mut self.reply, services)
        {
            return;
        }
        match self.socket.reply(&self.reply, received) {
            Ok(()) => services.core.statistics.datagrams.answered += 1,
            // Also when the socket takes no more: the answer is lost, as it may be on its way.
            Err(error) => {
                log::debug!("cannot answer {}: {error}", received.peer);
                services.core.statistics.datagrams.unsent += 1;
            }
        }
    }
}
