//! Counts of what happened since the start.

use crate::close_reason::CloseReason;

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Connections that were accepted and served.
    pub accepted: u64,
    /// Connections that were turned away: over the limit of their peer, or without a descriptor
    /// to spare.
    pub turned_away: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Bytes that came on connections.
    pub received_bytes: u64,
    /// Bytes that their sockets took.
    pub sent_bytes: u64,
    /// What became of datagrams.
    pub datagrams: DatagramCounts,
    ended: [u64; CloseReason::ALL.len()],
}

/// Counts of datagrams since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatagramCounts {
    /// That came.
    pub received: u64,
    /// That were answered.
    pub answered: u64,
    /// That were longer than the buffer; they are dropped.
    pub truncated: u64,
    /// Whose answer the system did not take.
    pub unsent: u64,
}

impl Statistics {
    /// Counts the end of a connection.
    pub fn count_end(&mut self, reason: CloseReason) {
        self.ended[reason as usize] += 1;
    }

    /// How many connections came, served or not.
    pub fn arrived(&self) -> u64 {
        self.accepted + self.turned_away
    }

    /// How many connections ended for this reason.
    pub fn ended(&self, reason: CloseReason) -> u64 {
        self.ended[reason as usize]
    }

    /// How many connections ended.
    pub fn ended_in_all(&self) -> u64 {
        self.ended.iter().sum()
    }
}
