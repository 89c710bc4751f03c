//! Where the library is: the folder at its path. If another folder takes that place, the library moves there.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::rules::LibraryRules;
use super::staging::Staging;
use crate::clock::Instant;
use crate::clock::calls::{Call, timed};
use crate::limits::FOLDER_CHECK;
use crate::store::beneath::is_replaced;

/// The path of the library, and the folder that was found there last.
pub(super) struct Location {
    path: PathBuf,
    rules: LibraryRules,
    current: RefCell<Rc<Staging>>,
    /// The time of the current turn.
    now: Cell<Option<Instant>>,
    /// When the path was checked last.
    checked: Cell<Option<Instant>>,
    /// Whether the last check failed, which was reported.
    is_failing: Cell<bool>,
}

impl Location {
    pub(super) fn open(path: &Path, rules: LibraryRules) -> io::Result<Location> {
        let current = RefCell::new(Rc::new(open(path, &rules)?));
        let (now, checked, is_failing) = (Cell::new(None), Cell::new(None), Cell::new(false));
        Ok(Location { path: path.to_owned(), rules, current, now, checked, is_failing })
    }

    pub(super) fn rules(&self) -> &LibraryRules {
        &self.rules
    }

    /// Records the time, by which the next use of the folder decides whether to check the path.
    pub(super) fn begin_turn(&self, now: Instant) {
        self.now.set(Some(now));
    }

    /// Returns the folder, after a check of the path if the last one is too long ago.
    pub(super) fn current(&self) -> Rc<Staging> {
        if let Some(now) = self.now.get()
            && self.checked.get().is_none_or(|checked| now >= checked + FOLDER_CHECK)
        {
            // A failure was reported. The folder at hand serves until there is another one.
            let _ = self.check();
        }
        Rc::clone(&self.current.borrow())
    }

    /// Checks the path, and opens the folder there if it is another one. Fails if there is none; the folder at
    /// hand then stays in use for reading.
    pub(super) fn check(&self) -> io::Result<Rc<Staging>> {
        self.checked.set(self.now.get());
        let found = timed(Call::Open, || self.find());
        let was_failing = self.is_failing.replace(found.is_err());
        if let Err(error) = &found
            && !was_failing
        {
            log::error!("cannot open the library {}: {error}", self.path.display());
        }
        found
    }

    fn find(&self) -> io::Result<Rc<Staging>> {
        let current = Rc::clone(&self.current.borrow());
        if !is_replaced(current.folder.as_fd(), &self.path)? {
            return Ok(current);
        }
        let replacement = Rc::new(open(&self.path, &self.rules)?);
        log::info!("the library folder {} was replaced; reopened", self.path.display());
        self.current.replace(Rc::clone(&replacement));
        Ok(replacement)
    }
}

fn open(path: &Path, rules: &LibraryRules) -> io::Result<Staging> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Staging::new(Rc::new(openat(CWD, path, flags, Mode::empty())?), rules)
}
