//! Records: how large they are, and how rustls receives and sends them.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use rustls::server::AcceptedAlert;
use rustls::{Error, ServerConnection};

use crate::limits::{TLS_FIRST_BYTES, TLS_FIRST_RECORD_BYTES};
use crate::transport::Transport;

/// Returns how much the next record may hold: a packet at the beginning of a response, so that the client can decrypt
/// each packet as it arrives, later as much as a record holds.
pub(super) fn record_bytes(sent_since_input: usize) -> usize {
    if sent_since_input < TLS_FIRST_BYTES { TLS_FIRST_RECORD_BYTES } else { TLS_RECORD_MAX_BYTES }
}

/// The maximum content of a record (RFC 8446 section 5.1).
const TLS_RECORD_MAX_BYTES: usize = 1 << 14;

/// A fatal alert in plain text (RFC 8446 section 6).
const UNEXPECTED_MESSAGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];

/// Processes received records. If the peer broke the protocol, sends an alert and fails.
pub(super) fn process<T: Transport>(session: &mut ServerConnection, inner: &mut T) -> io::Result<()> {
    session.process_new_packets().map(drop).map_err(|error| {
        let _ = write_all(session, inner);
        invalid(error)
    })
}

/// Sends the alert for a ClientHello that cannot be answered. rustls has none for bytes that are no message at all.
pub(super) fn refuse<T: Transport>(error: Error, mut alert: AcceptedAlert, inner: &mut T) -> io::Error {
    if let Ok(0) = alert.write(&mut Wire { inner, more: false }) {
        let _ = inner.send(&[IoSlice::new(&UNEXPECTED_MESSAGE)], false);
    }
    invalid(error)
}

/// Sends all records that the transport accepts.
pub(super) fn write_all<T: Transport>(session: &mut ServerConnection, inner: &mut T) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(&mut Wire { inner, more: false }) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Reads decrypted content. Returns 0 after close_notify, and `None` if there is none yet.
pub(super) fn read_content(session: &mut ServerConnection, buffer: &mut [u8]) -> Option<usize> {
    session.reader().read(buffer).ok()
}

/// The inner transport, as rustls writes to it.
pub(super) struct Wire<'a, T> {
    pub inner: &'a mut T,
    pub more: bool,
}

impl<T: Transport> Write for Wire<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.send(&[IoSlice::new(bytes)], self.more)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.send(pieces, self.more)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
