//! Why a connection closes whose transport fails.

use std::io::{self, ErrorKind};

use super::{Connection, Phase, Progress};
use crate::close_reason::CloseReason;
use crate::services::Context;
use crate::transport::Transport;

impl<T: Transport> Connection<T> {
    /// Ends the connection after an error of the transport.
    #[cold]
    pub(super) fn fail(&mut self, error: &io::Error, cx: &mut Context<'_>) -> Progress {
        let reason = self.reason(error);
        if reason == CloseReason::NoCloseNotify && !self.output.is_empty() && self.phase == Phase::Open {
            // The complete requests before the FIN are answered.
            self.phase = Phase::Finishing(reason);
            return Progress::Yielding;
        }
        // The transport has said why. A close with unread input would be a reset, which destroys that.
        if reason.lingers() && self.begin_linger(reason, cx.core) {
            self.drop_output(cx);
            return Progress::Yielding;
        }
        Progress::Closed(reason)
    }

    /// Maps an error of the transport to a close reason.
    fn reason(&self, error: &io::Error) -> CloseReason {
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
