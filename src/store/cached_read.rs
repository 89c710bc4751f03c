//! Reads the part of a file that is in memory, without waiting for the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Reads from `offset` into `buffer`, and returns the number of bytes read. Fails with `WouldBlock` if the first of
/// them is not in memory, and waits for the disk only if the system or the file system cannot tell.
pub(crate) fn read_cached(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    #[cfg(all(target_os = "linux", not(evserve_portable)))]
    {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        match preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => return Ok(count),
            Err(Errno::AGAIN) => return Err(io::ErrorKind::WouldBlock.into()),
            // Other errors, such as that of a file system without RWF_NOWAIT, are left to the read below.
            Err(_) => {}
        }
    }
    file.read_at(buffer, offset)
}

#[cfg(all(test, target_os = "linux", not(evserve_portable)))]
mod tests {
    use super::*;
    use std::io::{ErrorKind, IoSliceMut, Write};

    use rustix::fs::{Advice, fadvise};
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    /// Creates a file that is on the disk only, if the file system can drop it from memory.
    fn file_on_disk() -> File {
        let program = std::env::current_exe().expect("the path of this program");
        let mut file = tempfile::tempfile_in(program.parent().expect("its folder")).expect("a file");
        file.write_all(&vec![b'x'; 1 << 20]).expect("space");
        file.sync_all().expect("a disk");
        fadvise(&file, 0, None, Advice::DontNeed).expect("advice");
        file
    }

    #[test]
    fn a_part_that_is_not_in_memory_is_not_waited_for() {
        let (probed, file) = (file_on_disk(), file_on_disk());
        let mut buffer = [0; 4096];
        let probe = preadv2(&probed, &mut [IoSliceMut::new(&mut buffer)], 0, ReadWriteFlags::NOWAIT);
        if probe == Err(Errno::AGAIN) {
            let error = read_cached(&file, 0, &mut buffer).expect_err("a file that is not in memory");
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        file.read_exact_at(&mut buffer, 0).expect("a read");
        assert_eq!(read_cached(&file, 0, &mut buffer[..100]).expect("bytes in memory"), 100);
        assert_eq!(read_cached(&file, 1 << 20, &mut buffer).expect("the end"), 0);
    }
}
