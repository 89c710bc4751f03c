//! Encrypts output and sends its records.

use std::io::{self, ErrorKind, IoSlice};
use std::mem;

use super::stream::{Stage, TlsStream};
use crate::limits::{TLS_FIRST_BYTES, TLS_FIRST_RECORD_BYTES};
use crate::transport::Transport;

/// The maximum content of a record (RFC 8446 section 5.1).
const RECORD_MAX_BYTES: usize = 1 << 14;

/// How much of the records was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordsSent {
    All,
    /// This many bytes; the inner transport accepts no more.
    Part(usize),
}

impl<T: Transport> TlsStream<T> {
    /// Sends the records in `outgoing`. Returns whether all were sent.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let records = mem::take(&mut self.outgoing);
        Ok(self.send_records(records, false)? == RecordsSent::All)
    }

    /// Sends records, and keeps those that the inner transport does not accept.
    fn send_records(&mut self, mut records: Vec<u8>, more: bool) -> io::Result<RecordsSent> {
        let mut sent = 0;
        while sent < records.len() {
            match self.inner.send(&[IoSlice::new(&records[sent..])], more) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.outgoing = records.split_off(sent);
                    self.acceptor.return_output(records);
                    return Ok(RecordsSent::Part(sent));
                }
                Err(error) => return Err(error),
            }
        }
        self.acceptor.return_output(records);
        Ok(RecordsSent::All)
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
        let sent = self.send_records(records, more || content.len() < offered)?;
        self.report(sent, offered)
    }

    /// Sends the records of bytes that were offered before.
    pub(super) fn send_again(&mut self, offered: usize, more: bool) -> io::Result<usize> {
        let records = mem::take(&mut self.outgoing);
        let sent = self.send_records(records, more)?;
        self.report(sent, offered)
    }

    /// Returns how many of the `offered` bytes of the outbox count as sent, after records were sent.
    fn report(&mut self, sent: RecordsSent, offered: usize) -> io::Result<usize> {
        let reported = match sent {
            RecordsSent::All => self.unreported,
            // The last byte counts as sent only when all records have left.
            RecordsSent::Part(count) => count.min(self.unreported.saturating_sub(1)),
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
