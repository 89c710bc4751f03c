//! Encrypts output and sends its records.

use std::io::{self, ErrorKind, IoSlice};
use std::mem;

use super::stream::{Stage, TlsStream};
use crate::limits::{TLS_FIRST_BYTES, TLS_FIRST_RECORD_BYTES};
use crate::transport::Transport;

/// The maximum content of a record (RFC 8446 section 5.1).
const RECORD_MAX_BYTES: usize = 1 << 14;

impl<T: Transport> TlsStream<T> {
    /// Sends the records in `outgoing`. Returns the number of bytes sent, if not all.
    pub(super) fn flush(&mut self, more: bool) -> io::Result<Option<usize>> {
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
    pub(super) fn send_content(&mut self, content: &[u8], offered: usize, more: bool) -> io::Result<usize> {
        let Stage::Running(session) = &mut self.stage else { return Err(ErrorKind::NotConnected.into()) };
        let mut records = self.acceptor.take_output();
        records.append(&mut self.outgoing);
        let before = self.sent_since_input;
        let encrypted =
            session.encrypt(content, &mut self.incoming, |count| record_bytes(before + count), &mut records);
        encrypted.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.outgoing = Vec::new();
        self.sent_since_input += content.len();
        self.unreported = content.len();
        let left = self.send_records(records, more || content.len() < offered)?;
        self.report(left, offered)
    }

    /// Sends the records of bytes that were offered before.
    pub(super) fn send_again(&mut self, offered: usize, more: bool) -> io::Result<usize> {
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

/// Returns how much the next record may hold: a packet at the beginning of a response, so that the client can decrypt
/// each packet as it arrives, later as much as a record holds.
fn record_bytes(sent_since_input: usize) -> usize {
    if sent_since_input < TLS_FIRST_BYTES { TLS_FIRST_RECORD_BYTES } else { RECORD_MAX_BYTES }
}
