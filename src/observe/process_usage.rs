//! What the process uses of the machine.

use std::time::Duration;

use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

/// What the process uses.
#[derive(Clone, Copy, Debug)]
pub struct ProcessUsage {
    /// User and system time.
    pub cpu: Duration,
    /// Bytes of resident memory, where the system tells (proc(5)).
    pub resident_bytes: Option<u64>,
}

impl ProcessUsage {
    pub fn read() -> ProcessUsage {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32);
        ProcessUsage { cpu, resident_bytes: resident_pages().map(|pages| pages * page_size() as u64) }
    }
}

/// Reads the second number of statm. The kernel makes the file at this call; no disk is involved.
fn resident_pages() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split_whitespace().nth(1)?.parse().ok()
}
