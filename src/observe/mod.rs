//! Logs and statistics.

mod access_log;
mod log_file;
mod log_target;
mod statistics;

pub use access_log::{AccessLog, AccessRecord, Format};
pub use log_file::{LineLog, LogFile, Reopened};
pub use log_target::LogTarget;
pub use statistics::{DatagramCounts, Statistics};
