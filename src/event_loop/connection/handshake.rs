//! The handshake of a transport, before the protocol gets its first input.

use std::io;

use super::{Connection, Phase, Progress};
use crate::close_reason::CloseReason;
use crate::services::Core;
use crate::transport::{Handshake, HandshakeBudget, Transport};

impl<T: Transport> Connection<T> {
    /// Continues the handshake of the transport. Returns `None` once it is complete.
    #[cold]
    pub(super) fn shake_hands(
        &mut self,
        budget: &mut HandshakeBudget,
        core: &Core,
    ) -> io::Result<Option<Progress>> {
        let now = core.clock.now.monotonic;
        let shaken = self.transport.handshake(core.clock.now, budget)?;
        if shaken == Handshake::Complete {
            self.phase = Phase::Open;
            self.last_activity = now;
            // The first request may have been received together with the end of the handshake.
            self.input.expect_more();
            return Ok(None);
        }
        Ok(Some(match self.deadline(core) {
            deadline if deadline <= now => Progress::Closed(CloseReason::HandshakeTimeout),
            _ if shaken == Handshake::Yielding => Progress::Yielding,
            deadline => Progress::Waiting(deadline),
        }))
    }
}
