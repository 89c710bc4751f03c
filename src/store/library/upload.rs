//! Uploads, as the connections that receive them hold them. A resumable upload belongs to the connection that
//! resumed it last: an earlier one may be dead, which the server would notice only at its timeout.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::time::SystemTime;

use super::digest::Sha256Digest;
use super::error::LibraryError;
use super::hidden_file::{HiddenFile, Stored};
use super::name::Name;
use crate::store::FileVersion;

/// An upload in progress.
#[derive(Debug)]
pub struct Upload {
    name: Name,
    file: Rc<SharedFile>,
    /// Where the upload is registered under its key, if it is resumable.
    registration: Option<(Rc<ActiveUploads>, String)>,
}

/// The file of an upload; `None` once another connection has taken the upload over.
type SharedFile = RefCell<Option<HiddenFile>>;

/// The resumable uploads that connections of this process are writing, by the hash of their keys.
#[derive(Debug, Default)]
pub(super) struct ActiveUploads(RefCell<HashMap<String, Weak<SharedFile>>>);

impl ActiveUploads {
    /// Takes an upload from the connection that is writing it, if there is one. The file stays locked.
    pub(super) fn take(&self, key: &str) -> Option<HiddenFile> {
        let file = self.0.borrow().get(key)?.upgrade()?;
        file.take()
    }
}

impl Upload {
    /// Creates an upload that cannot be resumed.
    pub(super) fn new(name: &Name, file: HiddenFile) -> Upload {
        Upload { name: name.clone(), file: Rc::new(RefCell::new(Some(file))), registration: None }
    }

    /// Creates an upload that can be taken over with `key`.
    pub(super) fn resumable(
        name: &Name,
        file: HiddenFile,
        active: &Rc<ActiveUploads>,
        key: String,
    ) -> Upload {
        let mut upload = Upload::new(name, file);
        active.0.borrow_mut().insert(key.clone(), Rc::downgrade(&upload.file));
        upload.registration = Some((Rc::clone(active), key));
        upload
    }

    /// Calls `with` on the file. Fails if another connection has taken the upload over.
    fn with<T>(
        &self,
        with: impl FnOnce(&mut HiddenFile) -> Result<T, LibraryError>,
    ) -> Result<T, LibraryError> {
        with(self.file.borrow_mut().as_mut().ok_or(LibraryError::TakenOver)?)
    }

    /// Returns whether [`rehash`](Upload::rehash) has to be called before more bytes are written. It also has
    /// to be called, and fails, once another connection has taken the upload over.
    pub fn is_rehashing(&self) -> bool {
        self.file.borrow().as_ref().is_none_or(HiddenFile::is_rehashing)
    }

    /// Hashes a slice of the bytes that were received before the upload was resumed.
    pub fn rehash(&mut self) -> Result<(), LibraryError> {
        self.with(HiddenFile::rehash)
    }

    /// Returns the name under which the file will be stored, unless it is taken.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Fails if the name is taken, even if the rules allow to replace the file or to choose another name.
    pub fn only_if_new(self) -> Upload {
        if let Some(file) = self.file.borrow_mut().as_mut() {
            file.refuse_duplicate();
        }
        self
    }

    /// Fails at the end with `Mismatch` if the file does not have this digest.
    pub fn expect(self, sha256: Sha256Digest) -> Upload {
        if let Some(file) = self.file.borrow_mut().as_mut() {
            file.expect(sha256);
        }
        self
    }

    /// Returns the number of bytes written, including those written before the upload was resumed.
    pub fn written(&self) -> Result<u64, LibraryError> {
        self.with(|file| Ok(file.written()))
    }

    /// Appends `bytes`. Fails if the file gets too large, space runs out, or another connection has taken the
    /// upload over.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LibraryError> {
        self.with(|file| file.write(bytes))
    }

    /// Gives the complete file its name, atomically, and the modification time `changed`. Fails if the name
    /// is taken, unless the rules allow to replace the file or to choose another name, or if the library is no
    /// longer in the folder of the upload.
    pub(super) fn commit(
        self,
        folder: &Rc<OwnedFd>,
        changed: SystemTime,
    ) -> Result<(Stored, FileVersion), LibraryError> {
        let file = self.file.take().ok_or(LibraryError::TakenOver)?;
        match file.is_in(folder) {
            true => file.commit(changed),
            false => Err(LibraryError::FolderReplaced),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some((active, key)) = &self.registration else { return };
        let mut active = active.0.borrow_mut();
        // Another connection may have registered the upload again.
        if active.get(key).is_some_and(|file| Weak::as_ptr(file) == Rc::as_ptr(&self.file)) {
            active.remove(key);
        }
    }
}
