//! Tells the access log how much of the responses was sent, and why the connection closes.

use super::{Connection, Phase};
use crate::close_reason::CloseReason;
use crate::services::{Context, Services};
use crate::transport::Transport;

impl<T: Transport> Connection<T> {
    /// Completes the log lines of the responses that were sent, after connection `number` was driven.
    #[inline(never)]
    pub(in crate::event_loop) fn log_sent(&self, number: usize, services: &mut Services) {
        let now = services.core.clock.now.monotonic;
        if let Some(log) = &mut services.http.access_log {
            log.complete_sent(number, self.output.unsent(), self.closing(), now);
        }
    }

    /// Completes the log lines of all responses, before connection `number` is closed for the reason `close`.
    #[inline(never)]
    pub(in crate::event_loop) fn log_end(
        &self,
        number: usize,
        close: Option<CloseReason>,
        services: &mut Services,
    ) {
        let now = services.core.clock.now.monotonic;
        if let Some(log) = &mut services.http.access_log {
            log.complete_all(number, self.output.unsent(), close, now);
        }
    }

    /// Returns why the connection closes once all output is sent, if that is known.
    pub(in crate::event_loop) fn closing(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Handshaking | Phase::Open => None,
            Phase::Finishing(reason) | Phase::Lingering(reason, _) => Some(reason),
        }
    }

    /// Drops the unsent output, which the peer does not receive.
    #[cold]
    pub(super) fn drop_output(&mut self, cx: &mut Context<'_>) {
        if let Some(log) = &mut cx.http.access_log {
            log.cut(cx.connection, self.output.unsent());
        }
        self.output.forget();
    }
}
