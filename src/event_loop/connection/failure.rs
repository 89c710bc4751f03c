//! Why a connection closes whose transport fails.

use std::io::{self, ErrorKind};

use super::Connection;
use crate::close_reason::CloseReason;
use crate::transport::Transport;

impl<T: Transport> Connection<T> {
    /// Maps an error of the transport to a close reason.
    pub(super) fn reason(&self, error: &io::Error) -> CloseReason {
        let is_shaking_hands = self.is_shaking_hands();
        match error.kind() {
            // A FIN without the end of the transport above TCP.
            ErrorKind::ConnectionAborted if is_shaking_hands => CloseReason::PeerLeft,
            ErrorKind::ConnectionAborted => CloseReason::NoCloseNotify,
            ErrorKind::InvalidData => {
                log::debug!("TLS: {error}");
                if is_shaking_hands { CloseReason::HandshakeFailed } else { CloseReason::TlsViolated }
            }
            // Only sending a file can reach EOF: the file is shorter than announced.
            ErrorKind::UnexpectedEof => CloseReason::FileShrank,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected => {
                CloseReason::Reset
            }
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                CloseReason::Reset
            }
            _ => {
                log::warn!("a connection failed: {error}");
                CloseReason::Failed
            }
        }
    }
}
