//! A connection to the server that carries one request at a time and never blocks.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use socket2::{Domain, SockAddr, Socket, Type};

use super::answer::{Answer, BadAnswer};

/// A longer body is not read. A table has a few hundred bytes for each connection.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The most bytes that one call receives, so that a fast server does not keep the display from being drawn.
const RECEIVED_BYTES_MAX: usize = 1 << 20;

/// How long connecting, or an answer that is not complete, may make no progress. `/events` is much faster: it has a
/// frame every 100 ms, or 6 µs for each connection of the server.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum LinkError {
    Failed(io::Error),
    /// The connection ended before the answer did.
    Ended,
    /// Nothing was received for [`SILENCE_MAX`].
    Silent,
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
    /// When the link fails if nothing is received until then.
    late: Instant,
    pub(super) answer: Answer,
}

impl Link {
    /// Begins to connect to the first candidate, and will send a GET.
    pub(super) fn open(
        candidates: &[SockAddr],
        host: &str,
        path: &str,
        now: Instant,
    ) -> Result<Link, LinkError> {
        let (socket, next) = connect(candidates, 0)?;
        Ok(Link {
            socket,
            candidates: candidates.to_vec(),
            next,
            is_connected: false,
            is_reused: false,
            request: request(host, path),
            sent: 0,
            late: now + SILENCE_MAX,
            answer: Answer::new(),
        })
    }

    /// Uses the connection for another GET.
    pub(super) fn reuse(&mut self, host: &str, path: &str, now: Instant) {
        (self.request, self.sent, self.is_reused) = (request(host, path), 0, true);
        (self.late, self.answer) = (now + SILENCE_MAX, Answer::new());
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Returns the events of the descriptor to wait for.
    pub(super) fn interest(&self) -> PollFlags {
        if self.sent < self.request.len() { PollFlags::OUT } else { PollFlags::IN }
    }

    /// Returns when to call [`Link::advance`] even if the descriptor is not ready.
    pub(super) fn deadline(&self) -> Instant {
        self.late
    }

    /// Connects, sends and receives as far as possible without blocking, and adds received bytes to `body`.
    pub(super) fn advance(&mut self, body: &mut Vec<u8>, now: Instant) -> Result<(), LinkError> {
        loop {
            let error = match self.try_advance(body) {
                Err(LinkError::Malformed(error)) => return Err(LinkError::Malformed(error)),
                Err(error) => error,
                Ok(true) => {
                    self.late = now + SILENCE_MAX;
                    return Ok(());
                }
                Ok(false) if now < self.late => return Ok(()),
                Ok(false) => LinkError::Silent,
            };
            let is_silent = matches!(error, LinkError::Silent);
            let is_stale = self.is_reused && self.answer.is_blank() && !is_silent;
            let from = match (self.is_connected, is_stale) {
                (false, _) if self.next < self.candidates.len() => self.next,
                (true, true) => 0,
                _ => return Err(error),
            };
            (self.socket, self.next) = connect(&self.candidates, from)?;
            (self.is_connected, self.is_reused, self.sent) = (false, false, 0);
            self.late = now + SILENCE_MAX;
        }
    }

    /// Does one attempt of [`Link::advance`]. Returns whether anything was received.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_candidate_that_does_not_answer_is_followed_by_the_next_one() {
        // With a full backlog, Linux ignores further connections.
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        full.listen(0).expect("a listener");
        let silent = full.local_addr().expect("an address");
        let _only = TcpStream::connect(silent.as_socket().expect("an address")).expect("a place");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let candidates = [silent, listener.local_addr().expect("an address").into()];
        let (now, mut body) = (Instant::now(), Vec::new());
        let mut link = Link::open(&candidates, "h:1", "/", now).expect("connecting");
        assert!(link.advance(&mut body, now).is_ok());
        assert_eq!(link.next, 1);
        assert!(link.advance(&mut body, link.deadline()).is_ok());
        assert_eq!((link.next, link.deadline()), (2, now + 2 * SILENCE_MAX));
        assert!(matches!(link.advance(&mut body, link.deadline()), Err(LinkError::Silent)));
    }
}
