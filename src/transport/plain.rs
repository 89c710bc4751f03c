//! TCP and unix stream sockets.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::{Transport, queue};
use crate::clock::calls::{Call, timed};
#[cfg(feature = "tls")]
pub(super) use system::read_file;

/// A connected socket. Every raw call goes through mio's `try_io`, because mio's poll(2) back end re-arms a
/// socket only after it saw a call block.
#[derive(Debug)]
pub enum Stream {
    /// A TCP socket.
    Tcp(TcpStream),
    /// A unix stream socket.
    Unix(UnixStream),
}

impl Stream {
    fn try_io<R>(&self, call: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>) -> io::Result<R> {
        match self {
            Stream::Tcp(stream) => stream.try_io(|| call(stream.as_fd())),
            Stream::Unix(stream) => stream.try_io(|| call(stream.as_fd())),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }
}

impl Transport for Stream {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    fn send(&mut self, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.try_io(|socket| system::send(socket, pieces, more))
    }

    fn send_file(&mut self, file: &File, offset: u64, count: usize, cold: bool) -> io::Result<usize> {
        self.try_io(|socket| timed(Call::SendFile, || system::send_file(socket, file, offset, count, cold)))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    fn unacknowledged(&self) -> Option<usize> {
        match self {
            Stream::Tcp(stream) => queue::unacknowledged(stream.as_fd()),
            Stream::Unix(stream) => queue::unacknowledged(stream.as_fd()),
        }
    }

    fn short_recv_drains(&self) -> bool {
        // mio's poll(2) back end reports the next event only after a call returned WouldBlock.
        !cfg!(mio_unsupported_force_poll_poll)
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}

/// Linux: sendfile(2), and `MSG_MORE` to keep a head and its file in one packet.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
mod system {
    use std::io::ErrorKind;

    use super::super::page_cache;
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendFlags, send as send_one, sendmsg};

    pub(super) fn send(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        Ok(match pieces {
            [piece] => send_one(socket, piece, flags)?,
            _ => sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), flags)?,
        })
    }

    pub(super) fn send_file(
        socket: BorrowedFd<'_>,
        file: &File,
        mut from: u64,
        count: usize,
        cold: bool,
    ) -> io::Result<usize> {
        // sendfile(2) would wait for the disk, and so would all connections.
        let count = page_cache::available(file, from, count, cold);
        if count == 0 {
            return Err(ErrorKind::ResourceBusy.into());
        }
        Ok(rustix::fs::sendfile(socket, file, Some(&mut from), count)?)
    }

    /// Reads from a file what is in memory. Fails with `ResourceBusy` while the disk is reading it.
    #[cfg(feature = "tls")]
    pub(in crate::transport) fn read_file(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        page_cache::read(file, offset, buffer)
    }
}

/// Elsewhere: writev(2), and a read and a write for files, because other systems' sendfile(2) differ in how
/// they report a short send. The Rust runtime ignores SIGPIPE.
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
mod system {
    use super::*;
    use std::os::unix::fs::FileExt;

    pub(super) fn send(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        Ok(rustix::io::writev(socket, pieces)?)
    }

    pub(super) fn send_file(
        socket: BorrowedFd<'_>,
        file: &File,
        from: u64,
        count: usize,
        _cold: bool,
    ) -> io::Result<usize> {
        let mut buffer = [0; 32 * 1024];
        let limit = buffer.len().min(count);
        let length = file.read_at(&mut buffer[..limit], from)?;
        if length == 0 {
            return Ok(0);
        }
        Ok(rustix::io::write(socket, &buffer[..length])?)
    }

    /// Reads from a file.
    #[cfg(feature = "tls")]
    pub(in crate::transport) fn read_file(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        file.read_at(buffer, offset)
    }
}
