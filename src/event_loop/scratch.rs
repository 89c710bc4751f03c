//! Buffers that all connections use in turn, so that idle ones need none.

use crate::limits::TURN_READ_BYTES;
use crate::outbox::Outbox;

/// The buffers of one loop.
pub struct Scratch {
    /// What one recv brings.
    pub input: Vec<u8>,
    /// An outbox with its memory, when no connection has it.
    outbox: Outbox,
}

impl Scratch {
    /// The buffers of a loop.
    pub fn new() -> Scratch {
        Scratch { input: vec![0; TURN_READ_BYTES], outbox: Outbox::default() }
    }

    /// Exchanges an empty outbox for one whose memory is there already.
    pub fn lend(&mut self, outbox: &mut Outbox) {
        std::mem::swap(outbox, &mut self.outbox);
    }

    /// Takes the memory back from a connection that has sent everything. One that has not keeps
    /// what it needs of it.
    pub fn reclaim(&mut self, outbox: &mut Outbox) {
        if !outbox.is_empty() {
            outbox.shrink();
            return;
        }
        let used = std::mem::take(outbox);
        if used.capacity() > self.outbox.capacity() {
            self.outbox = used;
        }
    }
}
