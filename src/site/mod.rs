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
use std::time::Instant;

pub use coding::Coding;
pub use codings::{AcceptedCodings, Selected};
use compression::Compressions;
use metadata::Purpose;
pub use metadata::{FieldSet, Metadata, Representation};
pub use rules::{CacheRule, EXTRA_FIELDS, Rules};

use crate::clock::Clock;
use crate::limits::FOLDER_CHECK;
use crate::store::{Bounds, Cache, DirReader, Hit, Lookup, OpenFile, Opened, Store, StoreError};

pub struct Site {
    files: Box<dyn Store>,
    /// The recently requested files, by the path of the request.
    cache: Cache<Rc<Metadata>>,
    compressions: Compressions,
    /// A buffer for cache keys, so that looking up a coded form does not allocate.
    key: Vec<u8>,
    /// The time of the next check whether another folder has taken the path of the site.
    check_folder_at: Option<Instant>,
    /// The rules by which the files are served.
    pub rules: Rules,
}

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
        let Lookup::Hit(plain) = self.cache.find(path, &*self.files, clock.now.monotonic) else {
            return None;
        };
        let selected = match accepted {
            None => plain,
            Some(accepted) => self.select_cached(path, plain, accepted, clock)?,
        };
        Some((self.cache.hit(selected)?, &self.rules))
    }

    fn check_folder(&mut self, now: Instant) {
        if self.check_folder_at.is_none_or(|at| now >= at) {
            self.check_folder_at = Some(now + FOLDER_CHECK);
            self.reopen_if_replaced();
        }
    }

    /// Opens the site again if another folder has taken its path.
    pub fn reopen_if_replaced(&mut self) {
        if self.files.reopen_if_replaced() {
            self.cache.clear();
        }
    }

    /// Looks up a key in the cache. Returns the file, `NotFound` if the cache knows that there is no file, or
    /// `None` if it does not know.
    fn look_up(&mut self, key: &[u8], clock: &Clock) -> Option<Result<Representation, StoreError>> {
        match self.cache.find(key, &*self.files, clock.now.monotonic) {
            Lookup::Hit(id) => self.cache.hit(id).map(|file| Ok(file.cached())),
            Lookup::Absent | Lookup::Unserved => Some(Err(StoreError::NotFound)),
            Lookup::Busy | Lookup::Miss => None,
        }
    }

    /// Resolves `path`, which is decoded and begins with a slash, to a file, to the `index.html` of a folder,
    /// or to a folder.
    pub fn find(&mut self, path: &[u8], clock: &Clock) -> Result<Resolved, StoreError> {
        self.check_folder(clock.now.monotonic);
        match self.look_up(path, clock) {
            Some(Ok(file)) => return Ok(Resolved::File(file)),
            Some(Err(_)) if path.ends_with(b"/") => return self.folder(),
            Some(Err(error)) => return Err(error),
            None => {}
        }
        if is_hidden(path) {
            return Err(StoreError::NotFound);
        }
        if path.ends_with(b"/") {
            return match self.open(path, "index.html", clock) {
                Ok(Resolved::File(file)) => Ok(Resolved::File(file)),
                Ok(_) | Err(StoreError::NotFound) => self.folder(),
                Err(error) => Err(error),
            };
        }
        let place = self.open(path, "", clock);
        match place {
            Err(StoreError::NotFound) | Ok(Resolved::FolderWithoutSlash) if self.rules.pretty_urls => {
                self.find_pretty(path, clock).map_or(place, |page| Ok(Resolved::File(page)))
            }
            place => place,
        }
    }

    /// Finds `about.html` for `/about`. The page takes precedence over a folder `about`.
    fn find_pretty(&mut self, path: &[u8], clock: &Clock) -> Option<Representation> {
        match self.open(path, ".html", clock) {
            Ok(Resolved::File(page)) => Some(page),
            _ => {
                // A cached absence is revalidated for one file name, but two names must be absent here.
                self.cache.forget(path);
                None
            }
        }
    }

    fn folder(&self) -> Result<Resolved, StoreError> {
        if self.rules.list { Ok(Resolved::Folder) } else { Err(StoreError::NotFound) }
    }

    /// Opens the file at `path` with `suffix` appended, and caches the result under `path`.
    fn open(&mut self, path: &[u8], suffix: &'static str, clock: &Clock) -> Result<Resolved, StoreError> {
        let file_path = [path, suffix.as_bytes()].concat();
        match self.files.open(&file_path) {
            Ok(Opened::File(file)) => {
                self.put((path, &file_path), suffix, file, Purpose::Page(None), clock).map(Resolved::File)
            }
            Ok(Opened::Folder) => Ok(Resolved::FolderWithoutSlash),
            Err(StoreError::NotFound) => {
                self.put_absent((path, &file_path), clock);
                Err(StoreError::NotFound)
            }
            Err(error) => Err(error),
        }
    }

    fn put(
        &mut self,
        paths: (&[u8], &[u8]),
        suffix: &'static str,
        file: OpenFile,
        purpose: Purpose<'_>,
        clock: &Clock,
    ) -> Result<Representation, StoreError> {
        let metadata = Metadata::of(paths.1, suffix, &file, purpose, (&self.rules, clock.now.wall))?;
        Ok(self.cache.put(paths, file, Rc::new(metadata), (clock.now.monotonic, clock.now.wall)))
    }

    fn put_absent(&mut self, paths: (&[u8], &[u8]), clock: &Clock) {
        self.cache.put_absent(paths, (clock.now.monotonic, clock.now.wall));
    }

    /// Returns the site's own error page, if it has one. `name` is the name of the file, such as `404.html`.
    pub fn error_page(&mut self, name: &'static str, clock: &Clock) -> Option<Representation> {
        // A request path begins with a slash, so it cannot equal this key.
        let path = name.as_bytes();
        if let Some(known) = self.look_up(path, clock) {
            return known.ok();
        }
        match self.files.open(path) {
            Ok(Opened::File(file)) => self.put((path, path), "", file, Purpose::ErrorPage, clock).ok(),
            _ => {
                self.put_absent((path, path), clock);
                None
            }
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
