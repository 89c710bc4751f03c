//! What carries a connection's bytes: a socket, later TLS around one, in tests a simulated peer. And
//! what carries datagrams.

mod datagrams;
mod queue;
mod stream;

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};

use crate::outbox::{Outbox, PIECES_MAX};
pub use datagrams::{DatagramSocket, Destination, Received, Udp};
pub use queue::unacknowledged;
pub use stream::Stream;

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

/// How a [`flush`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left to send.
    Everything,
    /// The transport takes no more for now; it will say when.
    Blocked,
    /// The budget is used up.
    OutOfBudget,
    /// A silence comes next.
    Paused,
}

/// Sends what it can of `outbox` and takes the bytes from `budget`. A file that ends before its
/// promised length is `UnexpectedEof`: nobody may pad it.
#[inline]
pub fn flush<T: Transport>(
    outbox: &mut Outbox,
    transport: &mut T,
    budget: &mut usize,
) -> io::Result<Flushed> {
    while !outbox.is_empty() {
        if *budget == 0 {
            return Ok(Flushed::OutOfBudget);
        }
        match send_front(outbox, transport, *budget) {
            Ok(None) => return Ok(Flushed::Paused),
            Ok(Some(sent)) => {
                outbox.advance(sent);
                *budget -= sent;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Flushed::Everything)
}

/// Sends what comes first, or nothing if that is a silence.
fn send_front<T: Transport>(outbox: &Outbox, transport: &mut T, limit: usize) -> io::Result<Option<usize>> {
    if let Some((file, range)) = outbox.front_file() {
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(limit);
        return match transport.send_file(file, range.start, count)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            sent => Ok(Some(sent)),
        };
    }
    let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
    let (count, more) = outbox.gather(&mut pieces, limit);
    if count == 0 {
        return Ok(None);
    }
    match transport.send(&pieces[..count], more)? {
        0 => Err(ErrorKind::WriteZero.into()),
        sent => Ok(Some(sent)),
    }
}
