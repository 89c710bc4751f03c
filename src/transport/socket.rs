//! A connection's transport: plain, or in TLS.

use std::fs::File;
use std::io::{self, IoSlice};
use std::rc::Rc;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::tls::TlsAcceptor;
#[cfg(feature = "tls")]
use super::tls::TlsStream;
use super::{Handshake, HandshakeBudget, Transport};
use crate::clock::Now;

/// A connection over `T`.
#[derive(Debug)]
pub enum Socket<T> {
    /// The bytes of the protocol.
    Plain(T),
    /// TLS records. They are boxed to keep plain connections small.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<T>>),
}

impl<T: Transport> Socket<T> {
    /// Creates the transport of a connection that was accepted.
    pub fn new(inner: T, tls: Option<&Rc<TlsAcceptor>>) -> Socket<T> {
        match tls {
            #[cfg(feature = "tls")]
            Some(acceptor) => Socket::Tls(Box::new(TlsStream::new(inner, Rc::clone(acceptor)))),
            #[cfg(not(feature = "tls"))]
            Some(acceptor) => match **acceptor {},
            None => Socket::Plain(inner),
        }
    }

    fn inner_mut(&mut self) -> &mut T {
        match self {
            Socket::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Socket::Tls(stream) => stream.inner_mut(),
        }
    }
}

macro_rules! dispatch {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Socket::Plain($stream) => $call,
            #[cfg(feature = "tls")]
            Socket::Tls($stream) => $call,
        }
    };
}

impl<T: Transport> Transport for Socket<T> {
    #[inline]
    fn is_encrypted(&self) -> bool {
        dispatch!(self, stream => stream.is_encrypted())
    }

    #[inline]
    fn handshake(&mut self, now: Now, budget: &mut HandshakeBudget) -> io::Result<Handshake> {
        dispatch!(self, stream => stream.handshake(now, budget))
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        dispatch!(self, stream => stream.recv(buffer))
    }

    #[inline]
    fn send(&mut self, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        dispatch!(self, stream => stream.send(pieces, more))
    }

    #[inline]
    fn send_file(&mut self, file: &File, offset: u64, count: usize, cold: bool) -> io::Result<usize> {
        dispatch!(self, stream => stream.send_file(file, offset, count, cold))
    }

    #[inline]
    fn shutdown_write(&mut self) -> io::Result<()> {
        dispatch!(self, stream => stream.shutdown_write())
    }

    #[inline]
    fn unacknowledged(&self) -> Option<usize> {
        dispatch!(self, stream => stream.unacknowledged())
    }

    #[inline]
    fn short_recv_drains(&self) -> bool {
        dispatch!(self, stream => stream.short_recv_drains())
    }

    #[inline]
    fn overhead(&mut self) -> usize {
        dispatch!(self, stream => stream.overhead())
    }

    #[inline]
    fn end(&mut self) -> io::Result<()> {
        dispatch!(self, stream => stream.end())
    }

    #[inline]
    fn buffered(&self) -> usize {
        dispatch!(self, stream => stream.buffered())
    }
}

impl<T: Transport + Source> Source for Socket<T> {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.inner_mut().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.inner_mut().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.inner_mut().deregister(registry)
    }
}
