//! Names looked up in the library's folder: links are not followed, and only regular files count.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, Stat, openat, statat};

use super::name::Name;

/// What stands under a name, links not followed.
pub(super) fn stat_of(folder: &OwnedFd, name: &Name) -> rustix::io::Result<Stat> {
    statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
}

/// Opens what stands under a name to read it. A link is not followed, and a FIFO not waited for.
pub(super) fn open(folder: &OwnedFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}
