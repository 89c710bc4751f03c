//! Datagram endpoints. Datagrams are independent: each gets one reply or none.

use std::io::ErrorKind;

use crate::limits::{TURN_READ_BYTES, TURN_REQUESTS};
use crate::protocol::Kind;
use crate::services::Services;
use crate::transport::{DatagramSocket, Destination, Received};

/// A datagram socket in the loop.
#[derive(Debug)]
pub(super) struct Endpoint<D> {
    socket: D,
    kind: Kind,
    /// The buffer for replies.
    reply: Vec<u8>,
}

/// What is left in the socket after a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiveStatus {
    /// Nothing: an event reports the next datagram.
    Drained,
    /// Possibly more datagrams.
    MayHaveMore,
    /// Every receive of the turn has failed, and the next one probably would.
    Failing,
}

impl<D: DatagramSocket> Endpoint<D> {
    /// Creates an endpoint that was never drained.
    pub(super) fn new(socket: D, kind: Kind) -> Endpoint<D> {
        Endpoint { socket, kind, reply: Vec::new() }
    }

    /// Returns the protocol of the datagrams.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Receives datagrams and replies to them, within the budget of a turn. Returns what is left in the
    /// socket.
    pub(super) fn drive(&mut self, scratch: &mut [u8], services: &mut Services) -> ReceiveStatus {
        let (mut bytes, mut failures) = (0, 0);
        for _ in 0..TURN_REQUESTS {
            match self.socket.recv(scratch) {
                Ok(received) => {
                    self.take(&scratch[..received.length], &received, services);
                    bytes += received.length;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return ReceiveStatus::Drained,
                // Usually the error of an earlier reply, such as ECONNREFUSED.
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
        services.statistics.datagrams.received += 1;
        if received.is_truncated {
            services.statistics.datagrams.truncated += 1;
            return;
        }
        self.reply.clear();
        // Every server that receives a broadcast would reply to it.
        if received.destination == Destination::Everyone
            || !self.kind.on_datagram(datagram, received.peer, &mut self.reply, services)
        {
            return;
        }
        match self.socket.reply(&self.reply, received) {
            Ok(()) => services.statistics.datagrams.answered += 1,
            // Errors include WouldBlock. The reply is dropped, as the network might have dropped it.
            Err(error) => {
                log::debug!("cannot send a datagram to {}: {error}", received.peer);
                services.statistics.datagrams.unsent += 1;
            }
        }
    }
}
