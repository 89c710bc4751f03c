//! A connection to the server, over TCP or a Unix socket.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use socket2::Socket;

/// A connected socket, whose reads and writes have a timeout.
#[derive(Debug)]
pub(crate) struct Stream(Socket);

/// The timeout of each read and write.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

impl Stream {
    pub(crate) fn new(connected: impl Into<OwnedFd>) -> io::Result<Stream> {
        let stream = Stream(Socket::from(connected.into()));
        stream.set_read_timeout(TIMEOUT)?;
        stream.0.set_write_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }

    pub(crate) fn set_read_timeout(&self, time: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(time))
    }

    pub(crate) fn try_clone(&self) -> io::Result<Stream> {
        self.0.try_clone().map(Stream)
    }
}

impl Read for Stream {
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

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
