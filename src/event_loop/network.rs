//! The part of the system that the loop uses to accept connections and to register for events.

use std::fs::File;
use std::io;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry};

use super::event::Token;
use crate::peer::Peer;
use crate::transport::{DatagramSocket, Stream, Transport, Udp};

/// A network: the operating system's, or a simulated one.
pub trait Network {
    /// A listening socket.
    type Listener;
    /// An accepted connection.
    type Stream: Transport;
    /// A datagram socket.
    type Datagrams: DatagramSocket;

    /// Accepts a connection from the backlog of `listener`.
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, Peer)>;

    /// Like [`accept`](Network::accept), but first gives up the reserved descriptor, because no other is
    /// left. (accept(2) may report a lack of descriptors even if the backlog is empty.)
    fn accept_on_reserve(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, Peer)>;

    /// Reserves a descriptor again, if one is free.
    fn refill_reserve(&mut self);

    /// Registers a stream for read and write events, edge-triggered, for as long as it lives.
    fn register(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Registers a listener for events.
    fn register_listener(&mut self, listener: &mut Self::Listener, token: Token) -> io::Result<()>;

    /// Registers a datagram socket for events.
    fn register_datagrams(&mut self, socket: &mut Self::Datagrams, token: Token) -> io::Result<()>;
}

/// The operating system's network.
pub struct SystemNetwork {
    registry: Registry,
    /// A descriptor to give up when no other is left.
    reserve: Option<File>,
}

/// A listening socket of the operating system.
pub enum SystemListener {
    /// TCP over IPv4, IPv6 or both.
    Tcp(TcpListener),
    /// A unix stream socket.
    Unix(UnixListener),
}

impl SystemNetwork {
    /// Creates a network whose events go to the poll of `registry`.
    pub fn new(registry: Registry) -> io::Result<SystemNetwork> {
        Ok(SystemNetwork { registry, reserve: Some(reserve()?) })
    }
}

fn reserve() -> io::Result<File> {
    File::open("/dev/null")
}

impl Network for SystemNetwork {
    type Listener = SystemListener;
    type Stream = Stream;
    type Datagrams = Udp;

    fn accept(&mut self, listener: &mut SystemListener) -> io::Result<(Stream, Peer)> {
        match listener {
            SystemListener::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                inherit_no_delay(&stream);
                Ok((Stream::Tcp(stream), Peer::Inet(address)))
            }
            SystemListener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }

    fn accept_on_reserve(&mut self, listener: &mut SystemListener) -> io::Result<(Stream, Peer)> {
        self.reserve = None;
        self.accept(listener)
    }

    fn refill_reserve(&mut self) {
        if self.reserve.is_none() {
            self.reserve = reserve().ok();
        }
    }

    fn register(&mut self, stream: &mut Stream, token: Token) -> io::Result<()> {
        self.registry.register(stream, token.into(), Interest::READABLE | Interest::WRITABLE)
    }

    fn register_listener(&mut self, listener: &mut SystemListener, token: Token) -> io::Result<()> {
        match listener {
            SystemListener::Tcp(listener) => {
                self.registry.register(listener, token.into(), Interest::READABLE)
            }
            SystemListener::Unix(listener) => {
                self.registry.register(listener, token.into(), Interest::READABLE)
            }
        }
    }

    fn register_datagrams(&mut self, socket: &mut Udp, token: Token) -> io::Result<()> {
        self.registry.register(socket.source(), token.into(), Interest::READABLE)
    }
}

/// Linux: a connection inherits TCP_NODELAY from its listener.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
fn inherit_no_delay(_stream: &mio::net::TcpStream) {}

/// Elsewhere: sets TCP_NODELAY on each connection. If the connection is already gone, its first recv reports
/// that.
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
fn inherit_no_delay(stream: &mio::net::TcpStream) {
    let _ = stream.set_nodelay(true);
}
