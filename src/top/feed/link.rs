//! A connection to the server that carries one request at a time and never blocks.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::PollFlags;
use socket2::{Domain, SockAddr, Socket, Type};

use super::answer::{Answer, BadAnswer};

/// A longer body is not read. A table has a few hundred bytes for each connection.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The most bytes that one call receives, so that a fast server does not keep the display from being drawn.
const RECEIVED_BYTES_MAX: usize = 1 << 20;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum LinkError {
    Failed(io::Error),
    /// The connection ended before the answer did.
    Ended,
    Malformed(BadAnswer),
}

/// A connection with a request and its answer.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    candidates: Vec<SockAddr>,
    /// The index of the next candidate, if connecting fails.
    next: usize,
    is_connected: bool,
    /// Whether an earlier request was answered on this connection. The server may have closed it since then.
    is_reused: bool,
    request: Vec<u8>,
    sent: usize,
    pub(super) answer: Answer,
}

impl Link {
    /// Begins to connect to the first candidate, and will send a GET.
    pub(super) fn open(candidates: &[SockAddr], host: &str, path: &str) -> Result<Link, LinkError> {
        let (socket, next) = connect(candidates, 0)?;
        Ok(Link {
            socket,
            candidates: candidates.to_vec(),
            next,
            is_connected: false,
            is_reused: false,
            request: request(host, path),
            sent: 0,
            answer: Answer::new(),
        })
    }

    /// Uses the connection for another GET.
    pub(super) fn reuse(&mut self, host: &str, path: &str) {
        (self.request, self.sent, self.is_reused) = (request(host, path), 0, true);
        self.answer = Answer::new();
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Returns what the link waits for.
    pub(super) fn interest(&self) -> PollFlags {
        if self.sent < self.request.len() { PollFlags::OUT } else { PollFlags::IN }
    }

    /// Connects, sends and receives as far as possible without blocking, and adds what it received to `body`. Returns
    /// whether anything was received.
    pub(super) fn advance(&mut self, body: &mut Vec<u8>) -> Result<bool, LinkError> {
        loop {
            let error = match self.try_advance(body) {
                Err(LinkError::Malformed(error)) => return Err(LinkError::Malformed(error)),
                Err(error) => error,
                Ok(received) => return Ok(received),
            };
            let from = match (self.is_connected, self.is_reused && self.answer.is_blank()) {
                (false, _) if self.next < self.candidates.len() => self.next,
                (true, true) => 0,
                _ => return Err(error),
            };
            (self.socket, self.next) = connect(&self.candidates, from)?;
            (self.is_connected, self.is_reused, self.sent) = (false, false, 0);
        }
    }

    fn try_advance(&mut self, body: &mut Vec<u8>) -> Result<bool, LinkError> {
        if !self.is_connected {
            if let Some(error) = self.socket.take_error().map_err(LinkError::Failed)? {
                return Err(LinkError::Failed(error));
            }
            if self.socket.peer_addr().is_err() {
                return Ok(false);
            }
            self.is_connected = true;
        }
        while self.sent < self.request.len() {
            match ready((&self.socket).write(&self.request[self.sent..]))? {
                Some(count) => self.sent += count,
                None => break,
            }
        }
        let mut buffer = [0; 16 << 10];
        let mut received = 0;
        while received < RECEIVED_BYTES_MAX && !self.answer.is_complete() {
            let Some(count) = ready((&self.socket).read(&mut buffer))? else { break };
            if count == 0 {
                return if self.answer.end() { Ok(true) } else { Err(LinkError::Ended) };
            }
            received += count;
            self.answer.take(&buffer[..count], body).map_err(LinkError::Malformed)?;
            if body.len() > BODY_BYTES_MAX {
                return Err(LinkError::Malformed(BadAnswer("its answer is too long")));
            }
        }
        Ok(received > 0)
    }
}

/// Returns the result of a call, or `None` if it would block.
fn ready(result: io::Result<usize>) -> Result<Option<usize>, LinkError> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(LinkError::Failed(error)),
    }
}

/// Begins to connect to the first of the candidates, from an index on, that does not fail at once. Returns the index
/// after it, too.
fn connect(candidates: &[SockAddr], from: usize) -> Result<(Socket, usize), LinkError> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for (index, address) in candidates.iter().enumerate().skip(from) {
        match begin(address) {
            Ok(socket) => return Ok((socket, index + 1)),
            Err(error) => failed = error,
        }
    }
    Err(LinkError::Failed(failed))
}

fn begin(address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::from(i32::from(address.family())), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Ok(()) => Ok(socket),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Ok(socket)
        }
        Err(error) => Err(error),
    }
}

fn request(host: &str, path: &str) -> Vec<u8> {
    let agent = concat!("evserve-top/", env!("CARGO_PKG_VERSION"));
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\r\n").into_bytes()
}
