//! The SHA-256 of stored files: cached, or computed in slices between turns.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::fs::fstat;
use sha2::{Digest, Sha256};

use super::digest::Sha256Digest;
use super::error::{LibraryError, reading};
use super::items::item;
use super::items::{open, stat_of};
use super::name::Name;
use crate::clock::Instant;
use crate::clock::calls::{Call, timed};
use crate::limits::{DIGEST_ABANDONED, DIGEST_JOBS_MAX, DIGESTS_MAX, RACY_DIGEST, REHASH_SLICE_BYTES};
use crate::store::{CountedFile, Descriptors, FileVersion};

/// The digests of files, and the files that are being hashed.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// The digests that were computed last.
    known: VecDeque<KnownDigest>,
    jobs: VecDeque<DigestJob>,
}

/// The digest of one version of a file.
#[derive(Debug)]
struct KnownDigest {
    name: Name,
    version: FileVersion,
    /// `None` if the file cannot be read.
    digest: Option<Sha256Digest>,
    /// When the digest is forgotten, because not every change of the file shows in its version.
    expires: Option<Instant>,
}

/// A file that is being hashed.
#[derive(Debug)]
struct DigestJob {
    name: Name,
    version: FileVersion,
    file: Rc<CountedFile>,
    hasher: Sha256,
    offset: u64,
    /// Whether the file changed so shortly before it was read that another change might leave its version as
    /// it is.
    is_racily_clean: bool,
    /// When the digest was last asked for.
    asked: Instant,
}

/// Whether a file with the name, the length and the SHA-256 of an upload is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is stored under this name, so the upload is complete.
    Stored(Name),
    /// It is not stored.
    Absent,
    /// The stored file is being hashed: ask again in the next turn.
    Pending,
}

/// The state of a digest that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DigestState {
    Known(Sha256Digest),
    /// The file cannot be read.
    Unreadable,
    /// The file is being hashed: ask again in the next turn.
    Pending,
}

impl Digests {
    /// Returns the digest of the file `name`, or begins to hash it. Fails with `Busy` if there is no descriptor
    /// to read it.
    pub(super) fn digest(
        &mut self,
        folder: &OwnedFd,
        name: &Name,
        descriptors: &Descriptors,
        now: Instant,
    ) -> Result<DigestState, LibraryError> {
        let stat = timed(Call::Open, || stat_of(folder, name)).map_err(reading)?;
        item(name, &stat).ok_or(LibraryError::NotFound)?;
        let version = FileVersion::from(&stat);
        self.known.retain(|known| known.expires.is_none_or(|expires| now < expires));
        if let Some(known) = self.known.iter().find(|known| (&known.name, known.version) == (name, version)) {
            return Ok(known.digest.map_or(DigestState::Unreadable, DigestState::Known));
        }
        if let Some(job) = self.jobs.iter_mut().find(|job| (&job.name, job.version) == (name, version)) {
            job.asked = now;
            return Ok(DigestState::Pending);
        }
        // An earlier version of the file needs no digest any longer.
        self.jobs.retain(|job| job.name != *name);
        // Without a free place the connection asks again.
        if self.jobs.len() < DIGEST_JOBS_MAX {
            let file = timed(Call::Open, || open(folder, name.as_str())).map_err(reading)?.into();
            let file = descriptors.count(file).ok_or(LibraryError::Busy)?;
            let (name, hasher) = (name.clone(), Sha256::new());
            let job =
                DigestJob { name, version, file, hasher, offset: 0, is_racily_clean: false, asked: now };
            self.jobs.push_back(job);
        }
        Ok(DigestState::Pending)
    }

    /// Records the digest of a file that was stored. Its modification time is set, and every later change
    /// replaces it.
    pub(super) fn insert(&mut self, name: Name, version: FileVersion, digest: Sha256Digest) {
        self.record(KnownDigest { name, version, digest: Some(digest), expires: None });
    }

    fn record(&mut self, digest: KnownDigest) {
        self.known.retain(|known| known.name != digest.name);
        self.known.push_back(digest);
        if self.known.len() > DIGESTS_MAX {
            self.known.pop_front();
        }
    }

    /// Hashes a slice of one file, in rotation. Files whose digest is no longer asked for are dropped. Returns
    /// whether files are left.
    pub(super) fn run(&mut self, now: (Instant, SystemTime)) -> bool {
        self.jobs.retain(|job| now.0.saturating_duration_since(job.asked) < DIGEST_ABANDONED);
        let Some(mut job) = self.jobs.pop_front() else { return false };
        let digest = match job.advance(now.1) {
            Ok(None) => {
                self.jobs.push_back(job);
                return true;
            }
            Ok(Some(digest)) => Some(digest),
            Err(error) => {
                log::error!("cannot read {} to hash it: {error}", job.name);
                None
            }
        };
        // If the file was changed meanwhile, the next request for its digest begins again.
        if fstat(&**job.file).is_ok_and(|stat| FileVersion::from(&stat) == job.version) {
            let expires = job.is_racily_clean.then(|| now.0 + RACY_DIGEST);
            self.record(KnownDigest { name: job.name, version: job.version, digest, expires });
        }
        !self.jobs.is_empty()
    }
}

impl DigestJob {
    /// Hashes a slice. Returns the digest at the end of the file.
    fn advance(&mut self, now: SystemTime) -> io::Result<Option<Sha256Digest>> {
        if self.offset == 0 {
            self.is_racily_clean = self.version.is_racily_clean(now);
        }
        let mut slice = vec![0; REHASH_SLICE_BYTES];
        let count = timed(Call::Read, || self.file.read_at(&mut slice, self.offset))?;
        timed(Call::Hash, || self.hasher.update(&slice[..count]));
        self.offset += count as u64;
        Ok((count == 0).then(|| Sha256Digest::of(self.hasher.clone())))
    }
}
