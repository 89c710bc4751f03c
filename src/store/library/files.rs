//! The library as a [`Store`], so that a site serves the same files as the other protocols.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::error::LibraryError;
use super::items::{Items, item};
use super::items::{open, stat_of};
use super::location::Location;
use super::name::Name;
use crate::clock::calls::{Call, timed};
use crate::store::disk::read;
use crate::store::{Descriptors, DirEntry, DirReader, FileVersion, Opened, Store, StoreError};

/// The files of a library. Symbolic links are not followed, and only regular files are opened.
pub struct LibraryFiles {
    pub(super) location: Rc<Location>,
    pub(super) descriptors: Descriptors,
}

impl LibraryFiles {
    fn folder(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.location.current().folder)
    }

    fn open_named(&self, name: &Name) -> Result<Opened, StoreError> {
        let folder = self.folder();
        let stat = stat_of(&folder, name).map_err(io::Error::from)?;
        item(name, &stat).ok_or(StoreError::NotFound)?;
        let file = open(&folder, name.as_str()).map_err(io::Error::from)?;
        Ok(Opened::File(read(file.into(), &self.descriptors)?))
    }
}

impl Store for LibraryFiles {
    fn open(&self, path: &[u8]) -> Result<Opened, StoreError> {
        let name = name(path).ok_or(StoreError::NotFound)?;
        timed(Call::Open, || self.open_named(&name))
    }

    fn version(&self, path: &[u8]) -> Option<FileVersion> {
        let (folder, name) = (self.folder(), name(path)?);
        Some(FileVersion::from(&timed(Call::Open, || stat_of(&folder, &name)).ok()?))
    }

    fn list(&self, _path: &[u8]) -> Result<Box<dyn DirReader>, StoreError> {
        let permit = self.descriptors.acquire(1).ok_or(StoreError::Busy)?;
        Ok(Box::new(Items::of(&self.folder(), Some(permit)).map_err(failure)?))
    }
}

fn failure(error: LibraryError) -> StoreError {
    match error {
        LibraryError::Failed(error) => error.into(),
        LibraryError::Busy => StoreError::Busy,
        other => StoreError::Failed(io::Error::other(other.to_string())),
    }
}

/// Returns the name after the slash of a path.
fn name(path: &[u8]) -> Option<Name> {
    Name::parse(path.strip_prefix(b"/")?)
}

impl DirReader for Items {
    fn next(&mut self, count: usize) -> Result<Vec<DirEntry>, StoreError> {
        let items = Items::next(self, count).map_err(failure)?;
        Ok(items
            .into_iter()
            .map(|item| DirEntry {
                name: item.name.as_str().into(),
                length: Some(item.length),
                modified: item.modified,
            })
            .collect())
    }
}
