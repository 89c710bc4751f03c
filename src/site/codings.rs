//! The coded forms of the site's files: sidecars, which are compressed files beside the originals, and gzip
//! made by the server.

use std::rc::Rc;
use std::time::Duration;

use super::coding::Coding;
use super::compression::Finished;
use super::metadata::{Metadata, Purpose, Representation};
use super::{Site, join};
use crate::clock::Clock;
use crate::limits::{COMPRESSED_FILE_MAX_BYTES, COMPRESSED_FILE_MIN_BYTES};
use crate::store::{EntryId, Lookup, Opened};

/// The codings that a client accepts (RFC 9110 section 12.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedCodings {
    /// The codings that the client accepts at least as much as an uncoded file, in order of preference.
    pub preferred: [Option<Coding>; Coding::ALL.len()],
    /// Whether the client accepts the file without a coding.
    pub identity: bool,
}

/// The form of a file that a client gets.
#[derive(Debug)]
pub enum Selected {
    Ready(Representation),
    /// The form is being made; select again in the next turn.
    Pending,
    /// The client accepts no form of the file.
    NotAcceptable,
    /// The client accepts only forms that cannot be made at the moment.
    Busy,
}

/// A coded form of a file.
#[derive(Debug)]
enum Coded {
    Ready(Representation),
    Pending,
    /// The form does not exist and is not worth making.
    Never,
    /// The form cannot be made now: too many compressions are in progress, or the file is being changed.
    Busy,
}

/// The result of looking up a coded form in the cache.
enum CachedForm {
    Found(EntryId),
    /// The form does not exist.
    Absent,
    /// The cache cannot tell: the store must be read, or a compression must finish.
    Unknown,
}

/// How long a file that changed during its compression is not compressed again. Clients that accept only gzip get 503
/// meanwhile.
const RETRY_COMPRESSION: Duration = Duration::from_millis(100);

impl AcceptedCodings {
    fn preferred(&self) -> impl Iterator<Item = Coding> {
        self.preferred.into_iter().flatten()
    }

    /// Returns the minimum length of a file that is compressed for this client. A shorter file is sent
    /// without a coding, if the client accepts that.
    fn compressed_from(&self) -> u64 {
        if self.identity { COMPRESSED_FILE_MIN_BYTES + 1 } else { 0 }
    }
}

impl Site {
    /// Selects the form of a file that the client prefers. `plain` is the file without a coding.
    pub fn select(&mut self, plain: Representation, accepted: AcceptedCodings, clock: &Clock) -> Selected {
        let mut is_busy = false;
        for coding in accepted.preferred() {
            match self.coded(&plain, coding, accepted.compressed_from(), clock) {
                Coded::Ready(file) => return Selected::Ready(file),
                Coded::Pending => return Selected::Pending,
                Coded::Never => {}
                Coded::Busy => is_busy = true,
            }
        }
        match (accepted.identity, is_busy) {
            (true, _) => Selected::Ready(plain),
            (false, true) => Selected::Busy,
            (false, false) => Selected::NotAcceptable,
        }
    }

    /// Selects like [`select`](Site::select), but only from the cache. Returns `None` if the cache cannot
    /// tell which form the client gets.
    pub(super) fn select_cached(
        &mut self,
        plain: EntryId,
        accepted: AcceptedCodings,
        clock: &Clock,
    ) -> Option<EntryId> {
        let file = self.cache.hit(plain)?;
        if !file.note().compressible {
            return accepted.identity.then_some(plain);
        }
        let (metadata, length) = (Rc::clone(file.note()), file.length());
        for coding in accepted.preferred() {
            let mut form = self.cached_sidecar(&metadata, coding, clock);
            if matches!(form, CachedForm::Absent)
                && is_compressed_here(&metadata, length, coding, accepted.compressed_from())
            {
                form = self.cached_gzip(&metadata, clock);
            }
            match form {
                CachedForm::Found(form) => return Some(form),
                CachedForm::Absent => {}
                CachedForm::Unknown => return None,
            }
        }
        accepted.identity.then_some(plain)
    }

    /// Returns a file in a content coding: its sidecar, or else a form made by the server if the file has at
    /// least `least` bytes.
    fn coded(&mut self, plain: &Representation, coding: Coding, least: u64, clock: &Clock) -> Coded {
        if !plain.note.compressible {
            return Coded::Never;
        }
        let sidecar = match self.cached_sidecar(&plain.note, coding, clock) {
            CachedForm::Found(id) => self.cache.hit(id).map(|file| file.cached()),
            CachedForm::Absent => None,
            CachedForm::Unknown => self.open_sidecar(plain, coding, clock),
        };
        match sidecar {
            Some(sidecar) => Coded::Ready(sidecar),
            None if is_compressed_here(&plain.note, plain.length, coding, least) => {
                self.compressed(plain, clock)
            }
            None => Coded::Never,
        }
    }

    /// Looks up the sidecar of a file in the cache. A sidecar that is older than the file counts as absent.
    fn cached_sidecar(&mut self, plain: &Metadata, coding: Coding, clock: &Clock) -> CachedForm {
        if !self.rules.sidecars {
            return CachedForm::Absent;
        }
        write_key(&mut self.key, &plain.path, coding.extension());
        match self.cache.find(&self.key, &*self.files, clock.now.monotonic) {
            Lookup::Miss | Lookup::Busy => CachedForm::Unknown,
            Lookup::Absent | Lookup::Unserved => CachedForm::Absent,
            Lookup::Hit(id) => match self.cache.hit(id) {
                Some(file) if file.note().modified >= plain.modified => CachedForm::Found(id),
                _ => CachedForm::Absent,
            },
        }
    }

    fn open_sidecar(
        &mut self,
        plain: &Representation,
        coding: Coding,
        clock: &Clock,
    ) -> Option<Representation> {
        let path = &plain.note.path;
        let file_path = [path, coding.extension().as_bytes()].concat();
        let mut key = Vec::new();
        write_key(&mut key, path, coding.extension());
        let now = (clock.now.monotonic, clock.now.wall);
        let sidecar = match self.files.open(&file_path) {
            // No coding of any file is empty: a build was interrupted.
            Ok(Opened::File(file)) if file.length == 0 => {
                self.cache.put_unserved((&key, &file_path), file.version, now);
                None
            }
            Ok(Opened::File(file)) => {
                let purpose = Purpose::Page(Some((coding, plain)));
                self.put((&key, &file_path), file, purpose, clock).ok()
            }
            _ => {
                self.cache.put_absent((&key, &file_path), now);
                None
            }
        };
        sidecar.filter(|sidecar| sidecar.note.modified >= plain.note.modified)
    }

    /// Looks up the server's own gzip form of a file in the cache.
    fn cached_gzip(&mut self, plain: &Metadata, clock: &Clock) -> CachedForm {
        match self.find_compressed(plain, clock) {
            Lookup::Hit(id) => match self.cache.hit(id) {
                Some(file) if file.note().version == plain.version => CachedForm::Found(id),
                _ => CachedForm::Unknown,
            },
            Lookup::Absent | Lookup::Unserved => CachedForm::Absent,
            Lookup::Busy | Lookup::Miss => CachedForm::Unknown,
        }
    }

    fn find_compressed(&mut self, plain: &Metadata, clock: &Clock) -> Lookup {
        write_key(&mut self.key, &plain.path, "");
        self.cache.find(&self.key, &*self.files, clock.now.monotonic)
    }

    /// Returns the gzip form made by the server. It is cached until the file changes.
    fn compressed(&mut self, plain: &Representation, clock: &Clock) -> Coded {
        let cached = match self.find_compressed(&plain.note, clock) {
            Lookup::Hit(id) => self.cache.hit(id).map(|file| file.cached()),
            Lookup::Absent | Lookup::Unserved => return Coded::Never,
            Lookup::Busy => return Coded::Busy,
            Lookup::Miss => None,
        };
        match cached.filter(|file| file.note.version == plain.note.version) {
            Some(file) => Coded::Ready(file),
            None if self.compressions.is_in_progress(&plain.note.path) => Coded::Pending,
            None if plain.length > COMPRESSED_FILE_MAX_BYTES => Coded::Never,
            None if self.compressions.begin(plain) => Coded::Pending,
            None => Coded::Busy,
        }
    }

    /// Caches the result of a compression.
    pub(super) fn finish(&mut self, finished: Finished, clock: &Clock) {
        let Finished { plain, result } = finished;
        let (path, version) = (&plain.note.path, plain.note.version);
        let mut key = Vec::new();
        write_key(&mut key, path, "");
        // If the file changed during the compression, its slices may belong to different versions.
        if self.files.version(path) != Some(version) {
            self.cache.forget(path);
            let now = (clock.now.monotonic, clock.now.wall);
            return self.cache.put_busy(&key, now.0 + RETRY_COMPRESSION, now);
        }
        // The cache needs the time at which the file was opened, to tell whether a later change could leave
        // the file's times unchanged.
        let now = (clock.now.monotonic, plain.note.opened);
        let described = result.and_then(|file| {
            let purpose = Purpose::Page(Some((Coding::Gzip, &plain)));
            let rules = (&self.rules, plain.note.opened);
            let metadata = Metadata::of(path, &file, purpose, rules).ok()?;
            Some((file, metadata))
        });
        match described {
            Some((file, metadata)) => {
                self.cache.put((&key, path), file, Rc::new(metadata), now);
            }
            None => self.cache.put_unserved((&key, path), version, now),
        }
    }
}

/// Returns whether the server makes this form itself. `least` is the minimum length of a file that is
/// compressed for the client.
fn is_compressed_here(plain: &Metadata, length: u64, coding: Coding, least: u64) -> bool {
    coding == Coding::Gzip && plain.is_text && length >= least
}

/// Writes the cache key of a coded form of the file at `path`. The NUL in it occurs in no path.
fn write_key(key: &mut Vec<u8>, path: &[u8], extension: &str) {
    join(key, &[path, b"\0", extension.as_bytes()]);
}
