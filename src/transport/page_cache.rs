//! Whether a part of a file is in the page cache, so that sending it does not wait for the disk. mincore(2) would need
//! a mapping, and does not tell about pages that are still being read.

use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// How much of a file is read ahead at once: enough to keep a disk busy until the loop comes back, and little enough to
/// be queued within a fraction of a millisecond.
const READ_AHEAD_BYTES: u64 = 1 << 20;

/// Returns whether `count` bytes from `offset` can be read without waiting for the disk, as far as the last of them
/// tells: the kernel reads a file in order, and a second probe would cost as much as the first. If not, the kernel
/// starts to read them.
pub(super) fn is_cached(file: &File, offset: u64, count: usize) -> bool {
    let last = offset + (count as u64).saturating_sub(1);
    let mut byte = [0];
    // Other errors, such as that of a file system without RWF_NOWAIT, are left to the read itself.
    let probe = preadv2(file, &mut [IoSliceMut::new(&mut byte)], last, ReadWriteFlags::NOWAIT);
    let is_cached = probe != Err(Errno::AGAIN);
    if !is_cached {
        let _ = fadvise(file, offset, NonZeroU64::new(READ_AHEAD_BYTES), Advice::WillNeed);
    }
    is_cached
}
