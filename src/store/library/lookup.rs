//! Looks up names in the library's folder without following symbolic links.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, Stat, openat, statat};

use super::name::Name;

pub(super) fn stat_of(folder: &OwnedFd, name: &Name) -> rustix::io::Result<Stat> {
    statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
}

/// Opens `name` for reading. Fails for a symbolic link, and does not wait for the writer of a FIFO.
pub(super) fn open(folder: &OwnedFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}
