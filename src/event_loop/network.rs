//! The part of the system that the loop uses to accept connections and to register for events.

use std::fs::File;
use std::io;
use std::rc::Rc;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry};

use super::event::Token;
use crate::clock::Now;
use crate::peer::Peer;
use crate::transport::tls::{TlsAcceptor, TlsServer};
use crate::transport::{DatagramSocket, Socket, Stream, Transport, Udp};

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

    /// Reads the files again on which accepted connections depend.
    fn reload(&mut self, _now: Now) {}
}

/// The operating system's network.
pub struct SystemNetwork {
    registry: Registry,
    /// A descriptor to give up when no other is left.
    reserve: Option<File>,
    /// The certificates of the listeners with TLS.
    tls: Option<Rc<TlsServer>>,
}

/// A listening socket, and whether its connections use TLS.
pub struct SystemListener {
    /// The socket.
    pub socket: ListeningSocket,
    /// Turns the connections into TLS connections.
    pub tls: Option<Rc<TlsAcceptor>>,
}

/// A listening socket of the operating system.
pub enum ListeningSocket {
    /// TCP over IPv4, IPv6 or both.
    Tcp(TcpListener),
    /// A unix stream socket.
    Unix(UnixListener),
}

impl SystemNetwork {
    /// Creates a network whose events go to the poll of `registry`.
    pub fn new(registry: Registry, tls: Option<Rc<TlsServer>>) -> io::Result<SystemNetwork> {
        Ok(SystemNetwork { registry, reserve: Some(reserve()?), tls })
    }
}

fn reserve() -> io::Result<File> {
    File::open("/dev/null")
}

impl Network for SystemNetwork {
    type Listener = SystemListener;
    type Stream = Socket<Stream>;
    type Datagrams = Udp;

    fn accept(&mut self, listener: &mut SystemListener) -> io::Result<(Socket<Stream>, Peer)> {
        let (stream, peer) = match &listener.socket {
            ListeningSocket::Tcp(socket) => {
                let (stream, address) = socket.accept()?;
                inherit_no_delay(&stream);
                (Stream::Tcp(stream), address.into())
            }
            ListeningSocket::Unix(socket) => (Stream::Unix(socket.accept()?.0), Peer::Unix),
        };
        Ok((Socket::new(stream, listener.tls.as_ref()), peer))
    }

    fn accept_on_reserve(&mut self, listener: &mut SystemListener) -> io::Result<(Socket<Stream>, Peer)> {
        self.reserve = None;
        self.accept(listener)
    }

    fn refill_reserve(&mut self) {
        if self.reserve.is_none() {
            self.reserve = reserve().ok();
        }
    }

    fn register(&mut self, stream: &mut Socket<Stream>, token: Token) -> io::Result<()> {
        self.registry.register(stream, token.into(), Interest::READABLE | Interest::WRITABLE)
    }

    fn register_listener(&mut self, listener: &mut SystemListener, token: Token) -> io::Result<()> {
        match &mut listener.socket {
            ListeningSocket::Tcp(socket) => self.registry.register(socket, token.into(), Interest::READABLE),
            ListeningSocket::Unix(socket) => self.registry.register(socket, token.into(), Interest::READABLE),
        }
    }

    fn register_datagrams(&mut self, socket: &mut Udp, token: Token) -> io::Result<()> {
        self.registry.register(socket.source(), token.into(), Interest::READABLE)
    }

    fn reload(&mut self, now: Now) {
        if let Some(tls) = &self.tls {
            tls.reload(now);
        }
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
