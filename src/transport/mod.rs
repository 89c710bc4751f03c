//! Transports, which carry the bytes of connections and datagrams: sockets, or simulated peers in tests. TLS is a
//! transport around another one.

mod datagram;
#[cfg(all(target_os = "linux", not(evserve_portable)))]
mod page_cache;
mod plain;
mod queue;
mod socket;
pub mod tls;

use std::fs::File;
use std::io::{self, IoSlice};
use std::time::Duration;

use crate::clock::Now;
use crate::limits::TURN_HANDSHAKE_TIME;
pub use datagram::{DatagramSocket, Destination, Received, Udp};
pub use plain::Stream;
pub use queue::unacknowledged;
pub use socket::Socket;

/// A non-blocking, ordered byte stream. After `WouldBlock`, an event reports when the call can be repeated.
pub trait Transport {
    /// Returns whether the bytes are encrypted on their way. Such a connection begins with a
    /// [`handshake`](Transport::handshake).
    fn is_encrypted(&self) -> bool {
        false
    }

    /// Continues the handshake. After [`Handshake::Blocked`] an event reports when to continue.
    fn handshake(&mut self, _now: Now, _budget: &mut HandshakeBudget) -> io::Result<Handshake> {
        Ok(Handshake::Complete)
    }

    /// Receives into `buffer`. Returns 0 at EOF.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends the pieces in order and returns the number of bytes accepted. `more` says that further output
    /// follows immediately, so that a partial last packet may wait for it.
    fn send(&mut self, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize>;

    /// Sends up to `count` bytes of `file`, starting at `offset`. Returns 0 if the file ends there. Fails with
    /// `ResourceBusy` if the disk is still reading them; `cold` says that the last call for the file did.
    fn send_file(&mut self, file: &File, offset: u64, count: usize, cold: bool) -> io::Result<usize>;

    /// Shuts down our side (FIN). The peer may continue to send.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Returns the number of bytes that were sent but not acknowledged by the peer, if the system reports it.
    /// It decreases while a slow peer reads, long before the transport accepts more.
    fn unacknowledged(&self) -> Option<usize>;

    /// Returns whether a `recv` that did not fill its buffer has drained the socket, so that a new event
    /// reports the next byte. This holds for sockets under epoll and kqueue.
    fn short_recv_drains(&self) -> bool;

    /// Returns the number of bytes that the calls of `recv` since the last call took from the network beyond those
    /// that they returned.
    fn overhead(&mut self) -> usize {
        0
    }

    /// Tells the peer that all output was sent, before the connection is closed. Can be repeated.
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Returns the bytes of memory held in buffers.
    fn buffered(&self) -> usize {
        0
    }
}

/// How far a handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It is complete.
    Complete,
    /// It waits for the peer.
    Blocked,
    /// It continues in the next turn.
    Yielding,
}

/// The time that the handshakes of one turn may still take, by their known costs.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeBudget(Duration);

impl Default for HandshakeBudget {
    fn default() -> HandshakeBudget {
        HandshakeBudget(TURN_HANDSHAKE_TIME)
    }
}

impl HandshakeBudget {
    /// Returns whether any time is left.
    pub fn is_left(&self) -> bool {
        !self.0.is_zero()
    }

    /// Takes `cost`, of which a part has to be left. Returns whether it was.
    pub fn take(&mut self, cost: Duration) -> bool {
        let is_left = self.is_left();
        self.0 = self.0.saturating_sub(cost);
        is_left
    }
}
