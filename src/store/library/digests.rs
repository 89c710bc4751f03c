//! The SHA-256 of stored files: cached, or computed in slices between turns.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Instant;

use rustix::fs::fstat;
use sha2::{Digest, Sha256};

use super::digest::Sha256Digest;
use super::error::LibraryError;
use super::lookup::{open, stat_of};
use super::name::Name;
use crate::limits::{DIGEST_ABANDONED, DIGEST_JOBS_MAX, DIGESTS_MAX, REHASH_SLICE_BYTES};
use crate::store::{CountedFile, Descriptors, FileVersion};

/// The digests of files, and the files that are being hashed.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// The digests that were computed last. `None` is a file that cannot be read.
    known: VecDeque<(Name, FileVersion, Option<Sha256Digest>)>,
    jobs: VecDeque<DigestJob>,
}

/// A file that is being hashed.
#[derive(Debug)]
struct DigestJob {
    name: Name,
    version: FileVersion,
    file: Rc<CountedFile>,
    hasher: Sha256,
    offset: u64,
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

impl Digests {
    /// Compares the file `name` with a digest and a length. Fails with `Busy` if there is no descriptor to read it.
    pub(super) fn compare(
        &mut self,
        folder: &OwnedFd,
        name: &Name,
        (length, sha256): (u64, Sha256Digest),
        descriptors: &Descriptors,
        now: Instant,
    ) -> Result<Presence, LibraryError> {
        let version = FileVersion::from(&stat_of(folder, name)?);
        if version.length() != length {
            return Ok(Presence::Absent);
        }
        let known = self.known.iter().find(|known| (&known.0, known.1) == (name, version));
        if let Some((.., digest)) = known {
            return Ok(if *digest == Some(sha256) {
                Presence::Stored(name.clone())
            } else {
                Presence::Absent
            });
        }
        if let Some(job) = self.jobs.iter_mut().find(|job| (&job.name, job.version) == (name, version)) {
            job.asked = now;
        } else if self.jobs.len() < DIGEST_JOBS_MAX {
            // Without a free place the connection asks again.
            let file = open(folder, name.as_str())?.into();
            let file = descriptors.count(file).ok_or(LibraryError::Busy)?;
            let (name, hasher) = (name.clone(), Sha256::new());
            self.jobs.push_back(DigestJob { name, version, file, hasher, offset: 0, asked: now });
        }
        Ok(Presence::Pending)
    }

    /// Records the digest of a file.
    pub(super) fn insert(&mut self, name: Name, version: FileVersion, digest: Option<Sha256Digest>) {
        self.known.retain(|known| known.0 != name);
        self.known.push_back((name, version, digest));
        if self.known.len() > DIGESTS_MAX {
            self.known.pop_front();
        }
    }

    /// Hashes a slice of one file, in rotation. Files whose digest is no longer asked for are dropped. Returns
    /// whether files are left.
    pub(super) fn run(&mut self, now: Instant) -> bool {
        self.jobs.retain(|job| now.saturating_duration_since(job.asked) < DIGEST_ABANDONED);
        let Some(mut job) = self.jobs.pop_front() else { return false };
        match job.advance() {
            Ok(None) => self.jobs.push_back(job),
            Ok(Some(digest)) => {
                // If the file was changed meanwhile, the next request for its digest begins again.
                if fstat(&**job.file).is_ok_and(|stat| FileVersion::from(&stat) == job.version) {
                    self.insert(job.name, job.version, Some(digest));
                }
            }
            Err(error) => {
                log::error!("cannot read {} to compare it with an upload: {error}", job.name);
                self.insert(job.name, job.version, None);
            }
        }
        !self.jobs.is_empty()
    }
}

impl DigestJob {
    /// Hashes a slice. Returns the digest at the end of the file.
    fn advance(&mut self) -> io::Result<Option<Sha256Digest>> {
        let mut slice = vec![0; REHASH_SLICE_BYTES];
        let count = self.file.read_at(&mut slice, self.offset)?;
        self.hasher.update(&slice[..count]);
        self.offset += count as u64;
        Ok((count == 0).then(|| Sha256Digest::of(self.hasher.clone())))
    }
}
