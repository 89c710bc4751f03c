//! What the loop asks of the system beyond the connections it has: new ones, and events for them.

use std::fs::File;
use std::io;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry};

use super::event::Token;
use crate::peer::Peer;
use crate::transport::{DatagramSocket, Stream, Transport, Udp};

/// A network: the system's, or a simulated one.
pub trait Network {
    /// What is listened on.
    type Listener;
    /// What comes of it.
    type Stream: Transport;
    /// What datagrams come through.
    type Datagrams: DatagramSocket;

    /// Takes a connection out of the backlog.
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, Peer)>;

    /// As [`accept`](Network::accept) with no descriptor left: gives up the reserve for it.
    /// (accept(2) may report that there is none even when nobody waits.)
    fn accept_on_reserve(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, Peer)>;

    /// Takes a descriptor into reserve again, if one is free.
    fn refill_reserve(&mut self);

    /// Has the events of a stream reported, both interests, edge-triggered, for as long as it
    /// lives.
    fn register(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Has the events of a listener reported.
    fn register_listener(&mut self, listener: &mut Self::Listener, token: Token) -> io::Result<()>;

    /// Has the datagrams of a socket reported.
    fn register_datagrams(&mut self, socket: &mut Self::Datagrams, token: Token) -> io::Result<()>;
}

/// The system's network.
pub struct SystemNetwork {
    registry: Registry,
    /// A descriptor to give up when there is no other.
    reserve: Option<File>,
}

/// A listening socket of the system's.
pub enum SystemListener {
    /// TCP over IPv4, IPv6 or both.
    Tcp(TcpListener),
    /// A unix stream socket.
    Unix(UnixListener),
}

impl SystemNetwork {
    /// A network whose events go to the poll of `registry`.
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

/// Elsewhere it is set again. A connection that is gone already says so at its first recv.
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
fn inherit_no_delay(stream: &mio::net::TcpStream) {
    let _ = stream.set_nodelay(true);
}
