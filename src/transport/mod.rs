//! What carries a connection's bytes: a socket, later TLS around one, in tests a simulated peer. And
//! what carries datagrams.

mod datagram;
mod plain;
mod queue;

use std::fs::File;
use std::io::{self, IoSlice};

pub use datagram::{DatagramSocket, Destination, Received, Udp};
pub use plain::Stream;
pub use queue::unacknowledged;

/// A non-blocking, ordered carrier of bytes. `WouldBlock` promises an event when it can go on.
pub trait Transport {
    /// Receives into `buffer`. 0 is the end of the peer's output.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends the pieces in order and returns how many bytes of them it took. `more` says that
    /// other output follows at once, so that a last packet that is not full may wait for it.
    fn send(&mut self, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize>;

    /// Sends up to `count` bytes of `file` from `offset` on. 0 means the file ends there.
    fn send_file(&mut self, file: &File, offset: u64, count: usize) -> io::Result<usize>;

    /// Ends our output (FIN), while the peer's may go on.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Bytes that were sent and that the peer has not acknowledged, where that can be told. They go
    /// down while a slow peer reads, long before the transport takes more.
    fn unacknowledged(&self) -> Option<usize>;

    /// Whether a `recv` that did not fill its buffer has taken all there was, so that the next
    /// byte comes with a new event. True of sockets under epoll and kqueue.
    fn short_recv_drains(&self) -> bool;
}
