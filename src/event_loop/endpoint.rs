//! Datagram endpoints: each datagram is answered, or not, by itself.

use std::io::ErrorKind;

use crate::limits::{TURN_READ_BYTES, TURN_REQUESTS};
use crate::protocol::Kind;
use crate::services::Services;
use crate::transport::{Datagrams, Received};

/// A socket of datagrams in the loop.
#[derive(Debug)]
pub struct Endpoint<D> {
    socket: D,
    kind: Kind,
    /// The memory of the answers.
    reply: Vec<u8>,
}

impl<D: Datagrams> Endpoint<D> {
    /// An endpoint at which nobody has looked yet.
    pub fn new(socket: D, kind: Kind) -> Endpoint<D> {
        Endpoint { socket, kind, reply: Vec::new() }
    }

    /// What its datagrams speak.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Answers what has come, within the bounds of a turn. Returns whether there may be more.
    pub fn drive(&mut self, scratch: &mut [u8], cx: &mut Services) -> bool {
        let mut bytes = 0;
        for _ in 0..TURN_REQUESTS {
            match self.socket.recv(scratch) {
                Ok(received) => {
                    self.take(&scratch[..received.length], &received, cx);
                    bytes += received.length;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // What an earlier answer has run into, as ECONNREFUSED.
                Err(error) => log::debug!("cannot receive a datagram: {error}"),
            }
            if bytes >= TURN_READ_BYTES {
                break;
            }
        }
        true
    }

    fn take(&mut self, datagram: &[u8], received: &Received, cx: &mut Services) {
        cx.statistics.datagrams.received += 1;
        if received.is_truncated {
            cx.statistics.datagrams.truncated += 1;
            return;
        }
        self.reply.clear();
        self.kind.on_datagram(datagram, received.peer, &mut self.reply, cx);
        if self.reply.is_empty() {
            return;
        }
        match self.socket.answer(&self.reply, received) {
            Ok(()) => cx.statistics.datagrams.answered += 1,
            // Also when the socket takes no more: the answer is lost, as it may be on its way.
            Err(error) => {
                log::debug!("cannot answer {}: {error}", received.peer);
                cx.statistics.datagrams.unsent += 1;
            }
        }
    }
}
