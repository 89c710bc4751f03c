//! Counters since the start of the server.

use std::ops::Add;

use crate::close_reason::CloseReason;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Connections that were accepted and served.
    pub accepted: u64,
    /// Connections that were rejected: over the limit per client address, or for lack of a descriptor.
    pub turned_away: u64,
    /// Requests and other messages that were answered.
    pub requests: u64,
    /// Bytes received on connections.
    pub received_bytes: u64,
    /// Bytes that the kernel accepted for sending on connections.
    pub sent_bytes: u64,
    pub datagrams: DatagramCounts,
    /// Files stored in the library, and their bytes.
    pub uploads: u64,
    pub upload_bytes: u64,
    /// Files deleted from the library.
    pub deleted: u64,
    ended: [u64; CloseReason::ALL.len()],
}

/// Counters of datagrams since the start of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatagramCounts {
    /// Datagrams received, including the ones that were dropped.
    pub received: u64,
    /// Datagrams that were answered.
    pub answered: u64,
    /// Datagrams that were dropped because they were longer than the buffer.
    pub truncated: u64,
    /// Replies that the kernel did not accept.
    pub unsent: u64,
}

impl Add<&Statistics> for &Statistics {
    type Output = Statistics;

    fn add(self, other: &Statistics) -> Statistics {
        let (own, others) = (&self.datagrams, &other.datagrams);
        Statistics {
            accepted: self.accepted + other.accepted,
            turned_away: self.turned_away + other.turned_away,
            requests: self.requests + other.requests,
            received_bytes: self.received_bytes + other.received_bytes,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            datagrams: DatagramCounts {
                received: own.received + others.received,
                answered: own.answered + others.answered,
                truncated: own.truncated + others.truncated,
                unsent: own.unsent + others.unsent,
            },
            uploads: self.uploads + other.uploads,
            upload_bytes: self.upload_bytes + other.upload_bytes,
            deleted: self.deleted + other.deleted,
            ended: std::array::from_fn(|index| self.ended[index] + other.ended[index]),
        }
    }
}

impl Statistics {
    /// Counts a closed connection.
    pub fn count_end(&mut self, reason: CloseReason) {
        self.ended[reason as usize] += 1;
    }

    /// Returns the number of connections that arrived, whether they were served or rejected.
    pub fn arrived(&self) -> u64 {
        self.accepted + self.turned_away
    }

    /// Returns the number of connections that were closed for this reason.
    pub fn ended(&self, reason: CloseReason) -> u64 {
        self.ended[reason as usize]
    }

    /// Returns the number of connections that were closed for any reason.
    pub fn ended_in_all(&self) -> u64 {
        self.ended.iter().sum()
    }
}
