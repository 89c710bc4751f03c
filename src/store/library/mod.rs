//! The library: one folder of files that every protocol reads and writes.

mod digest;
mod digests;
mod error;
mod files;
mod hidden_file;
mod items;
mod location;
mod name;
mod partial;
mod quota;
mod repeated;
mod rules;
mod staging;
mod system;
mod unlisted;
mod upload;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, fstat, unlinkat};
use rustix::io::Errno;

use super::descriptors::{CountedFile, DescriptorPermit, Descriptors};
use crate::clock::Instant;
use crate::clock::calls::{Call, timed};
use crate::limits::{COMPARED_DUPLICATES_MAX, PARTIAL_SWEEP};
pub use digest::Sha256Digest;
pub use digests::Presence;
use digests::{DigestState, Digests};
pub use error::LibraryError;
use error::reading;
pub use files::LibraryFiles;
use hidden_file::HiddenFile;
pub use hidden_file::Stored;
use hidden_file::numbered_names;
pub use items::{Item, Items};
use items::{exists, item, open, replaced, stat_of};
use location::Location;
pub use name::Name;
pub use partial::UploadKey;
use partial::{Partial, Swept};
use quota::Reservation;
use repeated::RepeatedFile;
pub use rules::{KeepFree, LibraryRules, OnDuplicate};
pub use unlisted::Unlisted;
use upload::ActiveUploads;
pub use upload::Upload;

/// The library's folder, and the rules for its files.
pub struct Library {
    location: Rc<Location>,
    active: Rc<ActiveUploads>,
    digests: Digests,
    next_sweep: NextSweep,
    /// Whether the last sweep had a problem, which was reported.
    is_sweep_failing: bool,
    /// The latest modification time that was given to a stored file.
    changed: SystemTime,
    descriptors: Descriptors,
}

/// When partial uploads are swept next.
#[derive(Clone, Copy, Debug)]
enum NextSweep {
    /// At the next run of background tasks: after the start, to find the partial uploads of an earlier server
    /// process, and after the removal of one.
    AtOnce,
    At(Instant),
    /// Not before there is a partial upload.
    Never,
}

impl Library {
    /// Opens the library at `path`, and removes the hidden files that a crash left there.
    pub fn open(path: &Path, rules: LibraryRules) -> io::Result<Library> {
        let next_sweep = if rules.read_only { NextSweep::Never } else { NextSweep::AtOnce };
        let location = Rc::new(Location::open(path, rules)?);
        let (active, digests) = (Rc::default(), Digests::default());
        let (changed, descriptors) = (SystemTime::UNIX_EPOCH, Descriptors::default());
        Ok(Library { location, active, digests, next_sweep, is_sweep_failing: false, changed, descriptors })
    }

    /// Returns the descriptors that the library shares with the site.
    pub fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Opens and lists files and accepts uploads only while there are `descriptors` for them.
    pub fn within(self, descriptors: Descriptors) -> Library {
        Library { descriptors, ..self }
    }

    pub fn rules(&self) -> &LibraryRules {
        self.location.rules()
    }

    /// Begins a turn at `now`. If the folder has been replaced by another one, a request finds it within
    /// [`FOLDER_CHECK`](crate::limits::FOLDER_CHECK).
    pub fn begin_turn(&mut self, now: Instant) {
        self.location.begin_turn(now);
    }

    /// Finds the folder by its path again.
    pub fn reopen(&mut self) {
        // A failure is logged.
        let _ = self.location.check();
    }

    fn folder(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.location.current().folder)
    }

    /// Returns the library's files as a `Store`, for a site.
    pub fn files(&self) -> LibraryFiles {
        LibraryFiles { location: Rc::clone(&self.location), descriptors: self.descriptors.clone() }
    }

    /// Begins to list the files, in no particular order.
    pub fn list(&self) -> Result<Items, LibraryError> {
        Items::of(&self.folder(), Some(self.permit(1)?))
    }

    /// Counts the entries of the folder that the library does not show.
    pub fn unlisted(&self) -> Result<Unlisted, LibraryError> {
        timed(Call::List, || Unlisted::count(&self.folder()))
    }

    /// Returns the name, length and modification time of a file without opening it.
    pub fn stat(&self, name: &Name) -> Result<Item, LibraryError> {
        let stat = timed(Call::Open, || stat_of(&self.folder(), name)).map_err(reading)?;
        item(name, &stat).ok_or(LibraryError::NotFound)
    }

    pub fn read(&self, name: &Name) -> Result<(Rc<CountedFile>, Item), LibraryError> {
        // Only regular files are opened: opening a FIFO could wake its other end.
        self.stat(name)?;
        let file = timed(Call::Open, || open(&self.folder(), name.as_str())).map_err(reading)?;
        let item = item(name, &fstat(&file)?).ok_or(LibraryError::NotFound)?;
        Ok((self.descriptors.count(file.into()).ok_or(LibraryError::Busy)?, item))
    }

    /// Begins an upload of `length` bytes, if the length is known. The file is not visible before it is
    /// stored.
    pub fn create(&self, name: &Name, length: Option<u64>) -> Result<Upload, LibraryError> {
        let replaced = self.check(name, length)?;
        let staging = self.location.current();
        let reservation = Reservation::new(&staging.quota, length, replaced)?;
        let permit = self.permit(1)?;
        let file = timed(Call::Open, || HiddenFile::begin(&staging, name, (reservation, permit)))?;
        Ok(Upload::new(name, file))
    }

    /// Begins an upload like [`create`](Library::create), but if the name is taken, and the stored file may have
    /// the same bytes, the upload is compared with it: a client that has lost the response can repeat an upload.
    pub fn create_or_repeat(&self, name: &Name, length: Option<u64>) -> Result<Upload, LibraryError> {
        match self.create(name, length) {
            Err(LibraryError::Exists) => {}
            created => return created,
        }
        let (file, item) = match self.read(name) {
            Err(LibraryError::Busy) => return Err(LibraryError::Busy),
            // A folder, a link, or a file that the server may not read.
            read => read.map_err(|_| LibraryError::Exists)?,
        };
        if length.is_some_and(|length| length != item.length) {
            return Err(LibraryError::Exists);
        }
        Ok(Upload::repeated(name, RepeatedFile::new(file)?))
    }

    /// Begins or resumes a resumable upload, whose received bytes are kept when it is cut off. If another
    /// connection is writing it, that connection's next write fails. Fails with `Busy` while another process
    /// is writing it.
    pub fn resume(&mut self, key: &UploadKey, now: (Instant, SystemTime)) -> Result<Upload, LibraryError> {
        let replaced = self.check(&key.name, Some(key.length))?;
        let hidden_name = key.hidden_name();
        let staging = self.location.current();
        let file = match self.active.take(&hidden_name).filter(|file| file.is_in(&staging.folder)) {
            Some(file) => file,
            None => {
                let reservation = Reservation::new(&staging.quota, None, replaced)?;
                let permit = self.permit(Partial::DESCRIPTORS)?;
                let partial = timed(Call::Open, || Partial::open(&staging, key))?;
                self.sweep(now);
                HiddenFile::resume(&staging, key, partial, (reservation, permit))?
            }
        };
        Ok(Upload::resumable(&key.name, file, &self.active, hidden_name))
    }

    fn permit(&self, held: usize) -> Result<DescriptorPermit, LibraryError> {
        self.descriptors.acquire(held).ok_or(LibraryError::Busy)
    }

    /// Returns whether the file of a resumable upload is already stored, as after a lost response.
    pub fn presence(&mut self, key: &UploadKey, now: Instant) -> Result<Presence, LibraryError> {
        self.upload_max()?;
        let is_renamed = self.rules().on_duplicate == OnDuplicate::Rename;
        let mut compared = 0;
        for name in numbered_names(&key.name) {
            match self.stat(&name) {
                Ok(item) if item.length == key.length => match self.compare(&name, key, now)? {
                    Presence::Absent => compared += 1,
                    found => return Ok(found),
                },
                Ok(_) => {}
                Err(LibraryError::NotFound) => break,
                Err(error) => return Err(error),
            }
            if !is_renamed || compared == COMPARED_DUPLICATES_MAX {
                break;
            }
        }
        Ok(Presence::Absent)
    }

    fn compare(&mut self, name: &Name, key: &UploadKey, now: Instant) -> Result<Presence, LibraryError> {
        match self.digests.digest(&self.folder(), name, &self.descriptors, now) {
            Ok(DigestState::Known(digest)) if digest == key.sha256 => Ok(Presence::Stored(name.clone())),
            Ok(DigestState::Pending) => Ok(Presence::Pending),
            Err(error @ LibraryError::Busy) => Err(error),
            // A file that cannot be read is another one.
            Ok(DigestState::Known(_) | DigestState::Unreadable) | Err(_) => Ok(Presence::Absent),
        }
    }

    /// Returns the SHA-256 of a stored file. `None` means that it is being hashed: ask again in the next turn.
    pub fn digest(&mut self, name: &Name, now: Instant) -> Result<Option<Sha256Digest>, LibraryError> {
        match self.digests.digest(&self.folder(), name, &self.descriptors, now)? {
            DigestState::Known(digest) => Ok(Some(digest)),
            DigestState::Pending => Ok(None),
            DigestState::Unreadable => Err(LibraryError::Failed(io::Error::other("the file cannot be read"))),
        }
    }

    /// Returns how many bytes of a resumable upload were received.
    pub fn partial(&self, key: &UploadKey) -> Result<u64, LibraryError> {
        self.upload_max()?;
        timed(Call::Open, || partial::length(&self.folder(), key))
    }

    /// Removes the received bytes of a resumable upload, if there are any. If a connection is writing it, its
    /// next write fails.
    pub fn abandon(&mut self, key: &UploadKey) -> Result<(), LibraryError> {
        self.upload_max()?;
        let folder = self.folder();
        match self.active.take(&key.hidden_name()) {
            Some(file) if file.is_in(&folder) => timed(Call::Write, || file.discard()),
            _ => match timed(Call::Open, || Partial::find(&folder, key))? {
                Some(partial) => timed(Call::Write, || partial.remove())?,
                None => return Ok(()),
            },
        }
        // The folder of partial uploads may be empty now.
        self.next_sweep = NextSweep::AtOnce;
        Ok(())
    }

    /// Hashes a slice of a stored file whose digest was asked for, and removes partial uploads that are too old
    /// or too many, if a sweep is due. Returns when to continue.
    pub fn run_background_tasks(&mut self, now: (Instant, SystemTime)) -> Option<Instant> {
        match self.next_sweep {
            NextSweep::AtOnce => self.sweep(now),
            NextSweep::At(at) if at <= now.0 => self.sweep(now),
            _ => {}
        }
        if self.digests.run(now) {
            return Some(now.0);
        }
        if let NextSweep::At(at) = self.next_sweep { Some(at) } else { None }
    }

    fn sweep(&mut self, now: (Instant, SystemTime)) {
        let LibraryRules { partial_max, partial_age, .. } = *self.rules();
        let staging = self.location.current();
        let swept = timed(Call::List, || partial::sweep(&staging, (partial_max, partial_age), now.1));
        let has_more = swept.as_ref().map_or(true, |swept| swept.has_more);
        let problem = match swept {
            Ok(Swept { skipped: None, .. }) => None,
            Ok(Swept { skipped: Some((name, Errno::INVAL)), .. }) => {
                Some(format!("{name:?} in the folder of partial uploads is no partial upload"))
            }
            Ok(Swept { skipped: Some((name, error)), .. }) => {
                Some(format!("cannot remove the partial upload {name:?}: {error}"))
            }
            Err(error) => Some(format!("cannot read the folder of partial uploads: {error}")),
        };
        // A problem that persists is reported once, not at every sweep.
        if let Some(problem) = problem.as_ref().filter(|_| !self.is_sweep_failing) {
            log::warn!("{problem}");
        }
        self.is_sweep_failing = problem.is_some();
        self.next_sweep = if has_more { NextSweep::At(now.0 + PARTIAL_SWEEP) } else { NextSweep::Never };
    }

    /// Checks whether the rules permit an upload, and returns the length of the file that it would replace.
    fn check(&self, name: &Name, length: Option<u64>) -> Result<u64, LibraryError> {
        let most = self.upload_max()?;
        if length.is_some_and(|length| length > most) {
            return Err(LibraryError::TooLarge);
        }
        let folder = self.folder();
        let on_duplicate = self.rules().on_duplicate;
        let replaced = || exists(&folder).and_then(|()| replaced(&folder, name, on_duplicate));
        Ok(timed(Call::Open, replaced)?.unwrap_or(0))
    }

    /// Stores an upload with the modification time `now`, or a little later: modification times are unique,
    /// because versions of a file are distinguished by modification time and length. Fails with
    /// `FolderReplaced` if the library's folder is another one than at the start of the upload.
    pub fn store(&mut self, upload: Upload, now: SystemTime) -> Result<Stored, LibraryError> {
        self.changed = now.max(self.changed + Duration::from_nanos(1));
        // An upload that is acknowledged has to be in the library, so its path is checked now.
        let staging = self.location.check().map_err(LibraryError::Failed)?;
        let (stored, version) = upload.commit(&staging.folder, self.changed)?;
        self.digests.insert(stored.name.clone(), version, stored.sha256);
        Ok(stored)
    }

    /// Returns the maximum length of an upload in bytes, or `ReadOnly`.
    pub fn upload_max(&self) -> Result<u64, LibraryError> {
        if self.rules().read_only { Err(LibraryError::ReadOnly) } else { Ok(self.rules().max_upload) }
    }

    pub fn remove(&self, name: &Name) -> Result<(), LibraryError> {
        self.upload_max()?;
        let Item { length, .. } = self.stat(name)?;
        let staging = self.location.current();
        let unlink = || unlinkat(&*staging.folder, name.as_str(), AtFlags::empty());
        Ok(timed(Call::Write, || staging.quota.change(0, length, unlink))?)
    }
}
