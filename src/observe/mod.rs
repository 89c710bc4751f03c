//! Logs and statistics.

mod access_log;
mod log_file;
mod statistics;

pub use access_log::{AccessLog, AccessRecord, Format};
pub use log_file::{LineLog, LogFile};
pub use statistics::{DatagramCounts, Statistics};
