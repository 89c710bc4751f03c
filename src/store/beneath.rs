//! Paths that stay beneath a folder, by the kernel's word: `openat2` with `RESOLVE_BENEATH`, or
//! component by component, each step from the descriptor of the one before.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

/// How paths are resolved on this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathResolution {
    /// One openat2(2) does it all (Linux 5.6).
    Kernel,
    /// Step by step with `O_NOFOLLOW`: other systems, and sandboxes that forbid openat2.
    Walk,
}

/// A folder that paths are resolved beneath.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
    resolution: PathResolution,
}

/// To read a regular file. `O_NONBLOCK` and `O_NOCTTY` matter only if something else took its
/// place since it was inspected.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

const READ_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// To go through a folder. That takes the right to search it, on Linux; elsewhere to read it, too.
#[cfg(target_os = "linux")]
const PASS_THROUGH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PASS_THROUGH: OFlags = OFlags::RDONLY;

/// Symbolic links in one path, as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Steps of one path in the walk, which pays three system calls for each.
const STEPS_MAX: usize = 256;

/// Bytes of a path, as many as Linux takes (`PATH_MAX` with its NUL).
const PATH_MAX_BYTES: usize = 4095;

impl Root {
    /// Opens `path` as a root. With `None` the fastest lookup that works here is taken.
    pub(super) fn open(path: &std::path::Path, resolution: Option<PathResolution>) -> io::Result<Root> {
        let folder = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let resolution = resolution.unwrap_or_else(|| system::lookup(folder.as_fd()));
        Ok(Root { folder, resolution })
    }

    /// Says what stands at `path`, without opening it in a way that could block, wake a writer of
    /// a FIFO or start a device.
    pub(super) fn inspect(&self, path: &[u8]) -> io::Result<Stat> {
        Ok(match self.resolution {
            PathResolution::Kernel => system::inspect(self.folder.as_fd(), path)?,
            PathResolution::Walk => match self.walk(path)? {
                Walked::Folder(folder) => fstat(folder)?,
                Walked::Other { folder, name } => statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?,
            },
        })
    }

    /// What fstatat(2) says of `path`, wherever links on the way lead: only to compare with what was
    /// opened beneath the root before.
    pub(super) fn stat(&self, path: &[u8], flags: AtFlags) -> io::Result<Stat> {
        Ok(statat(&self.folder, path, flags)?)
    }

    /// Opens the regular file at `path` for reading.
    pub(super) fn open_file(&self, path: &[u8]) -> io::Result<OwnedFd> {
        Ok(match self.resolution {
            PathResolution::Kernel => system::open_file(self.folder.as_fd(), path)?,
            PathResolution::Walk => match self.walk(path)? {
                Walked::Folder(_) => return Err(Errno::ISDIR.into()),
                Walked::Other { folder, name } => {
                    openat(folder, name, READ | OFlags::NOFOLLOW, Mode::empty())?
                }
            },
        })
    }

    /// Opens the folder at `path` for reading its entries.
    pub(super) fn open_folder(&self, path: &[u8]) -> io::Result<OwnedFd> {
        Ok(match self.resolution {
            PathResolution::Kernel => system::open_folder(self.folder.as_fd(), path)?,
            PathResolution::Walk => match self.walk(path)? {
                // The walk's descriptor may be one to pass through only.
                Walked::Folder(folder) => openat(folder, c".", READ_FOLDER, Mode::empty())?,
                Walked::Other { .. } => return Err(Errno::NOTDIR.into()),
            },
        })
    }

    /// Resolves `path` step by step. No step follows a link; a link's target is put in front of
    /// the steps that are left, and `..` goes back to a descriptor we came from.
    fn walk(&self, path: &[u8]) -> rustix::io::Result<Walked> {
        if path.len() > PATH_MAX_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        let mut above: Vec<OwnedFd> = Vec::new();
        let mut here = self.folder.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        let mut left = steps(path);
        if left.len() > STEPS_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let mut links = 0;
        while let Some(step) = left.pop() {
            match step.as_slice() {
                b"." => continue,
                b".." => {
                    here = above.pop().ok_or(Errno::XDEV)?;
                    continue;
                }
                _ => {}
            }
            let stat = statat(&here, &step, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    let target = readlinkat(&here, &step, Vec::new())?;
                    left.extend(link_steps(&target, links)?);
                }
                FileType::Directory => {
                    let flags = PASS_THROUGH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let below = openat(&here, &step, flags, Mode::empty())?;
                    above.push(std::mem::replace(&mut here, below));
                }
                _ if left.is_empty() => return Ok(Walked::Other { folder: here, name: step }),
                _ => return Err(Errno::NOTDIR),
            }
        }
        Ok(Walked::Folder(here))
    }
}

/// Where a walk ended.
enum Walked {
    Folder(OwnedFd),
    /// Something that is neither folder nor link, by its name in a folder.
    Other {
        folder: OwnedFd,
        name: Vec<u8>,
    },
}

/// The steps of a path, the first one last. A slash at the end asks for a folder, as `.` does.
fn steps(path: &[u8]) -> Vec<Vec<u8>> {
    let end = path.ends_with(b"/").then(|| b".".to_vec());
    let names = path.split(|byte| *byte == b'/').rev().filter(|name| !name.is_empty());
    end.into_iter().chain(names.map(<[u8]>::to_vec)).collect()
}

fn link_steps(target: &CStr, links: usize) -> rustix::io::Result<Vec<Vec<u8>>> {
    if links > LINKS_MAX {
        return Err(Errno::LOOP);
    }
    match target.to_bytes() {
        [b'/', ..] => Err(Errno::XDEV),
        target => Ok(steps(target)),
    }
}

/// Linux: the kernel resolves the whole path and refuses to leave the folder.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
mod system {
    use super::*;
    use rustix::fs::{ResolveFlags, openat2};

    const BENEATH: ResolveFlags = ResolveFlags::BENEATH;
    const INSPECT: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

    /// A rename or a mount elsewhere in the tree makes a lookup with `..` uncertain; the kernel
    /// then says EAGAIN.
    const ATTEMPTS: usize = 8;

    /// Sandboxes answer ENOSYS or EPERM, whatever is asked.
    pub(super) fn lookup(folder: BorrowedFd<'_>) -> PathResolution {
        match openat2(folder, c".", INSPECT, Mode::empty(), BENEATH) {
            Err(Errno::NOSYS | Errno::PERM) => PathResolution::Walk,
            _ => PathResolution::Kernel,
        }
    }

    pub(super) fn inspect(folder: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<Stat> {
        fstat(open(folder, path, INSPECT)?)
    }

    pub(super) fn open_file(folder: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        open(folder, path, READ)
    }

    pub(super) fn open_folder(folder: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        open(folder, path, READ_FOLDER)
    }

    fn open(folder: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let mut result = Err(Errno::AGAIN);
        for _ in 0..ATTEMPTS {
            result = openat2(folder, path, flags, Mode::empty(), BENEATH);
            if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        result
    }
}

/// Elsewhere there is only the walk.
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
mod system {
    use super::*;

    pub(super) fn lookup(_folder: BorrowedFd<'_>) -> PathResolution {
        PathResolution::Walk
    }

    pub(super) fn inspect(_folder: BorrowedFd<'_>, _path: &[u8]) -> rustix::io::Result<Stat> {
        Err(Errno::NOSYS)
    }

    pub(super) fn open_file(_folder: BorrowedFd<'_>, _path: &[u8]) -> rustix::io::Result<OwnedFd> {
        Err(Errno::NOSYS)
    }

    pub(super) fn open_folder(_folder: BorrowedFd<'_>, _path: &[u8]) -> rustix::io::Result<OwnedFd> {
        Err(Errno::NOSYS)
    }
}
