//! What of a file is in the page cache, so that sending it does not wait for the disk. mincore(2) would need a mapping,
//! and cachestat(2) also counts pages that are still being read.

use std::fs::File;
#[cfg(feature = "tls")]
use std::io;
use std::io::ErrorKind;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};

use crate::store::read_cached;

/// How much of a file is read ahead at once: enough to keep a disk busy until the loop comes back, and little enough to
/// be queued within a fraction of a millisecond. The kernel may read less.
const READ_AHEAD_BYTES: u64 = 1 << 20;

/// How much of a file that was not in memory is tested at once, by reading it.
const TESTED_BYTES: usize = 64 * 1024;

/// Returns how many of the `count` bytes from `offset` can be read without waiting for the disk, and lets the kernel
/// read the others. For a file that is not known to be cold, the last byte stands for all: a file is read in order. A
/// test of a page makes the kernel read that page, so after a miss the last byte tells nothing, and all bytes of a
/// `cold` file are tested.
pub(super) fn available(file: &File, offset: u64, count: usize, cold: bool) -> usize {
    let found = match cold {
        true => read_cached(file, offset, &mut [0; TESTED_BYTES][..count.min(TESTED_BYTES)]),
        false => read_cached(file, offset + count.saturating_sub(1) as u64, &mut [0]).map(|_| count),
    };
    match found {
        Ok(0) => count,
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            read_ahead(file, offset);
            0
        }
        // Other errors are left to the read itself.
        Err(_) => count,
    }
}

/// Reads what is in memory. Fails with `ResourceBusy` if the first byte is not, and lets the kernel read it.
#[cfg(feature = "tls")]
pub(super) fn read(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    read_cached(file, offset, buffer).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => {
            read_ahead(file, offset);
            ErrorKind::ResourceBusy.into()
        }
        _ => error,
    })
}

fn read_ahead(file: &File, offset: u64) {
    let _ = fadvise(file, offset, NonZeroU64::new(READ_AHEAD_BYTES), Advice::WillNeed);
}

#[cfg(test)]
mod tests {
    use crate::clock::Instant;
    use std::io::Write;
    use std::time::Duration;

    use super::*;

    /// On a file system that keeps no pages (tmpfs) or without RWF_NOWAIT, all bytes are available at once.
    #[test]
    fn a_cold_file_becomes_available_in_order() {
        const LENGTH: usize = 4 << 20;
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&vec![7; LENGTH]).expect("content");
        file.sync_all().expect("a sync");
        fadvise(&file, 0, None, Advice::DontNeed).expect("advice");
        let deadline = Instant::now() + Duration::from_secs(20);
        let (mut offset, mut cold) = (0, false);
        while offset < LENGTH {
            let count = (LENGTH - offset).min(256 * 1024);
            let found = available(&file, offset as u64, count, cold);
            assert!(found <= count && (found == count || !cold || found <= TESTED_BYTES));
            cold = found == 0;
            offset += found;
            assert!(Instant::now() < deadline, "{offset} of {LENGTH} bytes became available");
        }
        assert_eq!(available(&file, 0, LENGTH, false), LENGTH);
    }
}
