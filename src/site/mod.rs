//! A site: the files that HTTP serves, and the rules by which they are served.

mod beginning;
mod coding;
mod codings;
mod compression;
mod extensions;
mod metadata;
mod rules;
pub mod types;
mod validators;

use std::rc::Rc;

pub use coding::Coding;
pub use codings::{AcceptedCodings, Selected};
use compression::Compressions;
use metadata::Purpose;
pub use metadata::{FieldSet, Metadata, Representation};
pub use rules::{CacheRule, EXTRA_FIELDS, Rules};

use crate::clock::{Clock, Instant};
use crate::limits::FOLDER_CHECK;
use crate::observe::ServiceCounts;
use crate::store::{Bounds, Cache, CacheCounts, DirReader, Hit, Lookup, OpenFile, Opened, Store, StoreError};

pub struct Site {
    files: Box<dyn Store>,
    /// The recently requested files, by their paths.
    cache: Cache<Rc<Metadata>>,
    compressions: Compressions,
    /// A buffer for cache keys, so that a lookup does not allocate.
    key: Vec<u8>,
    /// The time of the next check whether another folder has taken the path of the site.
    check_folder_at: Option<Instant>,
    /// The rules by which the files are served.
    pub rules: Rules,
}

/// The name of the file that is served for a folder.
const INDEX: &[u8] = b"index.html";

/// The extension of pages, which `--pretty-urls` lets a request omit.
const PAGE_EXTENSION: &[u8] = b".html";

/// The result of resolving a path.
#[derive(Debug)]
pub enum Resolved {
    /// A file, without a content coding.
    File(Representation),
    /// A folder without an `index.html`; the path ends with a slash.
    Folder,
    /// A folder; the path lacks the slash at its end.
    FolderWithoutSlash,
}

impl Site {
    pub fn new(files: Box<dyn Store>, rules: Rules, bounds: Bounds) -> Site {
        Site {
            files,
            cache: Cache::new(bounds),
            compressions: Compressions::default(),
            key: Vec::new(),
            check_folder_at: None,
            rules,
        }
    }

    /// Returns the cached file at `path` in the form that the client gets, or `None` if the cache cannot
    /// tell. `accepted` is `None` for a request without Accept-Encoding.
    pub fn cached(
        &mut self,
        path: &[u8],
        accepted: Option<AcceptedCodings>,
        clock: &Clock,
    ) -> Option<(Hit<'_, Rc<Metadata>>, &Rules)> {
        self.check_folder(clock.now.monotonic);
        let Lookup::Hit(plain) = self.find_cached(path, clock.now.monotonic) else { return None };
        let selected = match accepted {
            None => plain,
            Some(accepted) => self.select_cached(plain, accepted, clock)?,
        };
        Some((self.cache.hit(selected)?, &self.rules))
    }

    fn check_folder(&mut self, now: Instant) {
        if self.check_folder_at.is_none_or(|at| now >= at) {
            self.check_folder_at = Some(now + FOLDER_CHECK);
            self.reopen_if_replaced();
        }
    }

    /// Adds what the site holds to `counts`.
    pub fn count(&self, counts: &mut ServiceCounts) {
        let CacheCounts { entries, bytes, bytes_max, hits, misses } = self.cache.counts();
        counts.cached_files += entries;
        counts.cached_bytes += bytes;
        counts.cached_bytes_max += bytes_max;
        counts.cache_hits += hits;
        counts.cache_misses += misses;
        counts.watches += self.files.watches();
    }

    /// Opens the site again if another folder has taken its path.
    pub fn reopen_if_replaced(&mut self) {
        if self.files.reopen_if_replaced() {
            self.cache.clear();
        }
    }

    /// Looks up in the cache what [`find`](Site::find) would return, without reading the store.
    fn find_cached(&mut self, path: &[u8], now: Instant) -> Lookup {
        if path.ends_with(b"/") {
            join(&mut self.key, &[path, INDEX]);
            return self.cache.find(&self.key, &*self.files, now);
        }
        match self.cache.find(path, &*self.files, now) {
            Lookup::Absent | Lookup::Unserved if self.rules.pretty_urls => {
                join(&mut self.key, &[path, PAGE_EXTENSION]);
                self.cache.find(&self.key, &*self.files, now)
            }
            found => found,
        }
    }

    /// Resolves `path`, which is decoded and begins with a slash, to a file, to the `index.html` of a folder,
    /// or to a folder.
    pub fn find(&mut self, path: &[u8], clock: &Clock) -> Result<Resolved, StoreError> {
        self.check_folder(clock.now.monotonic);
        if is_hidden(path) {
            return Err(StoreError::NotFound);
        }
        if path.ends_with(b"/") {
            return match self.load_joined(&[path, INDEX], clock) {
                Ok(Resolved::File(file)) => Ok(Resolved::File(file)),
                Ok(_) | Err(StoreError::NotFound) => self.folder(),
                Err(error) => Err(error),
            };
        }
        match self.load(path, Purpose::Page(None), clock) {
            // The page `about.html` takes precedence over a folder `about`, but not over a file.
            place @ (Err(StoreError::NotFound) | Ok(Resolved::FolderWithoutSlash))
                if self.rules.pretty_urls =>
            {
                match self.load_joined(&[path, PAGE_EXTENSION], clock) {
                    Ok(Resolved::File(page)) => Ok(Resolved::File(page)),
                    _ => place,
                }
            }
            place => place,
        }
    }

    fn folder(&self) -> Result<Resolved, StoreError> {
        if self.rules.list { Ok(Resolved::Folder) } else { Err(StoreError::NotFound) }
    }

    /// Loads the page at the path that consists of these parts. The path may be hidden where its first part is not.
    fn load_joined(&mut self, parts: &[&[u8]], clock: &Clock) -> Result<Resolved, StoreError> {
        let mut path = std::mem::take(&mut self.key);
        join(&mut path, parts);
        let loaded = if is_hidden(&path) {
            Err(StoreError::NotFound)
        } else {
            self.load(&path, Purpose::Page(None), clock)
        };
        self.key = path;
        loaded
    }

    /// Returns what is at `path`, from the cache or else from the store. The cache holds each file under its own
    /// path, so that an entry depends on one file only.
    fn load(&mut self, path: &[u8], purpose: Purpose<'_>, clock: &Clock) -> Result<Resolved, StoreError> {
        let now = (clock.now.monotonic, clock.now.wall);
        match self.cache.find(path, &*self.files, now.0) {
            Lookup::Hit(id) => {
                if let Some(file) = self.cache.hit(id) {
                    return Ok(Resolved::File(file.cached()));
                }
            }
            Lookup::Absent => return Err(StoreError::NotFound),
            Lookup::Unserved => return Ok(Resolved::FolderWithoutSlash),
            Lookup::Busy | Lookup::Miss => {}
        }
        match self.files.open(path) {
            Ok(Opened::File(file)) => self.put((path, path), file, purpose, clock).map(Resolved::File),
            Ok(Opened::Folder(version)) => {
                self.cache.put_unserved((path, path), version, now);
                Ok(Resolved::FolderWithoutSlash)
            }
            Err(StoreError::NotFound) => {
                self.cache.put_absent((path, path), now);
                Err(StoreError::NotFound)
            }
            Err(error) => Err(error),
        }
    }

    /// Caches a file under a key. `paths` are the key and the path of the file.
    fn put(
        &mut self,
        paths: (&[u8], &[u8]),
        file: OpenFile,
        purpose: Purpose<'_>,
        clock: &Clock,
    ) -> Result<Representation, StoreError> {
        let metadata = Metadata::of(paths.1, &file, purpose, (&self.rules, clock.now.wall))?;
        Ok(self.cache.put(paths, file, Rc::new(metadata), (clock.now.monotonic, clock.now.wall)))
    }

    /// Returns the site's own error page, if it has one. `name` is the name of the file, such as `404.html`.
    pub fn error_page(&mut self, name: &'static str, clock: &Clock) -> Option<Representation> {
        // A request path begins with a slash, so it cannot equal this key.
        match self.load(name.as_bytes(), Purpose::ErrorPage, clock) {
            Ok(Resolved::File(page)) => Some(page),
            _ => None,
        }
    }

    /// Drops the cache entry of `path`, whose file has changed.
    pub fn forget(&mut self, path: &[u8]) {
        self.cache.forget(path);
    }

    /// Opens the folder at `path` to read its entries.
    pub fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        self.files.list(path)
    }

    /// Advances one compression by a slice, and closes cached files that were not requested recently. Returns
    /// when to call it again.
    pub fn advance(&mut self, clock: &Clock) -> Option<Instant> {
        self.cache.sweep(clock.now.monotonic);
        if let Some(finished) = self.compressions.advance(self.cache.bounds().largest() / 2) {
            self.finish(finished, clock);
        }
        let busy = (!self.compressions.is_empty()).then_some(clock.now.monotonic);
        busy.or(self.cache.sweep_at())
    }
}

/// Writes a cache key that consists of these parts.
fn join(key: &mut Vec<u8>, parts: &[&[u8]]) {
    key.clear();
    parts.iter().for_each(|part| key.extend_from_slice(part));
}

/// Hides dot files, except `/.well-known/` (RFC 8615).
fn is_hidden(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
    names.next_if_eq(&&b".well-known"[..]);
    names.any(|name| name.starts_with(b".") && name != b"." && name != b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_files_are_hidden_except_well_known() {
        for path in
            ["/.git/config", "/a/.env", "/.", "/..x", "/a/.well-known/x", "/.well-known/.x", "/.well-knownx"]
        {
            assert_eq!(is_hidden(path.as_bytes()), path != "/.", "{path}");
        }
        for path in ["/", "/a.b", "/.well-known/acme", "/../x", "/a/./b", "//.well-known/x"] {
            assert!(!is_hidden(path.as_bytes()), "{path}");
        }
    }
}
