//! The server's side of a TLS session, as rustls keeps it: records in, content and records out. It owns no buffer, so
//! that an idle connection has none: rustls's buffered interface keeps 4 KiB for each connection.

use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{Error, HandshakeKind, ProtocolVersion, ServerConfig};

/// A session that has begun.
pub(super) struct TlsSession {
    connection: UnbufferedServerConnection,
    has_received_end: bool,
}

/// What a record adds to its content: header, nonce, content type and tag, rounded up.
const RECORD_OVERHEAD_BYTES: usize = 64;

impl TlsSession {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<TlsSession, Error> {
        Ok(TlsSession { connection: UnbufferedServerConnection::new(config)?, has_received_end: false })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Returns whether the client can continue without the records that end the handshake: those of TLS 1.3 are tickets.
    pub(super) fn ends_with_tickets(&self) -> bool {
        self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// Returns whether the client was asked for another ClientHello.
    pub(super) fn awaits_second_hello(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest)
    }

    /// Returns whether the peer has sent close_notify.
    pub(super) fn has_received_end(&self) -> bool {
        self.has_received_end
    }

    /// Processes the complete records at the beginning of `input`. Passes their content to `content`, and appends the
    /// records to send to `out`, after an error its alert. Returns the number of bytes consumed.
    pub(super) fn receive(
        &mut self,
        input: &mut [u8],
        out: &mut Vec<u8>,
        mut content: impl FnMut(&[u8]),
    ) -> Result<usize, Error> {
        let mut consumed = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut input[consumed..]);
            consumed += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        consumed += record.discard;
                        content(record.payload);
                    }
                }
                Ok(ConnectionState::PeerClosed) => self.has_received_end = true,
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    return Ok(consumed);
                }
                Ok(ConnectionState::Closed) => return Ok(input.len()),
                Ok(state) => advance(state, out)?,
                Err(error) => {
                    self.take_alert(&mut input[consumed..], out);
                    return Err(error);
                }
            }
            if self.has_received_end {
                // RFC 8446 section 6.1: what follows close_notify is ignored.
                return Ok(input.len());
            }
        }
    }

    /// Appends the alert of an error that `input` caused.
    fn take_alert(&mut self, input: &mut [u8], out: &mut Vec<u8>) {
        while self.connection.wants_write() {
            let Ok(state) = self.connection.process_tls_records(input).state else { return };
            if advance(state, out).is_err() {
                return;
            }
        }
    }

    /// Appends the records of `content` to `out`, each with as much as `record_bytes` says for the number of bytes
    /// before it. `incoming` holds the received bytes that are no complete record or message: rustls remembers how far it
    /// has read them.
    pub(super) fn encrypt(
        &mut self,
        mut content: &[u8],
        incoming: &mut [u8],
        record_bytes: impl Fn(usize) -> usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut encrypted = 0;
        self.write(incoming, out, |traffic, out| {
            while !content.is_empty() {
                let (record, rest) = content.split_at(content.len().min(record_bytes(encrypted)));
                append(out, record.len() + RECORD_OVERHEAD_BYTES, |free| traffic.encrypt(record, free))?;
                encrypted += record.len();
                content = rest;
            }
            Ok(())
        })
    }

    /// Appends close_notify to `out`. `incoming` is as for [`encrypt`](TlsSession::encrypt).
    pub(super) fn end(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.write(incoming, out, |traffic, out| {
            append(out, RECORD_OVERHEAD_BYTES, |free| traffic.queue_close_notify(free))
        })
    }

    /// Calls `write` once the session can send content. Records that come first are appended to `out`.
    fn write(
        &mut self,
        incoming: &mut [u8],
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            match self.connection.process_tls_records(incoming).state? {
                ConnectionState::WriteTraffic(mut traffic) => return write(&mut traffic, out),
                ConnectionState::PeerClosed => self.has_received_end = true,
                state @ (ConnectionState::EncodeTlsData(_) | ConnectionState::TransmitTlsData(_)) => {
                    advance(state, out)?;
                }
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }
}

/// Appends the records of a state to `out`.
fn advance<D>(state: ConnectionState<'_, '_, D>, out: &mut Vec<u8>) -> Result<(), Error> {
    match state {
        ConnectionState::EncodeTlsData(mut data) => {
            let needed = match data.encode(&mut []) {
                Err(EncodeError::InsufficientSize(size)) => size.required_size,
                _ => 0,
            };
            let begin = out.len();
            out.resize(begin + needed, 0);
            let _ = data.encode(&mut out[begin..]);
            Ok(())
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(())
        }
        // 0-RTT is not offered.
        _ => Err(Error::General("unexpected state".into())),
    }
}

/// Appends what `write` writes into `room` bytes, or into as many as it needs.
fn append(
    out: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Error> {
    let begin = out.len();
    out.resize(begin + room, 0);
    let written = match write(&mut out[begin..]) {
        Err(EncryptError::InsufficientSize(size)) => {
            out.resize(begin + size.required_size, 0);
            write(&mut out[begin..])
        }
        written => written,
    };
    out.truncate(begin + written.as_ref().copied().unwrap_or(0));
    match written {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::EncryptError),
    }
}
