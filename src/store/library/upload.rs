//! Uploads: written out of sight, hashed as they come, and put in their place at once or not at all.

use std::cell::Cell;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fsync, linkat, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{Library, LibraryError, Name, OWN_PREFIX};

/// How an upload is kept out of sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In a file without a name (O_TMPFILE, Linux), which vanishes with the server.
    Unnamed,
    /// Under a hidden name: other systems, and file systems without O_TMPFILE.
    Named,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Upload {
    file: File,
    folder: Rc<OwnedFd>,
    /// Its hidden name, if it has one.
    hidden: Option<String>,
    name: Name,
    hasher: Sha256,
    written: u64,
    /// Bytes that it may come to.
    most: u64,
    overwrite: bool,
    fsync: bool,
    announced: Announced,
}

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub length: u64,
    /// Their SHA-256 (FIPS 180-4).
    pub sha256: [u8; 32],
}

/// Space that is spoken for, until it is written or given up.
#[derive(Debug)]
struct Announced {
    sum: Rc<Cell<u64>>,
    bytes: u64,
}

impl Announced {
    fn less(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.sum.set(self.sum.get() - bytes);
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.less(self.bytes);
    }
}

const WRITE: OFlags = OFlags::WRONLY.union(OFlags::CLOEXEC);

/// What a new file may be; the umask takes from it.
const NEW_MODE: Mode = Mode::from_raw_mode(0o666);

impl Way {
    /// Tries what works in `folder`.
    pub fn find(folder: &OwnedFd) -> Way {
        let trial = hidden_name();
        let works = system::unnamed(folder).and_then(|file| system::link(&file, folder, &trial));
        let _ = unlinkat(folder, trial, AtFlags::empty());
        if works.is_ok() { Way::Unnamed } else { Way::Named }
    }
}

impl Upload {
    /// Begins one of `most` bytes at most.
    pub(super) fn begin(
        library: &Library,
        name: &Name,
        length: Option<u64>,
        most: u64,
    ) -> Result<Upload, LibraryError> {
        let folder = Rc::clone(&library.folder);
        let (file, hidden) = match library.way {
            Way::Unnamed => (system::unnamed(&folder)?, None),
            Way::Named => {
                let hidden = hidden_name();
                let file = openat(&*folder, &hidden, WRITE | OFlags::CREATE | OFlags::EXCL, NEW_MODE)?;
                // Who sweeps the folder sees by it that we live.
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                (file, Some(hidden))
            }
        };
        let sum = Rc::clone(&library.announced);
        let bytes = length.unwrap_or(0);
        sum.set(sum.get() + bytes);
        Ok(Upload {
            file: file.into(),
            folder,
            hidden,
            name: name.clone(),
            hasher: Sha256::new(),
            written: 0,
            most,
            overwrite: library.rules.overwrite,
            fsync: library.rules.fsync,
            announced: Announced { sum, bytes },
        })
    }

    /// What it will be called.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Lets it take its name only if nobody has it, whatever the rules allow.
    pub fn only_if_new(mut self) -> Upload {
        self.overwrite = false;
        self
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes what comes next.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LibraryError> {
        let after = self.written + bytes.len() as u64;
        if after > self.most {
            return Err(LibraryError::TooLarge);
        }
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.written = after;
        self.announced.less(bytes.len() as u64);
        Ok(())
    }

    /// Puts the file in its place: whole, and only if nobody else has taken the name, unless files
    /// may be replaced.
    pub fn commit(mut self) -> Result<Stored, LibraryError> {
        if self.fsync {
            fsync(&self.file)?;
        }
        self.place()?;
        if self.fsync {
            fsync(&*self.folder)?;
        }
        Ok(Stored { length: self.written, sha256: self.hasher.clone().finalize().into() })
    }

    fn place(&mut self) -> Result<(), LibraryError> {
        let name = self.name.as_str();
        if !self.overwrite {
            match &self.hidden {
                None => system::link(&self.file, &self.folder, name)?,
                Some(hidden) => match linkat(&*self.folder, hidden, &*self.folder, name, AtFlags::empty()) {
                    // A file system without hard links, as those of cameras and phones.
                    Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {
                        system::rename_new(&self.folder, hidden, name)?;
                        self.hidden = None;
                    }
                    linked => linked?,
                },
            }
            return Ok(());
        }
        // A file without a name cannot replace one: it gets a hidden name first.
        if self.hidden.is_none() {
            let hidden = hidden_name();
            system::link(&self.file, &self.folder, &hidden)?;
            self.hidden = Some(hidden);
        }
        if let Some(hidden) = &self.hidden {
            renameat(&*self.folder, hidden, &*self.folder, name)?;
            self.hidden = None;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            let _ = unlinkat(&*self.folder, hidden, AtFlags::empty());
        }
    }
}

/// A name that nobody has and nobody can guess.
fn hidden_name() -> String {
    format!("{OWN_PREFIX}{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// What only some systems have.
mod system {
    use super::*;
    use std::os::fd::AsFd;

    /// A file without a name.
    #[cfg(all(target_os = "linux", not(evserve_portable)))]
    pub fn unnamed(folder: &OwnedFd) -> rustix::io::Result<OwnedFd> {
        openat(folder, ".", WRITE | OFlags::TMPFILE, NEW_MODE)
    }

    #[cfg(not(all(target_os = "linux", not(evserve_portable))))]
    pub fn unnamed(_folder: &OwnedFd) -> rustix::io::Result<OwnedFd> {
        Err(Errno::NOSYS)
    }

    /// Names it. Through /proc, since AT_EMPTY_PATH takes a capability.
    pub fn link(file: impl AsFd, folder: &OwnedFd, name: &str) -> rustix::io::Result<()> {
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        linkat(CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)
    }

    /// Renames a file unless the new name is taken.
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    pub fn rename_new(folder: &OwnedFd, from: &str, to: &str) -> rustix::io::Result<()> {
        use rustix::fs::{RenameFlags, renameat_with};
        renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE)
    }

    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    pub fn rename_new(_folder: &OwnedFd, _from: &str, _to: &str) -> rustix::io::Result<()> {
        Err(Errno::OPNOTSUPP)
    }
}
