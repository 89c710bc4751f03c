//! The server's side of a TLS connection. The outbox stays the only queue: bytes count as sent when their records have
//! left, so a connection is closed, paused or timed out as on a plain transport.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use rustls::server::{Accepted, Acceptor};
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use super::acceptor::TlsAcceptor;
use super::records::{Wire, process, read_content, record_bytes, refuse, write_all};
use crate::clock::Now;
use crate::limits::{TLS_HANDSHAKE_COST, TLS_HANDSHAKE_READS, TLS_SEND_BYTES};
use crate::transport::plain::read_file;
use crate::transport::{Handshake, HandshakeBudget, Transport};

/// A TLS connection over `T`.
pub struct TlsStream<T> {
    inner: T,
    stage: Stage,
    acceptor: Rc<TlsAcceptor>,
    /// The number of encrypted bytes of the outbox that were not reported as sent: their records have not left yet.
    /// The next call of `send` or `send_file` offers the same bytes again.
    unreported: usize,
    /// The number of bytes sent since input was last received. The first records of a response are small.
    sent_since_input: usize,
    /// Whether the last recv of ciphertext has drained the socket.
    is_drained: bool,
    /// Received bytes that were no content since the last call of `overhead`.
    overhead: usize,
    /// Whether close_notify was sent, or is next. Nothing may follow it, not even an alert, so what is received from
    /// then on is dropped without being decrypted.
    has_ended: bool,
}

/// How far a connection has come.
enum Stage {
    /// Nothing was received.
    Silent,
    /// A part of the ClientHello was received.
    Hello(Box<Acceptor>),
    /// The ClientHello is complete, and waits for a turn that has time for the handshake.
    Accepted(Box<Accepted>),
    /// The server has answered the ClientHello.
    Running(Box<ServerConnection>),
    /// The handshake failed.
    Failed,
}

/// The content type of a handshake record (RFC 8446 section 5.1), the first byte of a ClientHello.
const HANDSHAKE_RECORD: u8 = 22;

/// How much of a handshake is received at once: rustls takes this much with one call.
const HANDSHAKE_READ_BYTES: usize = 4096;

impl<T: Transport> TlsStream<T> {
    /// Creates a connection that has received nothing.
    pub fn new(inner: T, acceptor: Rc<TlsAcceptor>) -> TlsStream<T> {
        TlsStream {
            inner,
            stage: Stage::Silent,
            acceptor,
            unreported: 0,
            sent_since_input: 0,
            is_drained: false,
            overhead: 0,
            has_ended: false,
        }
    }

    /// Returns the transport that carries the records.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Consumes received bytes of the handshake, up to the next step of the server.
    fn take_handshake(&mut self, bytes: &[u8]) -> io::Result<()> {
        if matches!(self.stage, Stage::Silent) {
            if bytes[0] != HANDSHAKE_RECORD && bytes[0].is_ascii() {
                return Err(self.refuse_plain());
            }
            self.stage = Stage::Hello(Box::default());
        }
        match &mut self.stage {
            Stage::Hello(hello) => {
                hello.read_tls(&mut &*bytes)?;
                match hello.accept() {
                    Ok(None) => Ok(()),
                    Ok(Some(accepted)) => {
                        self.stage = Stage::Accepted(Box::new(accepted));
                        Ok(())
                    }
                    Err((error, alert)) => Err(refuse(error, alert, &mut self.inner)),
                }
            }
            Stage::Running(session) => {
                session.read_tls(&mut &*bytes)?;
                process(session, &mut self.inner)
            }
            Stage::Silent | Stage::Accepted(_) | Stage::Failed => Ok(()),
        }
    }

    /// Answers the ClientHello, which takes the time of a signature.
    fn answer(&mut self, now: Now, budget: &mut HandshakeBudget) -> io::Result<Handshake> {
        let (config, cost) = self.acceptor.config(now);
        if !budget.take(cost) {
            return Ok(Handshake::Yielding);
        }
        let Stage::Accepted(accepted) = mem::replace(&mut self.stage, Stage::Failed) else {
            return Ok(Handshake::Blocked);
        };
        match accepted.into_connection(config) {
            Ok(mut session) => {
                // What is written is bounded here, and what is received by the reads.
                session.set_buffer_limit(None);
                self.stage = Stage::Running(Box::new(session));
                Ok(Handshake::Blocked)
            }
            Err((error, alert)) => Err(refuse(error, alert, &mut self.inner)),
        }
    }

    /// Returns the time that the next bytes of the handshake may take, after the first ClientHello.
    fn step_cost(&self) -> Duration {
        let Stage::Running(session) = &self.stage else { return Duration::ZERO };
        if session.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest) {
            // The second ClientHello is the one that takes a key exchange and a signature.
            return self.acceptor.cost();
        }
        match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Duration::ZERO,
            // The keys of TLS 1.2 are derived from the second message of the client.
            _ => TLS_HANDSHAKE_COST,
        }
    }

    /// Answers a request in plain text, which a person may have typed, in plain text.
    fn refuse_plain(&mut self) -> io::Error {
        self.stage = Stage::Failed;
        let _ = self.inner.send(&[IoSlice::new(self.acceptor.plain_reply())], false);
        let _ = self.inner.shutdown_write();
        // A close with unread input would be a reset, which destroys the reply.
        let _ = self.inner.recv(&mut [0; HANDSHAKE_READ_BYTES]);
        io::Error::new(ErrorKind::InvalidData, "the client spoke no TLS")
    }

    /// Encrypts the beginning of `pieces`.
    fn encrypt(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        let Stage::Running(session) = &mut self.stage else { return Err(ErrorKind::NotConnected.into()) };
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut left = TLS_SEND_BYTES;
        if pieces.len() > 1 && total <= record_bytes(self.sent_since_input) {
            // A head and its body share a record.
            self.unreported = session.writer().write_vectored(pieces)?;
            self.sent_since_input += self.unreported;
            return Ok(());
        }
        for piece in pieces {
            let mut rest = &piece[..piece.len().min(left)];
            left -= rest.len();
            while !rest.is_empty() {
                let record = rest.len().min(record_bytes(self.sent_since_input));
                let written = session.writer().write(&rest[..record])?;
                rest = &rest[written..];
                self.unreported += written;
                self.sent_since_input += written;
            }
        }
        Ok(())
    }

    /// Sends encrypted records. Returns how many of the `offered` bytes of the outbox count as sent.
    fn send_records(&mut self, offered: usize, more: bool) -> io::Result<usize> {
        let Stage::Running(session) = &mut self.stage else { return Err(ErrorKind::NotConnected.into()) };
        let mut sent = 0;
        while session.wants_write() {
            match session.write_tls(&mut Wire { inner: &mut self.inner, more }) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // The last byte counts as sent only when all records have left.
                    let reported = sent.min(self.unreported.saturating_sub(1)).min(offered);
                    self.unreported -= reported;
                    return if reported == 0 { Err(error) } else { Ok(reported) };
                }
                Err(error) => return Err(error),
            }
        }
        let reported = self.unreported.min(offered);
        self.unreported -= reported;
        Ok(reported)
    }
}

impl<T: Transport> Transport for TlsStream<T> {
    fn is_encrypted(&self) -> bool {
        true
    }

    fn handshake(&mut self, now: Now, budget: &mut HandshakeBudget) -> io::Result<Handshake> {
        for _ in 0..TLS_HANDSHAKE_READS {
            if matches!(self.stage, Stage::Accepted(_)) && self.answer(now, budget)? == Handshake::Yielding {
                return Ok(Handshake::Yielding);
            }
            if let Stage::Running(session) = &mut self.stage {
                // The tickets of TLS 1.3 leave with the first response. The client of TLS 1.2 waits for the last flight.
                let is_last =
                    !session.is_handshaking() && session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
                if !is_last {
                    match write_all(session, &mut self.inner) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Handshake::Blocked),
                        written => written?,
                    }
                }
                if !session.is_handshaking() {
                    return Ok(Handshake::Complete);
                }
            }
            let cost = self.step_cost();
            if !cost.is_zero() && !budget.is_left() {
                return Ok(Handshake::Yielding);
            }
            let mut bytes = [0; HANDSHAKE_READ_BYTES];
            match self.inner.recv(&mut bytes) {
                Ok(0) => return Err(ErrorKind::ConnectionAborted.into()),
                Ok(count) => {
                    self.take_handshake(&bytes[..count])?;
                    budget.take(cost);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Handshake::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Handshake::Yielding)
    }

    /// Fails with `ConnectionAborted` at a FIN without close_notify, which anybody on the way can send, and with
    /// `InvalidData` if the peer breaks the protocol.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_ended {
            let received = self.inner.recv(buffer)?;
            self.is_drained = received < buffer.len() && self.inner.short_recv_drains();
            return Ok(received);
        }
        let Stage::Running(session) = &mut self.stage else { return Err(ErrorKind::NotConnected.into()) };
        if let Some(count) = read_content(session, buffer) {
            // An event may have come since the last recv of ciphertext.
            self.is_drained = false;
            return Ok(count);
        }
        let mut scratch = self.acceptor.scratch();
        // No more than fits: what is left of the content stays in rustls, which holds at most a record.
        let limit = buffer.len().min(scratch.len());
        let received = self.inner.recv(&mut scratch[..limit])?;
        if received == 0 {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.is_drained = received < limit && self.inner.short_recv_drains();
        self.sent_since_input = 0;
        let mut rest = &scratch[..received];
        let (mut filled, mut has_ended) = (0, false);
        while !rest.is_empty() && !has_ended {
            // Nothing is taken that follows close_notify.
            if session.read_tls(&mut rest)? == 0 {
                break;
            }
            process(session, &mut self.inner)?;
            while filled < buffer.len()
                && let Some(count) = read_content(session, &mut buffer[filled..])
            {
                filled += count;
                has_ended = count == 0;
                if has_ended {
                    break;
                }
            }
        }
        // No event reports close_notify again.
        self.is_drained &= !has_ended;
        self.overhead += received.saturating_sub(filled);
        match filled {
            // There may be more input, or an event was missed: only the socket knows.
            0 if !has_ended => Err(ErrorKind::Interrupted.into()),
            _ => Ok(filled),
        }
    }

    fn overhead(&mut self) -> usize {
        mem::take(&mut self.overhead)
    }

    fn send(&mut self, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        if self.unreported == 0 {
            self.encrypt(pieces)?;
        }
        self.send_records(pieces.iter().map(|piece| piece.len()).sum(), more)
    }

    fn send_file(&mut self, file: &File, offset: u64, count: usize, _cold: bool) -> io::Result<usize> {
        if self.unreported == 0 {
            let acceptor = Rc::clone(&self.acceptor);
            let mut scratch = acceptor.scratch();
            let content = &mut scratch[..count.min(TLS_SEND_BYTES)];
            let read = read_file(file, offset, content)?;
            if read == 0 {
                return Ok(0);
            }
            self.encrypt(&[IoSlice::new(&content[..read])])?;
        }
        self.send_records(count, self.unreported < count)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let _ = self.end();
        self.has_ended = true;
        self.inner.shutdown_write()
    }

    /// Sends close_notify (RFC 8446 section 6.1), unless records are unsent: then the peer has to notice that the
    /// output was cut off.
    fn end(&mut self) -> io::Result<()> {
        if let Stage::Running(session) = &mut self.stage
            && self.unreported == 0
            && !session.is_handshaking()
        {
            self.has_ended = true;
            session.send_close_notify();
            write_all(session, &mut self.inner)?;
        }
        Ok(())
    }

    fn unacknowledged(&self) -> Option<usize> {
        self.inner.unacknowledged()
    }

    fn short_recv_drains(&self) -> bool {
        self.is_drained
    }
}

impl<T> std::fmt::Debug for TlsStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsStream")
    }
}
