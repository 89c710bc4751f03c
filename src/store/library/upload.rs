//! Uploads: written out of sight, hashed as they come, and put in their place at once or not at all.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fsync, linkat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{Library, LibraryError, Name, OWN_PREFIX, Reservation, Space};

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
    /// Bytes that it may come to.
    most: u64,
    reservation: Reservation,
    overwrite: bool,
    fsync: bool,
    space: Rc<Space>,
}

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub length: u64,
    /// Their hash.
    pub sha256: Fingerprint,
}

/// A SHA-256 (FIPS 180-4). Shown in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// After how many bytes they are sent on their way to the disk.
const WRITE_BACK_BYTES: u64 = 8 << 20;

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
    /// Begins one for which there is space.
    pub(super) fn begin(
        library: &Library,
        name: &Name,
        reservation: Reservation,
    ) -> Result<Upload, LibraryError> {
        let folder = Rc::clone(&library.folder);
        let (file, hidden) = match library.way {
            Way::Unnamed => (system::unnamed(&folder)?, None),
            Way::Named => {
                let hidden = hidden_name();
                let file = openat(&*folder, &hidden, WRITE | OFlags::CREATE | OFlags::EXCL, NEW_MODE)?;
                // Who sweeps the folder sees by it that we live.
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                library.space.note(0, 0);
                (file, Some(hidden))
            }
        };
        Ok(Upload {
            file: file.into(),
            folder,
            hidden,
            name: name.clone(),
            hasher: Sha256::new(),
            most: library.rules.max_upload,
            reservation,
            overwrite: library.rules.overwrite,
            fsync: library.rules.fsync,
            space: Rc::clone(&library.space),
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
        self.reservation.written()
    }

    /// Writes what comes next.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LibraryError> {
        let length = bytes.len() as u64;
        if self.written() + length > self.most {
            return Err(LibraryError::TooLarge);
        }
        self.reservation.ensure(length)?;
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        let before = self.written();
        self.reservation.write(length);
        if before / WRITE_BACK_BYTES != self.written() / WRITE_BACK_BYTES {
            system::begin_write_back(&self.file, before - before % WRITE_BACK_BYTES);
        }
        Ok(())
    }

    /// Puts the file in its place: whole, and only if nobody else has taken the name, unless files
    /// may be replaced.
    pub fn commit(mut self) -> Result<Stored, LibraryError> {
        if self.fsync {
            fsync(&self.file)?;
        }
        let replaced = statat(&*self.folder, self.name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        self.place()?;
        let replaced = replaced.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
        self.space.note(self.written(), replaced);
        if self.fsync {
            fsync(&*self.folder)?;
        }
        Ok(Stored { length: self.written(), sha256: Fingerprint(self.hasher.clone().finalize().into()) })
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
            self.space.note(0, 0);
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

    /// Lets the disk begin with what lies behind `offset`, so that neither a last fsync(2) nor a memory
    /// full of unwritten pages holds up the loop for long. Pages that are still to be written are
    /// not forgotten by this advice, but written; sync_file_range(2) would be its plain name.
    #[cfg(all(target_os = "linux", not(evserve_portable)))]
    pub fn begin_write_back(file: &File, offset: u64) {
        let _ = rustix::fs::fadvise(file, offset, None, rustix::fs::Advice::DontNeed);
    }

    #[cfg(not(all(target_os = "linux", not(evserve_portable))))]
    pub fn begin_write_back(_file: &File, _offset: u64) {}

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
