//! A connection to the server, over TCP or a Unix socket, plain or in TLS.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use evserve::transport::tls::{TlsClient, TlsClientStream};
use socket2::Socket;

/// A connection, whose reads and writes have a timeout.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Wire),
    Tls(Box<TlsClientStream<Wire>>),
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Wire(Socket);

/// The timeout of each read and write.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The timeout of each read and write of the TLS handshake. A server that speaks no TLS may wait for more input.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

impl Stream {
    pub(crate) fn new(connected: impl Into<OwnedFd>) -> io::Result<Stream> {
        let wire = Wire(Socket::from(connected.into()));
        wire.set_timeouts(TIMEOUT)?;
        Ok(Stream::Plain(wire))
    }

    /// Performs the TLS handshake with the server called `name`.
    pub(crate) fn secure(
        connected: impl Into<OwnedFd>,
        client: &TlsClient,
        name: &str,
    ) -> io::Result<Stream> {
        let wire = Wire(Socket::from(connected.into()));
        wire.set_timeouts(HANDSHAKE_TIMEOUT)?;
        let stream = client.connect(name, wire)?;
        stream.inner().set_timeouts(TIMEOUT)?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    pub(crate) fn set_read_timeout(&self, time: Duration) -> io::Result<()> {
        self.wire().0.set_read_timeout(Some(time))
    }

    fn wire(&self) -> &Wire {
        match self {
            Stream::Plain(wire) => wire,
            Stream::Tls(stream) => stream.inner(),
        }
    }
}

impl Drop for Stream {
    /// Tells the server that this is the end and that nothing was cut off. This does not wait for a server that has
    /// stopped reading.
    fn drop(&mut self) {
        if let Stream::Tls(stream) = self
            && stream.inner().0.set_nonblocking(true).is_ok()
        {
            stream.end();
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(wire) => wire.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(wire) => wire.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(wire) => wire.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire().0.as_fd()
    }
}

impl Wire {
    fn set_timeouts(&self, time: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(time))?;
        self.0.set_write_timeout(Some(time))
    }
}

impl Read for Wire {
    /// Repeats a read that a signal interrupts. Even without a signal handler, SIGSTOP and SIGCONT (Ctrl-Z and
    /// `fg`) interrupt a read that has a timeout (signal(7)).
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
