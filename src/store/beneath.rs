//! Resolves paths that stay beneath a folder. The kernel enforces this: `openat2` with `RESOLVE_BENEATH`
//! resolves a path in one call, or a walk opens each component from the descriptor of the one before.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

/// How paths are resolved on this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathResolution {
    /// One openat2(2) per path (Linux 5.6).
    Kernel,
    /// One openat(2) with `O_NOFOLLOW` per component: for other systems, and sandboxes that forbid openat2.
    Walk,
}

/// The folder beneath which paths are resolved.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
    resolution: PathResolution,
}

/// The flags to read a regular file. `O_NONBLOCK` and `O_NOCTTY` matter only if another kind of file has
/// replaced it since it was inspected.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

const READ_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The flags to pass through a folder. On Linux this needs search permission only; other systems also need
/// read permission.
#[cfg(target_os = "linux")]
const PASS_THROUGH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PASS_THROUGH: OFlags = OFlags::RDONLY;

/// The maximum number of symbolic links in one path, the same as in Linux.
const LINKS_MAX: usize = 40;

/// The maximum number of components of a path in the walk, with those of the links in it. Each one costs
/// three system calls.
const STEPS_MAX: usize = 256;

/// The maximum length of a path in bytes, the same as in Linux (`PATH_MAX` includes the NUL).
const PATH_MAX_BYTES: usize = 4095;

impl Root {
    /// Opens `path` as a root. `None` selects the fastest resolution that works on this system.
    pub(super) fn open(path: &std::path::Path, resolution: Option<PathResolution>) -> io::Result<Root> {
        let folder = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let resolution = resolution.unwrap_or_else(|| system::lookup(folder.as_fd()));
        Ok(Root { folder, resolution })
    }

    /// Opens the folder at `path` if it is another one than this root.
    pub(super) fn find_replacement(&self, path: &std::path::Path) -> io::Result<Option<Root>> {
        if !is_replaced(self.folder.as_fd(), path)? {
            return Ok(None);
        }
        Root::open(path, Some(self.resolution)).map(Some)
    }

    /// Returns the folder, to watch it.
    #[cfg(all(target_os = "linux", not(evserve_portable)))]
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Returns the `stat` of `path`, without an open that could block, wake the writer of a FIFO or start a
    /// device.
    pub(super) fn inspect(&self, path: &[u8]) -> io::Result<Stat> {
        Ok(match self.resolution {
            PathResolution::Kernel => system::inspect(self.folder.as_fd(), path)?,
            PathResolution::Walk => match self.walk(path)? {
                Walked::Folder(folder) => fstat(folder)?,
                Walked::Other { folder, name } => statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?,
            },
        })
    }

    /// Calls fstatat(2) on `path`. Links on the path may lead out of the root, so the result may only be
    /// compared with a file that was opened beneath the root before.
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
                // The walk's descriptor may not allow reading (`O_PATH`).
                Walked::Folder(folder) => openat(folder, c".", READ_FOLDER, Mode::empty())?,
                Walked::Other { .. } => return Err(Errno::NOTDIR.into()),
            },
        })
    }

    /// Resolves `path` component by component. No system call follows a link: the components of its target
    /// are put before the remaining ones. `..` goes back to the descriptor of the parent folder.
    fn walk(&self, path: &[u8]) -> rustix::io::Result<Walked> {
        if path.len() > PATH_MAX_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        let mut above: Vec<OwnedFd> = Vec::new();
        let mut here = self.folder.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        let mut left = steps(path);
        let (mut total, mut links) = (left.len(), 0);
        if total > STEPS_MAX {
            return Err(Errno::NAMETOOLONG);
        }
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
                    let target = link_steps(&target, links)?;
                    total += target.len();
                    if total > STEPS_MAX {
                        return Err(Errno::NAMETOOLONG);
                    }
                    left.extend(target);
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

/// Returns whether another folder than `folder` is at `path`.
pub(super) fn is_replaced(folder: BorrowedFd<'_>, path: &std::path::Path) -> io::Result<bool> {
    let there = match statat(CWD, path, AtFlags::empty()) {
        // Without permission for a folder above, this one may still be there.
        Err(Errno::ACCESS) => return Ok(false),
        there => there?,
    };
    let here = fstat(folder)?;
    Ok((there.st_dev, there.st_ino) != (here.st_dev, here.st_ino))
}

/// Where a walk ended.
enum Walked {
    Folder(OwnedFd),
    /// An entry of `folder` that is neither a folder nor a link.
    Other {
        folder: OwnedFd,
        name: Vec<u8>,
    },
}

/// Splits a path into its components, in reverse order. A trailing slash becomes `.`, because both require a
/// folder.
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

/// Linux: openat2(2) resolves the path and fails with EXDEV if it would leave the folder.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
mod system {
    use super::*;
    use rustix::fs::{ResolveFlags, openat2};

    const BENEATH: ResolveFlags = ResolveFlags::BENEATH;
    const INSPECT: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

    /// The number of tries of one openat2(2). With `..` in the path it fails with EAGAIN if anything is
    /// renamed or mounted meanwhile, anywhere in the system.
    const ATTEMPTS: usize = 8;

    /// Detects sandboxes, where every openat2(2) fails with ENOSYS or EPERM.
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

/// Other systems: only the walk.
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
