//! System calls that only some systems have, and their replacements elsewhere.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

#[cfg(all(target_os = "linux", not(evserve_portable)))]
use rustix::fs::openat;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};

/// The flags to open the file of an upload.
pub(super) const WRITE: OFlags = OFlags::WRONLY.union(OFlags::CLOEXEC);

/// The mode of a new file, before the umask is applied.
pub(super) const NEW_MODE: Mode = Mode::from_raw_mode(0o666);

/// Creates a file without a name.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
pub(super) fn unnamed(folder: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    openat(folder, ".", WRITE | OFlags::TMPFILE, NEW_MODE)
}

#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub(super) fn unnamed(_folder: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    Err(rustix::io::Errno::NOSYS)
}

/// Starts to write the file's pages from `offset` on to the disk, so that neither the final fsync(2) nor a
/// memory full of dirty pages blocks the loop for long. The kernel does not drop dirty pages on
/// `POSIX_FADV_DONTNEED`, but writes them. The direct call is sync_file_range(2), which rustix does not have.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
pub(super) fn begin_write_back(file: &File, offset: u64) {
    let _ = rustix::fs::fadvise(file, offset, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub(super) fn begin_write_back(_file: &File, _offset: u64) {}

/// Gives an unnamed file a name. Goes through /proc, because AT_EMPTY_PATH requires CAP_DAC_READ_SEARCH.
pub(super) fn link(file: impl AsFd, folder: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    linkat(CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)
}

/// Renames a file, and fails if the new name is taken.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub(super) fn rename_new(from: &OwnedFd, old: &str, to: &OwnedFd, new: &str) -> rustix::io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    renameat_with(from, old, to, new, RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub fn rename_new(_from: &OwnedFd, _old: &str, _to: &OwnedFd, _new: &str) -> rustix::io::Result<()> {
    Err(rustix::io::Errno::OPNOTSUPP)
}
