//! Logs and statistics.

mod access_format;
mod access_lines;
mod access_log;
mod log_file;
mod log_target;
mod statistics;

pub use access_format::{AccessRecord, Format};
pub use access_lines::QueuedBytes;
pub use access_log::AccessLog;
pub use log_file::{LineLog, LogFile, Reopened};
pub use log_target::LogTarget;
pub use statistics::{DatagramCounts, Statistics};
