//! The local side of a download: where its bytes go, and the file that becomes visible when it is complete.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Seek, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use evserve::store::Sha256Digest;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::source::fingerprint;

/// The target of a download.
#[derive(Debug)]
pub(crate) enum Target {
    Stdout,
    /// A device or a FIFO, which is written to.
    Special(PathBuf),
    /// A file, which is replaced when the download is complete. It may not exist yet.
    File(PathBuf),
}

/// The number of symbolic links that lead to a file, as in Linux (path_resolution(7)).
const LINKS_MAX: usize = 40;

impl Target {
    /// Returns the target of the file `name`: `to`, a file in the folder `to`, or the file of this name.
    pub(crate) fn of(name: &str, to: Option<&Path>) -> Result<Target, Failure> {
        let own = Path::new(name).file_name().map(Path::new);
        let own = own.ok_or_else(|| Failure::Local("it is not a file name".into()))?;
        match to {
            None => Target::at(own),
            Some(path) if path == "-" || path == "/dev/stdout" => Ok(Target::Stdout),
            Some(path) if is_folder(path) => Target::at(&path.join(own)),
            Some(path) => Target::at(path),
        }
    }

    /// Follows symbolic links, so that the file they lead to is replaced and the links stay.
    fn at(path: &Path) -> Result<Target, Failure> {
        let failure = |error| Failure::write(path, &error);
        match fs::metadata(path) {
            Ok(known) if known.is_dir() => {
                Err(Failure::Local(format!("cannot write {}: it is a folder", path.display())))
            }
            Ok(known) if !known.is_file() => Ok(Target::Special(path.to_owned())),
            Ok(_) if path.is_symlink() => path.canonicalize().map(Target::File).map_err(failure),
            Ok(_) => Ok(Target::File(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing_file(path).map(Target::File).map_err(failure)
            }
            Err(error) => Err(failure(error)),
        }
    }

    /// Opens a target that is written to and not replaced. Opening a FIFO waits for its reader.
    pub(crate) fn open(&self) -> Result<OpenTarget<'_>, Failure> {
        match self {
            Target::Stdout => Ok(OpenTarget::Output(Output { writer: Box::new(io::stdout()), path: None })),
            Target::Special(path) => {
                let file = File::options().write(true).open(path);
                let writer = Box::new(file.map_err(|error| Failure::write(path, &error))?);
                Ok(OpenTarget::Output(Output { writer, path: Some(path.clone()) }))
            }
            Target::File(path) => Ok(OpenTarget::Replaced(path)),
        }
    }
}

/// Returns whether a path is that of a folder: of an existing one, or by its last character.
pub(crate) fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_bytes().ends_with(b"/")
}

/// Returns the file that a write to `path` creates: `path`, or where its dangling links lead.
fn missing_file(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(path),
        }
    }
    Err(Errno::LOOP.into())
}

/// A target that is ready for its bytes.
pub(crate) enum OpenTarget<'a> {
    Output(Output),
    /// A file, which a [`Download`] replaces.
    Replaced(&'a Path),
}

/// Standard output, a device or a FIFO.
pub(crate) struct Output {
    writer: Box<dyn Write>,
    /// `None` is standard output.
    path: Option<PathBuf>,
}

impl Output {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let done = self.writer.write_all(bytes);
        done.map_err(|error| self.failure(&error))
    }

    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let done = self.writer.flush();
        done.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &io::Error) -> Failure {
        match &self.path {
            None => Failure::stdout(error),
            Some(path) => Failure::write(path, error),
        }
    }
}

/// A download in progress. Its file has a hidden name, under which the download can be resumed, or no name.
#[derive(Debug)]
pub(crate) struct Download {
    file: File,
    hidden: Option<PathBuf>,
    target: PathBuf,
    /// The number of bytes that an earlier download left.
    pub offset: u64,
}

impl Download {
    /// Begins a download of `length` bytes, or resumes an earlier one of the same version. `version` consists
    /// of ASCII letters and digits.
    pub(crate) fn resume(target: &Path, version: &str, length: u64) -> Result<Download, Failure> {
        let hidden = hidden_beside(target, &format!("{length}-{version}"));
        let failure = |error| Failure::write(&hidden, &error);
        let mut file = open_part(target, &hidden).map_err(failure)?;
        if file.metadata().map_err(failure)?.len() > length {
            file.set_len(0).map_err(failure)?;
        }
        let offset = file.seek(io::SeekFrom::End(0)).map_err(failure)?;
        Ok(Download { file, hidden: Some(hidden), target: target.to_owned(), offset })
    }

    /// Begins a download that cannot be resumed. Its file has no name, so it vanishes if the download fails.
    pub(crate) fn begin(target: &Path) -> Result<Download, Failure> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = tempfile::tempfile_in(folder.unwrap_or(Path::new(".")));
        let file = file.map_err(|error| Failure::write(target, &error))?;
        Ok(Download { file, hidden: None, target: target.to_owned(), offset: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| Failure::write(&self.target, &error))
    }

    /// Returns the digest of the received file.
    pub(crate) fn fingerprint(&mut self) -> Result<Sha256Digest, Failure> {
        let found = fingerprint(&mut self.file).map_err(|error| Failure::write(&self.target, &error))?;
        Ok(found.0)
    }

    /// Moves the complete file to its target, and removes the parts of the target's other versions.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let failure = |error| Failure::write(&self.target, &error);
        let hidden = self.hidden.clone().unwrap_or_else(|| hidden_beside(&self.target, "whole"));
        let moved = self.prepare(&hidden).and_then(|()| fs::rename(&hidden, &self.target));
        if moved.is_err() && self.hidden.is_none() {
            let _ = fs::remove_file(&hidden);
        }
        moved.map_err(failure)?;
        remove_parts(&self.target);
        Ok(())
    }

    /// Gives the file its hidden name, and the owner and mode of the file that it replaces.
    fn prepare(&self, hidden: &Path) -> io::Result<()> {
        let mut copy = None;
        if self.hidden.is_none() {
            // Left by a client that was killed here.
            let _ = fs::remove_file(hidden);
            let mut source = &self.file;
            source.rewind()?;
            io::copy(&mut source, copy.insert(new_part(&self.target).open(hidden)?))?;
        }
        let Some(replaced) = replaced(&self.target)? else { return Ok(()) };
        let file = copy.as_ref().unwrap_or(&self.file);
        // Only root may give files away.
        let _ = fchown(file, Some(replaced.uid()), Some(replaced.gid()));
        file.set_permissions(fs::Permissions::from_mode(replaced.mode() & 0o777))
    }

    /// Removes the received bytes.
    pub(crate) fn discard(self) {
        if let Some(hidden) = &self.hidden {
            let _ = fs::remove_file(hidden);
        }
    }
}

/// Returns the file that a download replaces. The target was a file when the download began, and may have
/// been replaced since.
fn replaced(target: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(target) {
        Ok(known) if known.is_file() => Ok(Some(known)),
        Ok(_) => Err(io::Error::other("it is no longer a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns how a hidden file is opened: never through a link that another user has put there, and never
/// readable for more users than the file it replaces.
fn new_part(target: &Path) -> fs::OpenOptions {
    let mode = replaced(target).ok().flatten().map_or(0o666, |known| known.mode() & 0o777 | 0o600);
    let mut options = File::options();
    options.create(true).append(true).read(true).mode(mode).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    options
}

/// Opens or creates the part of a download and locks it, so that two downloads do not write to one part.
fn open_part(target: &Path, hidden: &Path) -> io::Result<File> {
    loop {
        let file = new_part(target).open(hidden)?;
        let known = file.metadata()?;
        if !known.is_file() {
            return Err(io::Error::other("it is not a file; remove it"));
        }
        if is_locked(&file) {
            return Err(io::Error::other("another evclient is downloading this file"));
        }
        // Before it was locked, the other download may have finished and moved it.
        if fs::symlink_metadata(hidden).is_ok_and(|now| (now.dev(), now.ino()) == (known.dev(), known.ino()))
        {
            return Ok(file);
        }
    }
}

/// Locks a file, and returns whether another process has it locked. Some file systems have no locks.
fn is_locked(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
}

/// The maximum length of a target's name in its hidden name, which has the version, too, and at most 255 bytes.
const STEM_MAX_BYTES: usize = 190;

/// Returns the part of a hidden name before the version.
fn hidden_stem(target: &Path) -> Vec<u8> {
    let name = target.file_name().unwrap_or_default().as_bytes();
    if name.len() > STEM_MAX_BYTES {
        return format!(".{}.", Sha256Digest::of(Sha256::new_with_prefix(name))).into_bytes();
    }
    [b".", name, b"."].concat()
}

fn hidden_beside(target: &Path, version: &str) -> PathBuf {
    let name = [&hidden_stem(target), version.as_bytes(), b".part"].concat();
    target.with_file_name(OsString::from_vec(name))
}

/// Removes the parts that interrupted downloads of other versions of the target have left.
fn remove_parts(target: &Path) {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return };
    let stem = hidden_stem(target);
    for entry in entries.filter_map(Result::ok).filter(|entry| is_part(entry, &stem)) {
        let open = File::options().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(entry.path());
        if open.is_ok_and(|file| !is_locked(&file)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Returns whether an entry is named like a part with this stem: stem, length, `-`, version, `.part`.
fn is_part(entry: &DirEntry, stem: &[u8]) -> bool {
    let name: &OsStr = &entry.file_name();
    let version = name.as_bytes().strip_prefix(stem).and_then(|rest| rest.strip_suffix(b".part"));
    let Some(dash) = version.and_then(|version| version.iter().position(|byte| *byte == b'-')) else {
        return false;
    };
    let (length, version) = version.unwrap_or_default().split_at(dash);
    let is_version =
        length.iter().all(u8::is_ascii_digit) && version[1..].iter().all(u8::is_ascii_alphanumeric);
    is_version && entry.file_type().is_ok_and(|kind| kind.is_file())
}
