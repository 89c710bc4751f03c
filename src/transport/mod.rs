//! Transports, which carry the bytes of connections and datagrams: sockets, or simulated peers in tests. TLS
//! would be a transport around a socket.

mod datagram;
#[cfg(all(target_os = "linux", not(evserve_portable)))]
mod page_cache;
mod plain;
mod queue;

use std::fs::File;
use std::io::{self, IoSlice};

pub use datagram::{DatagramSocket, Destination, Received, Udp};
pub use plain::Stream;
pub use queue::unacknowledged;

/// A non-blocking, ordered byte stream. After `WouldBlock`, an event reports when the call can be repeated.
pub trait Transport {
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
}
