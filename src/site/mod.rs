//! A site: the files that HTTP serves, and the rules by which they are served.

mod codings;
mod compression;
mod representation;
mod rules;
pub mod types;

use std::rc::Rc;
use std::time::Instant;

pub use codings::Coded;
pub use compression::Coding;
use compression::Compressions;
pub use representation::Representation;
use representation::{Note, Style};
pub use rules::{CacheRule, Rules, STANDING_HEAD};

use crate::clock::Clock;
use crate::store::{Bounds, Cache, Entry, Folder, Found, Opened, Recall, Stamp, Store, StoreError};

/// One site.
pub struct Site {
    files: Box<dyn Store>,
    /// What of them was asked for lately, under the path of the request.
    cache: Cache<Rc<Note>>,
    compressions: Compressions,
    /// Room for a key, so that looking for coded forms allocates nothing.
    key: Vec<u8>,
    /// How they are served.
    pub rules: Rules,
}

/// What stands at a path.
#[derive(Debug)]
pub enum Place {
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

    /// The file that is remembered of `path`, as it is.
    pub fn remembered(&mut self, path: &[u8], clock: &Clock) -> Option<Found<'_, Rc<Note>>> {
        match self.cache.get(path, &*self.files, clock.now()) {
            Recall::File(file) => Some(file),
            _ => None,
        }
    }

    /// Looks for what stands at `path`, which is decoded and begins with a slash: a file, or a
    /// folder's `index.html`.
    pub fn find(&mut self, path: &[u8], clock: &Clock) -> Result<Place, StoreError> {
        match self.cache.get(path, &*self.files, clock.now()) {
            Recall::File(file) => return Ok(Place::File(file.cached())),
            Recall::Absent(_) if path.ends_with(b"/") => return self.folder(),
            Recall::Absent(_) => return Err(StoreError::NotFound),
            Recall::Unknown => {}
        }
        if is_hidden(path) {
            return Err(StoreError::NotFound);
        }
        if path.ends_with(b"/") {
            return match self.open(path, "index.html", clock) {
                Ok(Place::File(file)) => Ok(Place::File(file)),
                Ok(_) | Err(StoreError::NotFound) => self.folder(),
                Err(error) => Err(error),
            };
        }
        let place = self.open(path, "", clock);
        match place {
            Err(StoreError::NotFound) | Ok(Place::FolderWithoutSlash) if self.rules.pretty_urls => {
                self.find_pretty(path, clock).map_or(place, |page| Ok(Place::File(page)))
            }
            place => place,
        }
    }

    /// `/about` is `about.html`, which comes before a folder of that name.
    fn find_pretty(&mut self, path: &[u8], clock: &Clock) -> Option<Representation> {
        match self.open(path, ".html", clock) {
            Ok(Place::File(page)) => Some(page),
            _ => {
                // That there is nothing would be remembered of one of the two names only.
                self.cache.forget(path);
                None
            }
        }
    }

    fn folder(&self) -> Result<Place, StoreError> {
        if self.rules.list { Ok(Place::Folder) } else { Err(StoreError::NotFound) }
    }

    /// Opens what is at `path` and `suffix`, and remembers it under `path`.
    fn open(&mut self, path: &[u8], suffix: &'static str, clock: &Clock) -> Result<Place, StoreError> {
        let file_path = [path, suffix.as_bytes()].concat();
        match self.files.open(&file_path) {
            Ok(Entry::File(file)) => {
                self.remember((path, &file_path), suffix, file, Style::Page(None), clock).map(Place::File)
            }
            Ok(Entry::Folder) => Ok(Place::FolderWithoutSlash),
            Err(StoreError::NotFound) => {
                self.remember_absent((path, &file_path), None, clock);
                Err(StoreError::NotFound)
            }
            Err(error) => Err(error),
        }
    }

    fn remember(
        &mut self,
        paths: (&[u8], &[u8]),
        suffix: &'static str,
        file: Opened,
        style: Style<'_>,
        clock: &Clock,
    ) -> Result<Representation, StoreError> {
        let (head, note) =
            representation::describe(paths.1, suffix, &file, style, (&self.rules, clock.wall()))?;
        let now = (clock.now(), clock.wall());
        Ok(self.cache.put(paths, file, (&head, Rc::new(note)), now))
    }

    fn remember_absent(&mut self, paths: (&[u8], &[u8]), stamp: Option<Stamp>, clock: &Clock) {
        self.cache.put_absent(paths, stamp, (clock.now(), clock.wall()));
    }

    /// The site's own page for a status, if it has one.
    pub fn error_page(&mut self, name: &'static str, clock: &Clock) -> Option<Representation> {
        // No path of a request is without a slash, so this is a key of its own.
        let path = name.as_bytes();
        match self.cache.get(path, &*self.files, clock.now()) {
            Recall::File(file) => return Some(file.cached()),
            Recall::Absent(_) => return None,
            Recall::Unknown => {}
        }
        match self.files.open(path) {
            Ok(Entry::File(file)) => self.remember((path, path), "", file, Style::ErrorPage, clock).ok(),
            _ => {
                self.remember_absent((path, path), None, clock);
                None
            }
        }
    }

    /// Forgets what is remembered of `path`, where something has just been changed.
    pub fn forget(&mut self, path: &[u8]) {
        self.cache.forget(path);
    }

    /// Begins to read the folder at `path`.
    pub fn list(&self, path: &[u8]) -> Result<Box<dyn Folder>, StoreError> {
        self.files.list(path)
    }

    /// Does a slice of what is under way, and drops what nobody has asked for lately. Returns when
    /// there is more to do.
    pub fn advance(&mut self, clock: &Clock) -> Option<Instant> {
        self.cache.sweep(clock.now());
        if let Some(finished) = self.compressions.advance(self.cache.bounds().largest() / 2) {
            self.finish(finished, clock);
        }
        let busy = (!self.compressions.is_empty()).then(|| clock.now());
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
