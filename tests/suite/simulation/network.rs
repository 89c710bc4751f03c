//! The simulated network: wires whose calls fail or fall short at random, and a backlog to accept from. To
//! add a failure, return it from `Wire::call` or `Wire::write`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use evserve::event_loop::{Network, Token};
use evserve::peer::Peer;
use evserve::transport::tls::TlsAcceptor;
use evserve::transport::{Socket, Transport};

use super::datagrams::SimSocket;

/// A simulated connection between a `SimStream` of the server and a `SimPeer`.
pub struct Wire {
    /// The address of the peer.
    pub address: IpAddr,
    pub random: fastrand::Rng,
    /// The probability that a call fails or falls short, in percent.
    pub faults: u8,
    pub token: Option<Token>,
    /// Whether a short recv means that nothing is left, as with sockets under epoll.
    pub short_recv_drains: bool,
    /// The bytes that the peer has sent and the server has not received.
    pub arrived: VecDeque<u8>,
    /// Whether the peer has shut down its output.
    pub ended: bool,
    pub reset: bool,
    /// The number of bytes that the network accepts until the peer reads.
    pub window: usize,
    /// Whether a send of the server has returned `WouldBlock`, so that it waits for an event.
    pub blocked: bool,
    /// The bytes that the peer has received.
    pub received: Vec<u8>,
    /// Whether the server has shut down its output or closed.
    pub server_ended: bool,
    pub closed: bool,
    /// The number of sent bytes that the system reports as not acknowledged.
    pub unacknowledged: usize,
    /// The number of bytes that the server has received in this turn.
    pub read_in_turn: usize,
    /// The number of bytes that the server has sent in this turn.
    pub written_in_turn: usize,
}

pub struct SimStream(Rc<RefCell<Wire>>);

impl Wire {
    pub fn fails(&mut self) -> bool {
        self.random.u8(..100) < self.faults
    }

    /// Fails as any system call may: interrupted, or with a reset.
    pub fn call(&mut self) -> io::Result<()> {
        if self.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.fails() { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.server_ended, "output behind its end");
        let mut count = bytes.len().min(self.window);
        if count == 0 {
            self.blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.fails() {
            count = self.random.usize(1..=count);
        }
        self.window -= count;
        self.written_in_turn += count;
        self.received.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}

impl Transport for SimStream {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wire = &mut *self.0.borrow_mut();
        wire.call()?;
        if wire.arrived.is_empty() {
            return if wire.ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let mut count = buffer.len().min(wire.arrived.len());
        if !wire.short_recv_drains && wire.fails() {
            count = wire.random.usize(1..=count);
        }
        wire.read_in_turn += count;
        wire.arrived.read_exact(&mut buffer[..count])?;
        Ok(count)
    }

    fn send(&mut self, pieces: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        let wire = &mut *self.0.borrow_mut();
        wire.call()?;
        let mut bytes = Vec::new();
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        assert!(!bytes.is_empty(), "an empty send");
        wire.write(&bytes)
    }

    fn send_file(&mut self, file: &File, offset: u64, count: usize, _: bool) -> io::Result<usize> {
        let wire = &mut *self.0.borrow_mut();
        wire.call()?;
        // The disk is still reading this part of the file.
        if wire.fails() {
            return Err(ErrorKind::ResourceBusy.into());
        }
        let mut bytes = vec![0; count];
        let length = file.read_at(&mut bytes, offset)?;
        if length == 0 { Ok(0) } else { wire.write(&bytes[..length]) }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.borrow_mut().server_ended = true;
        Ok(())
    }

    fn unacknowledged(&self) -> Option<usize> {
        Some(self.0.borrow().unacknowledged)
    }

    fn short_recv_drains(&self) -> bool {
        self.0.borrow().short_recv_drains
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let wire = &mut *self.0.borrow_mut();
        wire.server_ended = true;
        wire.closed = true;
    }
}

/// The connections that wait to be accepted.
#[derive(Default)]
pub struct Backlog {
    pub waiting: VecDeque<Rc<RefCell<Wire>>>,
    pub accepted: u16,
    /// The errors that the next calls of accept return.
    pub failures: VecDeque<i32>,
    /// The number of accepts that used the reserve descriptor.
    pub reserve_used: usize,
}

/// A network, and whether its connections use TLS.
#[derive(Default)]
pub struct SimNetwork(pub Rc<RefCell<Backlog>>, pub Option<Rc<TlsAcceptor>>);

impl Network for SimNetwork {
    type Listener = ();
    type Stream = Socket<SimStream>;
    type Datagrams = SimSocket;

    fn accept(&mut self, _: &mut ()) -> io::Result<(Socket<SimStream>, Peer)> {
        let backlog = &mut *self.0.borrow_mut();
        if let Some(errno) = backlog.failures.pop_front() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let wire = backlog.waiting.pop_front().ok_or(ErrorKind::WouldBlock)?;
        backlog.accepted += 1;
        let address = wire.borrow().address;
        let stream = Socket::new(SimStream(wire), self.1.as_ref());
        Ok((stream, Peer::from(SocketAddr::from((address, backlog.accepted)))))
    }

    fn accept_on_reserve(&mut self, listener: &mut ()) -> io::Result<(Socket<SimStream>, Peer)> {
        self.0.borrow_mut().reserve_used += 1;
        self.accept(listener)
    }

    fn refill_reserve(&mut self) {}

    fn register(&mut self, stream: &mut Socket<SimStream>, token: Token) -> io::Result<()> {
        let stream = match stream {
            Socket::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Socket::Tls(stream) => stream.inner_mut(),
        };
        stream.0.borrow_mut().token = Some(token);
        Ok(())
    }

    fn register_listener(&mut self, _: &mut (), _: Token) -> io::Result<()> {
        Ok(())
    }

    fn register_datagrams(&mut self, _: &mut SimSocket, _: Token) -> io::Result<()> {
        Ok(())
    }
}
