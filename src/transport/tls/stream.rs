//! The server's side of a TLS connection. The outbox stays the only queue: bytes count as sent when their records have
//! left, so a connection is closed, paused or timed out as on a plain transport.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::rc::Rc;

use super::acceptor::TlsAcceptor;
use super::hello;
use super::session::TlsSession;
use crate::clock::Now;
use crate::limits::{
    TLS_FIRST_BYTES, TLS_FIRST_RECORD_BYTES, TLS_HANDSHAKE_READS, TLS_INPUT_MAX_BYTES, TLS_SEND_BYTES,
};
use crate::transport::plain::read_file;
use crate::transport::{Handshake, HandshakeBudget, Transport};

/// A TLS connection over `T`. An idle one owns no buffer.
pub struct TlsStream<T> {
    inner: T,
    stage: Stage,
    acceptor: Rc<TlsAcceptor>,
    /// Received bytes that are no complete record, or no complete ClientHello.
    incoming: Vec<u8>,
    /// Content that the caller of `recv` had no room for.
    content: Vec<u8>,
    /// Records that the inner transport has not accepted.
    outgoing: Vec<u8>,
    /// The number of bytes of the outbox in `outgoing` that were not reported as sent. The next call of `send` or
    /// `send_file` offers the same bytes again.
    unreported: usize,
    /// The number of bytes sent since input was last received. The first records of a response are small.
    sent_since_input: usize,
    /// Whether the last recv of the inner transport has drained it.
    is_drained: bool,
    /// Received bytes that were no content since the last call of `overhead`.
    overhead: usize,
}

/// How far a connection has come.
enum Stage {
    /// The ClientHello is not complete, or waits for a turn that has time for the handshake.
    Hello,
    /// The server has answered the ClientHello.
    Running(Box<TlsSession>),
    /// The handshake failed, or close_notify was sent.
    Ended,
}

/// The content type of a handshake record (RFC 8446 section 5.1), the first byte of a ClientHello.
const HANDSHAKE_RECORD: u8 = 22;

/// The maximum content of a record (RFC 8446 section 5.1).
const RECORD_MAX_BYTES: usize = 1 << 14;

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
                let processed = session.receive(&mut input[..end], &mut self.outgoing, content);
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
            return Err(io::Error::new(ErrorKind::InvalidData, "a handshake message is too long"));
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
        let (config, cost) = self.acceptor.config(now);
        if !budget.take(cost) {
            return Ok(Handshake::Yielding);
        }
        let mut session = Box::new(TlsSession::new(config).map_err(|error| self.fail(error))?);
        let mut input = mem::take(&mut self.incoming);
        let processed = session.receive(&mut input, &mut self.outgoing, |_| ());
        self.stage = Stage::Running(session);
        let consumed = processed.map_err(|error| self.fail(error))?;
        self.keep(&input[consumed..])?;
        Ok(Handshake::Blocked)
    }

    /// Sends the alert of an error, if there is one.
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        let _ = self.flush(false);
        self.stage = Stage::Ended;
        io::Error::new(ErrorKind::InvalidData, error)
    }

    /// Answers a request in plain text, which a person may have typed, in plain text.
    fn refuse_plain(&mut self) -> io::Error {
        self.stage = Stage::Ended;
        let _ = self.inner.send(&[IoSlice::new(self.acceptor.plain_reply())], false);
        let _ = self.inner.shutdown_write();
        // A close with unread input would be a reset, which destroys the reply.
        let _ = self.inner.recv(&mut [0; 4096]);
        io::Error::new(ErrorKind::InvalidData, "the client spoke no TLS")
    }

    /// Sends the records in `outgoing`. Returns the number of bytes sent, if not all.
    fn flush(&mut self, more: bool) -> io::Result<Option<usize>> {
        let records = mem::take(&mut self.outgoing);
        self.send_records(records, more)
    }

    /// Sends records, and keeps those that the inner transport does not accept. Returns the number of bytes sent, if
    /// not all.
    fn send_records(&mut self, mut records: Vec<u8>, more: bool) -> io::Result<Option<usize>> {
        let mut sent = 0;
        while sent < records.len() {
            match self.inner.send(&[IoSlice::new(&records[sent..])], more) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.outgoing = records.split_off(sent);
                    self.acceptor.return_output(records);
                    return Ok(Some(sent));
                }
                Err(error) => return Err(error),
            }
        }
        self.acceptor.return_output(records);
        Ok(None)
    }

    /// Encrypts `content`, of the outbox, and sends its records after those that are still to be sent.
    fn send_content(&mut self, content: &[u8], offered: usize, more: bool) -> io::Result<usize> {
        let Stage::Running(session) = &mut self.stage else { return Err(ErrorKind::NotConnected.into()) };
        let mut records = self.acceptor.take_output();
        records.append(&mut self.outgoing);
        let before = self.sent_since_input;
        let encrypted = session.encrypt(content, |count| record_bytes(before + count), &mut records);
        encrypted.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.outgoing = Vec::new();
        self.sent_since_input += content.len();
        self.unreported = content.len();
        let left = self.send_records(records, more || content.len() < offered)?;
        self.report(left, offered)
    }

    /// Sends the records of bytes that were offered before.
    fn send_again(&mut self, offered: usize, more: bool) -> io::Result<usize> {
        let left = self.flush(more)?;
        self.report(left, offered)
    }

    /// Returns how many of the `offered` bytes of the outbox count as sent, after all records or `left` bytes of them
    /// were sent.
    fn report(&mut self, left: Option<usize>, offered: usize) -> io::Result<usize> {
        // The last byte counts as sent only when all records have left.
        let reported = match left {
            None => self.unreported,
            Some(sent) => sent.min(self.unreported.saturating_sub(1)),
        };
        let reported = reported.min(offered);
        self.unreported -= reported;
        if reported == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(reported) }
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
                let (is_complete, has_only_tickets) =
                    (!session.is_handshaking(), session.ends_with_tickets());
                // Tickets leave with the first response.
                if !(is_complete && has_only_tickets) && self.flush(false)?.is_some() {
                    return Ok(Handshake::Blocked);
                }
                if is_complete {
                    return Ok(Handshake::Complete);
                }
            }
            let content = &mut Vec::new();
            match self.receive(HANDSHAKE_READ_BYTES, |bytes| content.extend_from_slice(bytes)) {
                Ok(_) => self.content.append(content),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Handshake::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Handshake::Yielding)
    }

    /// Fails with `ConnectionAborted` at a FIN without close_notify, which anybody on the way can send, and with
    /// `InvalidData` if the peer breaks the protocol.
    #[inline(never)]
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Stage::Running(session) = &self.stage else { return Err(ErrorKind::NotConnected.into()) };
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
        match (&self.stage, filled) {
            (Stage::Running(session), 0) if session.has_received_end() => Ok(0),
            // There may be more input, or an event was missed: only the inner transport knows.
            (_, 0) => Err(ErrorKind::Interrupted.into()),
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
        let read = read_file(file, offset, &mut input[..count.min(TLS_SEND_BYTES)])?;
        if read == 0 {
            return Ok(0);
        }
        self.send_content(&input[..read], count, false)
    }

    #[inline(never)]
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.end();
        self.inner.shutdown_write()
    }

    /// Sends close_notify (RFC 8446 section 6.1), unless bytes of the outbox are unsent: then the peer has to notice
    /// that the output was cut off.
    #[inline(never)]
    fn end(&mut self) {
        if let Stage::Running(session) = &mut self.stage
            && self.unreported == 0
            && !session.is_handshaking()
            && session.end(&mut self.outgoing).is_ok()
        {
            let _ = self.flush(false);
        }
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

/// Returns how much the next record may hold: a packet at the beginning of a response, so that the client can decrypt
/// each packet as it arrives, later as much as a record holds.
fn record_bytes(sent_since_input: usize) -> usize {
    if sent_since_input < TLS_FIRST_BYTES { TLS_FIRST_RECORD_BYTES } else { RECORD_MAX_BYTES }
}
