//! The limits and timeouts that users or the system can set.

use std::time::Duration;

/// The limits that users or the system can set.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The maximum number of open connections.
    pub max_connections: usize,
    /// The maximum number of descriptors for uploads, large files and listings. It depends on RLIMIT_NOFILE.
    pub max_files: usize,
    /// The maximum number of open connections per client address; 0 means no limit.
    pub max_per_client: usize,
    /// The pause between two messages to legacy clients.
    pub pace: Duration,
    /// The timeouts.
    pub timeouts: Timeouts,
}

/// The timeouts that users can set.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// The time that a connection may be idle between two requests.
    pub idle: Duration,
    /// The time for a complete request head, from its first byte; for the first head, from the accept.
    pub head: Duration,
    /// The time that a file protocol connection may be idle between two commands.
    pub file_idle: Duration,
    /// The time that a request body may pause.
    pub body: Duration,
    /// The time that output may make no progress.
    pub write: Duration,
    /// The time for all connections to close after SIGTERM.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 16_000,
            max_files: 4000,
            max_per_client: 0,
            pace: Duration::from_millis(100),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            file_idle: Duration::from_secs(3600),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}
