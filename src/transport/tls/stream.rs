//! The server's side of a TLS connection. The outbox stays the only queue: bytes count as sent when their records have
//! left, so a connection is closed, paused or timed out as on a plain transport.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use rustls::InvalidMessage;

use super::acceptor::TlsAcceptor;
use super::hello;
use super::session::TlsSession;
use crate::clock::Now;
use crate::clock::calls::{Call, timed};
use crate::limits::{TLS_HANDSHAKE_COST, TLS_HANDSHAKE_READS, TLS_INPUT_MAX_BYTES, TLS_SEND_BYTES};
use crate::transport::plain::read_file;
use crate::transport::{Handshake, HandshakeBudget, Transport};

/// A TLS connection over `T`. An idle one owns no buffer.
pub struct TlsStream<T> {
    pub(super) inner: T,
    pub(super) stage: Stage,
    pub(super) acceptor: Rc<TlsAcceptor>,
    /// Received bytes that are no complete record, or no complete ClientHello.
    pub(super) incoming: Vec<u8>,
    /// Content that the caller of `recv` had no room for.
    content: Vec<u8>,
    /// Records that the inner transport has not accepted.
    pub(super) outgoing: Vec<u8>,
    /// The number of bytes of the outbox in `outgoing` that were not reported as sent. The next call of `send` or
    /// `send_file` offers the same bytes again.
    pub(super) unreported: usize,
    /// The number of bytes sent since input was last received. The first records of a response are small.
    pub(super) sent_since_input: usize,
    /// Whether the last recv of the inner transport has drained it.
    is_drained: bool,
    /// Received bytes that were no content since the last call of `overhead`.
    overhead: usize,
}

/// How far a connection has come.
pub(super) enum Stage {
    /// The ClientHello is not complete, or waits for a turn that has time for the handshake.
    Hello,
    /// The server has answered the ClientHello.
    Running(Box<TlsSession>),
    /// close_notify or the alert of an error was sent, or is next in `outgoing`. Nothing may follow it, not even another
    /// alert, so what is received is not decrypted.
    Ended,
}

/// The content type of a handshake record (RFC 8446 section 5.1), the first byte of a ClientHello.
const HANDSHAKE_RECORD: u8 = 22;

/// A fatal alert in plain text (RFC 8446 section 6).
const UNEXPECTED_MESSAGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];

impl<T: Transport> TlsStream<T> {
    /// Creates a connection that has received nothing.
    pub fn new(inner: T, acceptor: Rc<TlsAcceptor>) -> TlsStream<T> {
        TlsStream {
            inner,
            stage: Stage::Hello,
            acceptor,
            incoming: Vec::new(),
            content: Vec::new(),
            outgoing: Vec::new(),
            unreported: 0,
            sent_since_input: 0,
            is_drained: false,
            overhead: 0,
        }
    }

    /// Returns the transport that carries the records.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Receives at most `limit` bytes, and processes the complete records. `content` gets their content. Returns the
    /// number of bytes received.
    fn receive(&mut self, limit: usize, content: impl FnMut(&[u8])) -> io::Result<usize> {
        let acceptor = Rc::clone(&self.acceptor);
        let mut input = acceptor.input();
        let kept = self.incoming.len();
        if kept + limit > input.len() {
            input.resize(kept + limit, 0);
        }
        let received = self.inner.recv(&mut input[kept..kept + limit])?;
        if received == 0 {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.is_drained = received < limit && self.inner.short_recv_drains();
        let end = kept + received;
        input[..kept].copy_from_slice(&self.incoming);
        match &mut self.stage {
            Stage::Running(session) => {
                let is_handshaking = session.is_handshaking();
                let process = || session.receive(&mut input[..end], &mut self.outgoing, content);
                let processed = if is_handshaking { timed(Call::Handshake, process) } else { process() };
                let consumed = processed.map_err(|error| self.fail(error))?;
                self.keep(&input[consumed..end])?;
            }
            Stage::Hello if input[0] != HANDSHAKE_RECORD && input[0].is_ascii() => {
                return Err(self.refuse_plain());
            }
            Stage::Hello => self.keep(&input[..end])?,
            Stage::Ended => {}
        }
        Ok(received)
    }

    /// Keeps received bytes until more arrive.
    fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > TLS_INPUT_MAX_BYTES {
            return Err(self.fail(InvalidMessage::HandshakePayloadTooLarge.into()));
        }
        if bytes.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Answers the ClientHello, which takes the time of a signature.
    fn answer(&mut self, now: Now, budget: &mut HandshakeBudget) -> io::Result<Handshake> {
        if !budget.take(self.acceptor.cost()) {
            return Ok(Handshake::Yielding);
        }
        let mut session =
            Box::new(TlsSession::new(self.acceptor.config(now)).map_err(|error| self.fail(error))?);
        let mut input = mem::take(&mut self.incoming);
        let processed = timed(Call::Handshake, || session.receive(&mut input, &mut self.outgoing, |_| ()));
        self.stage = Stage::Running(session);
        let consumed = processed.map_err(|error| self.fail(error))?;
        self.keep(&input[consumed..])?;
        Ok(Handshake::Blocked)
    }

    /// Returns the time that the next bytes of the handshake may take, after the first ClientHello.
    fn step_cost(&self) -> Duration {
        match &self.stage {
            // The second ClientHello is the one that takes a key exchange and a signature.
            Stage::Running(session) if session.awaits_second_hello() => self.acceptor.cost(),
            // The keys of TLS 1.2 are derived from the second message of the client.
            Stage::Running(session) if !session.ends_with_tickets() => TLS_HANDSHAKE_COST,
            _ => Duration::ZERO,
        }
    }

    /// Ends the session. What was received and is not consumed is dropped.
    fn stop_receiving(&mut self) {
        self.stage = Stage::Ended;
        (self.incoming, self.content) = (Vec::new(), Vec::new());
    }

    /// Sends the alert of an error.
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        if self.outgoing.is_empty()
            && matches!(&self.stage, Stage::Running(session) if session.is_handshaking())
        {
            // rustls has no alert for bytes that are no message at all.
            self.outgoing = UNEXPECTED_MESSAGE.into();
        }
        self.stop_receiving();
        let _ = self.flush();
        io::Error::new(ErrorKind::InvalidData, error)
    }

    /// Answers a request in plain text, which a person may have typed, in plain text.
    fn refuse_plain(&mut self) -> io::Error {
        self.stop_receiving();
        let _ = self.inner.send(&[IoSlice::new(self.acceptor.plain_reply())], false);
        io::Error::new(ErrorKind::InvalidData, "the client spoke no TLS")
    }
}

// Calls are not inlined, so that plain connections, which share the callers, stay as small as without TLS.
impl<T: Transport> Transport for TlsStream<T> {
    fn is_encrypted(&self) -> bool {
        true
    }

    #[inline(never)]
    fn handshake(&mut self, now: Now, budget: &mut HandshakeBudget) -> io::Result<Handshake> {
        for _ in 0..TLS_HANDSHAKE_READS {
            if matches!(self.stage, Stage::Hello)
                && hello::is_complete(&self.incoming)
                && self.answer(now, budget)? == Handshake::Yielding
            {
                return Ok(Handshake::Yielding);
            }
            if let Stage::Running(session) = &self.stage {
                let is_complete = !session.is_handshaking();
                // Tickets leave with the first response.
                let can_wait = is_complete && session.ends_with_tickets();
                if !can_wait && !self.flush()? {
                    return Ok(Handshake::Blocked);
                }
                if is_complete {
                    return Ok(Handshake::Complete);
                }
            }
            let cost = self.step_cost();
            if !cost.is_zero() && !budget.is_left() {
                return Ok(Handshake::Yielding);
            }
            let content = &mut Vec::new();
            match self.receive(HANDSHAKE_READ_BYTES, |bytes| content.extend_from_slice(bytes)) {
                Ok(_) => {
                    budget.take(cost);
                    self.content.append(content);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Handshake::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Handshake::Yielding)
    }

    /// Fails with `ConnectionAborted` at a FIN without close_notify, which an attacker in the network can send, and
    /// with `InvalidData` if the peer breaks the protocol.
    #[inline(never)]
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let session = match &self.stage {
            Stage::Running(session) => session,
            Stage::Ended => {
                let received = self.inner.recv(buffer)?;
                self.is_drained = received < buffer.len() && self.inner.short_recv_drains();
                return Ok(received);
            }
            Stage::Hello => return Err(ErrorKind::NotConnected.into()),
        };
        if !self.content.is_empty() {
            let count = self.content.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.content[..count]);
            self.content.drain(..count);
            if self.content.is_empty() {
                self.content = Vec::new();
            }
            // An event may have come since the last recv of the inner transport.
            self.is_drained = false;
            return Ok(count);
        }
        if session.has_received_end() {
            return Ok(0);
        }
        let (mut filled, mut rest) = (0, Vec::new());
        let received = self.receive(buffer.len(), |bytes| {
            let (fits, others) = bytes.split_at(bytes.len().min(buffer.len() - filled));
            buffer[filled..filled + fits.len()].copy_from_slice(fits);
            filled += fits.len();
            rest.extend_from_slice(others);
        })?;
        self.content = rest;
        self.sent_since_input = 0;
        self.overhead += received.saturating_sub(filled);
        let has_ended = matches!(&self.stage, Stage::Running(session) if session.has_received_end());
        // No event reports close_notify again.
        self.is_drained &= !has_ended;
        match filled {
            // There may be more input, or an event was missed: only the inner transport knows.
            0 if !has_ended => Err(ErrorKind::Interrupted.into()),
            _ => Ok(filled),
        }
    }

    fn overhead(&mut self) -> usize {
        mem::take(&mut self.overhead)
    }

    #[inline(never)]
    fn send(&mut self, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let offered = pieces.iter().map(|piece| piece.len()).sum();
        if self.unreported > 0 {
            return self.send_again(offered, more);
        }
        if let [piece] = pieces {
            return self.send_content(&piece[..piece.len().min(TLS_SEND_BYTES)], offered, more);
        }
        // A head and its body share a record.
        let acceptor = Rc::clone(&self.acceptor);
        let mut joined = acceptor.input();
        let mut length = 0;
        for piece in pieces {
            let part = &piece[..piece.len().min(TLS_SEND_BYTES - length)];
            joined[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        }
        self.send_content(&joined[..length], offered, more)
    }

    #[inline(never)]
    fn send_file(&mut self, file: &File, offset: u64, count: usize, _cold: bool) -> io::Result<usize> {
        if self.unreported > 0 {
            return self.send_again(count, self.unreported < count);
        }
        let acceptor = Rc::clone(&self.acceptor);
        let mut input = acceptor.input();
        let read = timed(Call::Read, || read_file(file, offset, &mut input[..count.min(TLS_SEND_BYTES)]))?;
        if read == 0 {
            return Ok(0);
        }
        self.send_content(&input[..read], count, false)
    }

    #[inline(never)]
    fn shutdown_write(&mut self) -> io::Result<()> {
        let _ = self.end();
        self.stop_receiving();
        self.inner.shutdown_write()
    }

    /// Sends close_notify (RFC 8446 section 6.1), unless bytes of the outbox are unsent: then the peer has to notice
    /// that the output was cut off.
    #[inline(never)]
    fn end(&mut self) -> io::Result<()> {
        if let Stage::Running(session) = &mut self.stage
            && self.unreported == 0
            && !session.is_handshaking()
        {
            let ended = session.end(&mut self.incoming, &mut self.outgoing);
            self.stop_receiving();
            ended.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
        if matches!(self.stage, Stage::Ended) && !self.flush()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    fn unacknowledged(&self) -> Option<usize> {
        self.inner.unacknowledged()
    }

    fn short_recv_drains(&self) -> bool {
        self.is_drained
    }

    fn buffered(&self) -> usize {
        self.incoming.capacity() + self.content.capacity() + self.outgoing.capacity()
    }
}

impl<T> std::fmt::Debug for TlsStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsStream")
    }
}

/// How much of a handshake is received at once.
const HANDSHAKE_READ_BYTES: usize = 4096;
