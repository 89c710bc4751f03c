//! Calls that only some systems have, and what is done without them.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

#[cfg(all(target_os = "linux", not(evserve_portable)))]
use rustix::fs::openat;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};

/// How a file that is being written is opened.
pub(super) const WRITE: OFlags = OFlags::WRONLY.union(OFlags::CLOEXEC);

/// What a new file may be; the umask takes from it.
pub(super) const NEW_MODE: Mode = Mode::from_raw_mode(0o666);

/// A file without a name.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
pub(super) fn unnamed(folder: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    openat(folder, ".", WRITE | OFlags::TMPFILE, NEW_MODE)
}

#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub(super) fn unnamed(_folder: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    Err(rustix::io::Errno::NOSYS)
}

/// Lets the disk begin with what lies behind `offset`, so that neither a last fsync(2) nor a memory
/// full of unwritten pages holds up the loop for long. Pages that are still to be written are
/// not forgotten by this advice, but written; sync_file_range(2) would be its plain name.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
pub(super) fn begin_write_back(file: &File, offset: u64) {
    let _ = rustix::fs::fadvise(file, offset, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub(super) fn begin_write_back(_file: &File, _offset: u64) {}

/// Names it. Through /proc, since AT_EMPTY_PATH takes a capability.
pub(super) fn link(file: impl AsFd, folder: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    linkat(CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)
}

/// Renames a file unless the new name is taken.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub(super) fn rename_new(from: &OwnedFd, old: &str, to: &OwnedFd, new: &str) -> rustix::io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    renameat_with(from, old, to, new, RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub fn rename_new(_from: &OwnedFd, _old: &str, _to: &OwnedFd, _new: &str) -> rustix::io::Result<()> {
    Err(rustix::io::Errno::OPNOTSUPP)
}
