//! Logs, statistics, and what the inspector shows: the census of the connections and the recorder of the turns.

mod access_format;
mod access_lines;
mod access_log;
mod census;
mod log_file;
mod log_target;
mod process_usage;
mod recorder;
mod stalls;
mod statistics;

pub use access_format::{AccessRecord, Format};
pub use access_lines::QueuedBytes;
pub use access_log::AccessLog;
pub use census::{
    Activity, AtDeadline, Census, ConnectionStatus, ProtocolStatus, ServiceCounts, SlotMap, Timers, Why,
};
pub use log_file::{LineLog, LogFile, Reopened};
pub use log_target::LogTarget;
pub use process_usage::ProcessUsage;
pub use recorder::{Histogram, Recorder, TurnRecord, TurnTotals};
pub use stalls::{Stall, Stalls};
pub use statistics::{DatagramCounts, Statistics};
