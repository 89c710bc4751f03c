//! The local side of a download: where its bytes go, and the file that becomes visible when it is complete.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use evserve::observe::LogTarget;
use evserve::store::Sha256Digest;
use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags, flock, linkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempPath};

use super::failure::Failure;
use super::source::fingerprint;

/// The target of a download.
#[derive(Debug)]
pub(crate) enum Target {
    Stdout,
    Stderr,
    /// A device, a FIFO or an open descriptor, which is written to.
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
            Some(path) if path == "-" => Ok(Target::Stdout),
            Some(path) if is_folder(path) => Target::at(&path.join(own)),
            Some(path) => Target::at(path),
        }
    }

    /// Follows symbolic links, so that the file they lead to is replaced and the links stay. A name of an open
    /// descriptor, such as `/dev/fd/1`, is also a link to its file, but stands for the descriptor.
    fn at(path: &Path) -> Result<Target, Failure> {
        match LogTarget::Path(path.to_owned()).resolve() {
            LogTarget::Stdout => return Ok(Target::Stdout),
            LogTarget::Stderr => return Ok(Target::Stderr),
            LogTarget::Path(_) => {}
        }
        let failure = |error| Failure::write(path, &error);
        match fs::metadata(path) {
            Ok(known) if known.is_dir() => {
                Err(Failure::Local(format!("cannot write {}: it is a folder", path.display())))
            }
            Ok(known) if !known.is_file() || is_descriptor(path) => Ok(Target::Special(path.to_owned())),
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
            Target::Stderr => {
                let path = Some(PathBuf::from("/dev/stderr"));
                Ok(OpenTarget::Output(Output { writer: Box::new(io::stderr()), path }))
            }
            Target::Special(path) => {
                // The file of a descriptor must not be overwritten from its beginning.
                let file = File::options().append(true).open(path);
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

/// Returns whether a path names an open descriptor of a process, such as `/dev/fd/3`.
fn is_descriptor(path: &Path) -> bool {
    let folder = folder_of(path).canonicalize();
    path.is_symlink() && folder.is_ok_and(|folder| folder.starts_with("/proc"))
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

/// A standard stream, a device, a FIFO or an open descriptor.
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

/// A download in progress. Its file has a hidden name, or none.
#[derive(Debug)]
pub(crate) struct Download {
    file: File,
    part: Part,
    target: PathBuf,
    /// The number of bytes that an earlier download left.
    pub offset: u64,
}

/// The hidden name of a download.
#[derive(Debug)]
enum Part {
    /// A name of this version of the target, under which a failed download can be resumed.
    Resumable(PathBuf),
    /// No name, so the file vanishes if the download fails, even if the client is killed.
    Unnamed,
    /// A unique name, which is removed if the download fails. Some systems have no unnamed files.
    Temporary(TempPath),
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
        Ok(Download { file, part: Part::Resumable(hidden), target: target.to_owned(), offset })
    }

    /// Begins a download that cannot be resumed.
    pub(crate) fn begin(target: &Path) -> Result<Download, Failure> {
        let unnamed = open_unnamed(target).map(|file| (file, Part::Unnamed));
        let temporary = || temporary_part(target).map(|(file, path)| (file, Part::Temporary(path)));
        let (file, part) =
            unnamed.or_else(|_| temporary()).map_err(|error| Failure::write(target, &error))?;
        Ok(Download { file, part, target: target.to_owned(), offset: 0 })
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
        self.prepare().map_err(failure)?;
        let moved = match self.part {
            Part::Resumable(hidden) => fs::rename(hidden, &self.target),
            // A link cannot replace a file, but a rename can.
            Part::Unnamed => link(&self.file, &self.target)
                .map_err(failure)?
                .persist(&self.target)
                .map_err(|error| error.error),
            Part::Temporary(hidden) => hidden.persist(&self.target).map_err(|error| error.error),
        };
        moved.map_err(failure)?;
        remove_parts(&self.target);
        Ok(())
    }

    /// Gives the file the owner and mode of the file that it replaces.
    fn prepare(&self) -> io::Result<()> {
        let Some(replaced) = replaced(&self.target)? else { return Ok(()) };
        // Only root may give files away.
        let _ = fchown(&self.file, Some(replaced.uid()), Some(replaced.gid()));
        self.file.set_permissions(fs::Permissions::from_mode(replaced.mode() & 0o777))
    }

    /// Removes the received bytes.
    pub(crate) fn discard(self) {
        if let Part::Resumable(hidden) = &self.part {
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

/// Returns the mode of a new part, which is never readable for more users than the file it replaces.
fn part_mode(target: &Path) -> u32 {
    replaced(target).ok().flatten().map_or(0o666, |known| known.mode() & 0o777 | 0o600)
}

/// Opens or creates the resumable part, but never through a link that another user has put there.
fn open_hidden(target: &Path, hidden: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true).read(true).mode(part_mode(target));
    options.custom_flags(OFlags::NOFOLLOW.bits() as i32).open(hidden)
}

/// Opens a file that has no name, and locks it. Fails where `link` cannot give it a name later.
#[cfg(target_os = "linux")]
fn open_unnamed(target: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).mode(part_mode(target)).custom_flags(OFlags::TMPFILE.bits() as i32);
    let file = options.open(folder_of(target))?;
    // Without a mounted /proc.
    fs::metadata(descriptor_path(&file))?;
    let _ = is_locked(&file);
    Ok(file)
}

#[cfg(not(target_os = "linux"))]
fn open_unnamed(_target: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns a path of an open file, for linkat(2).
fn descriptor_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Gives an unnamed file a unique hidden name.
fn link(file: &File, target: &Path) -> io::Result<TempPath> {
    let part = unique_part(target, |path| {
        Ok(linkat(CWD, descriptor_path(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    });
    part.map(NamedTempFile::into_temp_path)
}

/// Creates a part with a unique name and locks it, so that no other client removes it.
fn temporary_part(target: &Path) -> io::Result<(File, TempPath)> {
    let mut options = File::options();
    options.create_new(true).read(true).write(true).mode(part_mode(target));
    loop {
        let part = unique_part(target, |path| options.open(path))?;
        // Before it was locked, another client may have removed it like one that was left.
        if !is_locked(part.as_file()) && is_same_file(part.path(), part.as_file())? {
            return Ok(part.into_parts());
        }
    }
}

/// Calls `create` with hidden names until one is free.
fn unique_part<F>(target: &Path, create: impl FnMut(&Path) -> io::Result<F>) -> io::Result<NamedTempFile<F>> {
    let stem = [&hidden_stem(target), &b"-"[..]].concat();
    tempfile::Builder::new().prefix(OsStr::from_bytes(&stem)).suffix(PART).make_in(folder_of(target), create)
}

/// Returns whether `path` is the path of this file, and not of another one, or of none.
fn is_same_file(path: &Path, file: &File) -> io::Result<bool> {
    let known = file.metadata()?;
    Ok(fs::symlink_metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (known.dev(), known.ino())))
}

/// Returns the folder of a path that may be a mere name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens or creates the part of a download and locks it, so that two downloads do not write to one part.
fn open_part(target: &Path, hidden: &Path) -> io::Result<File> {
    loop {
        let file = open_hidden(target, hidden)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file; remove it"));
        }
        if is_locked(&file) {
            return Err(io::Error::other("another evclient is downloading this file"));
        }
        // Before it was locked, the other download may have finished and moved it.
        if is_same_file(hidden, &file)? {
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

/// The end of a hidden name.
const PART: &str = ".part";

/// Returns the part of a hidden name before the version.
fn hidden_stem(target: &Path) -> Vec<u8> {
    let name = target.file_name().unwrap_or_default().as_bytes();
    if name.len() > STEM_MAX_BYTES {
        return format!(".{}.", Sha256Digest::of(Sha256::new_with_prefix(name))).into_bytes();
    }
    [b".", name, b"."].concat()
}

fn hidden_beside(target: &Path, version: &str) -> PathBuf {
    let name = [&hidden_stem(target), version.as_bytes(), PART.as_bytes()].concat();
    target.with_file_name(OsString::from_vec(name))
}

/// Removes the parts that other downloads to the target have left: interrupted ones of other versions, and those of
/// clients that were killed.
fn remove_parts(target: &Path) {
    let Ok(entries) = fs::read_dir(folder_of(target)) else { return };
    let stem = hidden_stem(target);
    for entry in entries.filter_map(Result::ok).filter(|entry| is_part(entry, &stem)) {
        let open = File::options().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(entry.path());
        if open.is_ok_and(|file| !is_locked(&file)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Returns whether an entry is named like a part with this stem: stem, length, `-`, version, `.part`. A
/// temporary part has no length, and random letters and digits as its version.
fn is_part(entry: &DirEntry, stem: &[u8]) -> bool {
    let name: &OsStr = &entry.file_name();
    let version = name.as_bytes().strip_prefix(stem).and_then(|rest| rest.strip_suffix(PART.as_bytes()));
    let Some(dash) = version.and_then(|version| version.iter().position(|byte| *byte == b'-')) else {
        return false;
    };
    let (length, version) = version.unwrap_or_default().split_at(dash);
    let is_version =
        length.iter().all(u8::is_ascii_digit) && version[1..].iter().all(u8::is_ascii_alphanumeric);
    is_version && entry.file_type().is_ok_and(|kind| kind.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_parts_are_separate_and_other_downloads_keep_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a");
        let names = || fs::read_dir(folder.path()).expect("a folder").count();
        let begin = || {
            let (file, path) = temporary_part(&target).expect("a part");
            Download { file, part: Part::Temporary(path), target: target.clone(), offset: 0 }
        };
        let (mut one, mut other) = (begin(), begin());
        assert_eq!(names(), 2);
        one.write(b"one").expect("a write");
        other.write(b"other").expect("a write");
        one.finish().expect("a file");
        assert_eq!((names(), fs::read(&target).expect("the file")), (2, b"one".to_vec()));
        other.finish().expect("a file");
        assert_eq!(fs::read(&target).expect("the file"), b"other");
        drop(begin());
        let (file, path) = temporary_part(&target).expect("a part");
        drop(file);
        assert!(path.keep().is_ok());
        // The part of a client that was killed.
        begin().finish().expect("a file");
        assert_eq!(names(), 1);
    }
}
