//! The CPU time and the memory of the process.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The resources that the process uses.
#[derive(Clone, Copy, Debug)]
pub struct ProcessUsage {
    /// User and system time.
    pub cpu: Duration,
    /// Bytes of resident memory, where the system tells (proc(5)).
    pub resident_bytes: Option<u64>,
}

impl ProcessUsage {
    /// Asks the system.
    pub fn read() -> ProcessUsage {
        let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
        ProcessUsage { cpu: cpu.map_or(Duration::ZERO, Duration::from), resident_bytes: resident_bytes() }
    }
}

/// Reads VmRSS of /proc/self/status, which is not on a disk, so the read does not block.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
