//! A site: the files that HTTP serves, and the rules by which they are served.

mod coding;
mod codings;
mod compression;
mod metadata;
mod rules;
pub mod types;

use std::rc::Rc;
use std::time::Instant;

pub use coding::Coding;
pub use codings::{AcceptedCodings, Selected};
use compression::Compressions;
use metadata::Purpose;
pub use metadata::{FieldSet, Metadata, Representation};
pub use rules::{CacheRule, Rules, STANDING_FIELDS};

use crate::clock::Clock;
use crate::store::{Bounds, Cache, DirReader, Hit, Lookup, OpenFile, Opened, Store, StoreError};

/// One site.
pub struct Site {
    files: Box<dyn Store>,
    /// The files that were asked for lately, under the path of the request.
    cache: Cache<Rc<Metadata>>,
    compressions: Compressions,
    /// Room for a key, so that looking for coded forms allocates nothing.
    key: Vec<u8>,
    /// How they are served.
    pub rules: Rules,
}

/// What a path leads to.
#[derive(Debug)]
pub enum Resolved {
    /// A file, as it is.
    File(Representation),
    /// A folder without a page of its own, asked for with a slash at the end.
    Folder,
    /// A folder, asked for without the slash that belongs there.
    FolderWithoutSlash,
}

impl Site {
    /// The site of `files`.
    pub fn new(files: Box<dyn Store>, rules: Rules, bounds: Bounds) -> Site {
        Site {
            files,
            cache: Cache::new(bounds),
            compressions: Compressions::default(),
            key: Vec::new(),
            rules,
        }
    }

    /// The cached file at `path` in the form that a client with these preferences gets. `None` if the
    /// cache does not know which that is.
    pub fn cached(
        &mut self,
        path: &[u8],
        accepted: Option<AcceptedCodings>,
        clock: &Clock,
    ) -> Option<(Hit<'_, Rc<Metadata>>, &Rules)> {
        let Lookup::Hit(plain) = self.cache.find(path, &*self.files, clock.now.monotonic) else {
            return None;
        };
        let selected = match accepted {
            None => plain,
            Some(accepted) => self.select_cached(path, plain, accepted, clock)?,
        };
        Some((self.cache.hit(selected)?, &self.rules))
    }

    /// What the cache knows of a key: a file, or that there is none.
    fn look_up(&mut self, key: &[u8], clock: &Clock) -> Option<Result<Representation, StoreError>> {
        match self.cache.find(key, &*self.files, clock.now.monotonic) {
            Lookup::Hit(id) => self.cache.hit(id).map(|file| Ok(file.cached())),
            Lookup::Absent(_) => Some(Err(StoreError::NotFound)),
            Lookup::Miss => None,
        }
    }

    /// Looks for what stands at `path`, which is decoded and begins with a slash: a file, or a
    /// folder's `index.html`.
    pub fn find(&mut self, path: &[u8], clock: &Clock) -> Result<Resolved, StoreError> {
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

    /// `/about` is `about.html`, which comes before a folder of that name.
    fn find_pretty(&mut self, path: &[u8], clock: &Clock) -> Option<Representation> {
        match self.open(path, ".html", clock) {
            Ok(Resolved::File(page)) => Some(page),
            _ => {
                // That there is nothing would be remembered of one of the two names only.
                self.cache.forget(path);
                None
            }
        }
    }

    fn folder(&self) -> Result<Resolved, StoreError> {
        if self.rules.list { Ok(Resolved::Folder) } else { Err(StoreError::NotFound) }
    }

    /// Opens what is at `path` and `suffix`, and remembers it under `path`.
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
        self.cache.put_absent(paths, None, (clock.now.monotonic, clock.now.wall));
    }

    /// The site's own page for a status, if it has one.
    pub fn error_page(&mut self, name: &'static str, clock: &Clock) -> Option<Representation> {
        // No path of a request is without a slash, so this is a key of its own.
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

    /// Drops what is cached of `path`, where something has just been changed.
    pub fn forget(&mut self, path: &[u8]) {
        self.cache.forget(path);
    }

    /// Begins to read the folder at `path`.
    pub fn list(&self, path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        self.files.list(path)
    }

    /// Does a slice of what is under way, and drops what nobody has asked for lately. Returns when
    /// there is more to do.
    pub fn advance(&mut self, clock: &Clock) -> Option<Instant> {
        self.cache.sweep(clock.now.monotonic);
        if let Some(finished) = self.compressions.advance(self.cache.bounds().largest() / 2) {
            self.finish(finished, clock);
        }
        let busy = (!self.compressions.is_empty()).then_some(clock.now.monotonic);
        busy.or(self.cache.sweep_at())
    }
}

/// Dot files are nobody's business, except what RFC 8615 puts there.
fn is_hidden(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
    names.next_if_eq(&&b".well-known"[..]);
    names.any(|name| name.starts_with(b".") && name != b"." && name != b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_files_are_hidden_but_well_known_is_not() {
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
