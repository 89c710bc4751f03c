//! The coded forms of the site's files: those that lie beside them, and those that are made of them.

use std::rc::Rc;

use super::Site;
use super::coding::Coding;
use super::compression::Finished;
use super::metadata::{Metadata, Purpose, Representation};
use crate::clock::Clock;
use crate::limits::{COMPRESSED_FILE_MAX_BYTES, COMPRESSED_FILE_MIN_BYTES};
use crate::store::{EntryId, Lookup, Opened};

/// The codings that a client accepts (RFC 9110 section 12.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedCodings {
    /// Those that the client prefers to the bytes as they are, the best first.
    pub preferred: [Option<Coding>; Coding::ALL.len()],
    /// Whether the bytes as they are would do.
    pub identity: bool,
}

/// Which form of a file a client gets.
#[derive(Debug)]
pub enum Selected {
    /// This one.
    Ready(Representation),
    /// One that is being made: ask again in the next turn.
    Pending,
    /// None: no coding of the file is acceptable.
    NotAcceptable,
    /// None now: one cannot be made at the moment.
    Busy,
}

/// A coded form of a file.
#[derive(Debug)]
enum Coded {
    Ready(Representation),
    Pending,
    /// There is none, and none is worth making.
    Never,
    /// One cannot be made now: too many others are, or the file is being changed.
    Busy,
}

/// What the cache knows of a coded form.
enum CachedForm {
    Found(EntryId),
    /// There is none.
    Absent,
    /// The store has to be asked, or a compression awaited.
    Unknown,
}

impl AcceptedCodings {
    fn preferred(&self) -> impl Iterator<Item = Coding> {
        self.preferred.into_iter().flatten()
    }

    /// The smallest file that is compressed for this client: a smaller one is sent as it is, if it may be.
    fn compressed_from(&self) -> u64 {
        if self.identity { COMPRESSED_FILE_MIN_BYTES + 1 } else { 0 }
    }
}

impl Site {
    /// The form of the file at `path`, which is `plain` as it is, that the client likes best.
    pub fn select(
        &mut self,
        path: &[u8],
        plain: Representation,
        accepted: AcceptedCodings,
        clock: &Clock,
    ) -> Selected {
        let mut is_busy = false;
        for coding in accepted.preferred() {
            match self.coded(path, &plain, coding, accepted.compressed_from(), clock) {
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

    /// The same out of the cache alone: `None` if it is not known there which form that is.
    pub(super) fn select_cached(
        &mut self,
        path: &[u8],
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
            let mut form = self.cached_sidecar(path, &metadata, coding, clock);
            if matches!(form, CachedForm::Absent)
                && is_compressed_here(&metadata, length, coding, accepted.compressed_from())
            {
                form = self.cached_gzip(path, &metadata, clock);
            }
            match form {
                CachedForm::Found(form) => return Some(form),
                CachedForm::Absent => {}
                CachedForm::Unknown => return None,
            }
        }
        accepted.identity.then_some(plain)
    }

    /// What was found at `path`, in a content coding: as it lies beside the file, else made of it if
    /// it has `least` bytes.
    fn coded(
        &mut self,
        path: &[u8],
        plain: &Representation,
        coding: Coding,
        least: u64,
        clock: &Clock,
    ) -> Coded {
        if !plain.note.compressible {
            return Coded::Never;
        }
        let sidecar = match self.cached_sidecar(path, &plain.note, coding, clock) {
            CachedForm::Found(id) => self.cache.hit(id).map(|file| file.cached()),
            CachedForm::Absent => None,
            CachedForm::Unknown => self.open_sidecar(path, plain, coding, clock),
        };
        match sidecar {
            Some(sidecar) => Coded::Ready(sidecar),
            None if is_compressed_here(&plain.note, plain.length, coding, least) => {
                self.compressed(path, plain, clock)
            }
            None => Coded::Never,
        }
    }

    /// What the cache knows of the coded file beside the one at `path`. One that is older is none.
    fn cached_sidecar(&mut self, path: &[u8], plain: &Metadata, coding: Coding, clock: &Clock) -> CachedForm {
        if !self.rules.sidecars {
            return CachedForm::Absent;
        }
        write_key(&mut self.key, path, coding.extension());
        match self.cache.find(&self.key, &*self.files, clock.now.monotonic) {
            Lookup::Miss => CachedForm::Unknown,
            Lookup::Absent(_) => CachedForm::Absent,
            Lookup::Hit(id) => match self.cache.hit(id) {
                Some(file) if file.note().modified >= plain.modified => CachedForm::Found(id),
                _ => CachedForm::Absent,
            },
        }
    }

    fn open_sidecar(
        &mut self,
        path: &[u8],
        plain: &Representation,
        coding: Coding,
        clock: &Clock,
    ) -> Option<Representation> {
        let suffix = plain.note.suffix;
        let file_path = [path, suffix.as_bytes(), coding.extension().as_bytes()].concat();
        let mut key = Vec::new();
        write_key(&mut key, path, coding.extension());
        let sidecar = match self.files.open(&file_path) {
            Ok(Opened::File(file)) => {
                let purpose = Purpose::Page(Some((coding, plain)));
                self.put((&key, &file_path), suffix, file, purpose, clock).ok()
            }
            _ => {
                self.put_absent((&key, &file_path), clock);
                None
            }
        };
        sidecar.filter(|sidecar| sidecar.note.modified >= plain.note.modified)
    }

    /// What the cache knows of the file at `path` as gzip, made here.
    fn cached_gzip(&mut self, path: &[u8], plain: &Metadata, clock: &Clock) -> CachedForm {
        match self.find_compressed(path, clock) {
            Lookup::Hit(id) => match self.cache.hit(id) {
                Some(file) if file.note().version == plain.version => CachedForm::Found(id),
                _ => CachedForm::Unknown,
            },
            Lookup::Absent(Some(_)) => CachedForm::Absent,
            Lookup::Absent(None) | Lookup::Miss => CachedForm::Unknown,
        }
    }

    fn find_compressed(&mut self, path: &[u8], clock: &Clock) -> Lookup {
        write_key(&mut self.key, path, "");
        self.cache.find(&self.key, &*self.files, clock.now.monotonic)
    }

    /// The file as gzip, made once and cached for as long as the file stays as it is.
    fn compressed(&mut self, path: &[u8], plain: &Representation, clock: &Clock) -> Coded {
        let cached = match self.find_compressed(path, clock) {
            Lookup::Hit(id) => self.cache.hit(id).map(|file| file.cached()),
            Lookup::Absent(Some(_)) => return Coded::Never,
            Lookup::Absent(None) => return Coded::Busy,
            Lookup::Miss => None,
        };
        match cached.filter(|file| file.note.version == plain.note.version) {
            Some(file) => Coded::Ready(file),
            None if self.compressions.is_under_way(path) => Coded::Pending,
            None if plain.length > COMPRESSED_FILE_MAX_BYTES => Coded::Never,
            None if self.compressions.begin(path, plain) => Coded::Pending,
            None => Coded::Busy,
        }
    }

    /// Caches the result of a compression.
    pub(super) fn finish(&mut self, finished: Finished, clock: &Clock) {
        let Finished { path, plain, result } = finished;
        let version = plain.note.version;
        let mut key = Vec::new();
        write_key(&mut key, &path, "");
        let file_path = [&path, plain.note.suffix.as_bytes()].concat();
        // Of a file that was changed meanwhile the slices may not fit together.
        if self.files.version(&file_path) != Some(version) {
            self.cache.forget(&path);
            return self.put_absent((&key, &file_path), clock);
        }
        // Whether another change would have shown was settled when the file was read.
        let now = (clock.now.monotonic, plain.note.opened);
        let described = result.and_then(|file| {
            let purpose = Purpose::Page(Some((Coding::Gzip, &plain)));
            let rules = (&self.rules, plain.note.opened);
            let metadata = Metadata::of(&file_path, plain.note.suffix, &file, purpose, rules).ok()?;
            Some((file, metadata))
        });
        match described {
            Some((file, metadata)) => {
                self.cache.put((&key, &file_path), file, Rc::new(metadata), now);
            }
            None => self.cache.put_absent((&key, &file_path), Some(version), now),
        }
    }
}

/// Whether a file is compressed by this server, for a client to which that is worth it from `least` bytes
/// on.
fn is_compressed_here(plain: &Metadata, length: u64, coding: Coding, least: u64) -> bool {
    coding == Coding::Gzip && plain.is_text && length >= least
}

/// The key of a coded form of what is at `path`: no path of a request contains a NUL.
fn write_key(key: &mut Vec<u8>, path: &[u8], extension: &str) {
    key.clear();
    key.extend_from_slice(path);
    key.push(0);
    key.extend_from_slice(extension.as_bytes());
}
