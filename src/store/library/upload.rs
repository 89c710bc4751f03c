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
use super::repeated::RepeatedFile;
use crate::clock::calls::{Call, timed};
use crate::store::FileVersion;

/// An upload in progress.
#[derive(Debug)]
pub struct Upload {
    name: Name,
    target: UploadTarget,
}

/// Where the bytes of an upload go.
#[derive(Debug)]
enum UploadTarget {
    New {
        file: Rc<SharedFile>,
        /// Where the upload is registered under its key, if it is resumable.
        registration: Option<(Rc<ActiveUploads>, String)>,
    },
    /// They are compared with the file that has the name.
    Repeated(Box<RepeatedFile>),
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
        let file = Rc::new(RefCell::new(Some(file)));
        Upload { name: name.clone(), target: UploadTarget::New { file, registration: None } }
    }

    /// Creates an upload that can be taken over with `key`.
    pub(super) fn resumable(
        name: &Name,
        file: HiddenFile,
        active: &Rc<ActiveUploads>,
        key: String,
    ) -> Upload {
        let file = Rc::new(RefCell::new(Some(file)));
        active.0.borrow_mut().insert(key.clone(), Rc::downgrade(&file));
        let registration = Some((Rc::clone(active), key));
        Upload { name: name.clone(), target: UploadTarget::New { file, registration } }
    }

    /// Creates an upload that succeeds if its bytes are those of the stored `file`.
    pub(super) fn repeated(name: &Name, file: RepeatedFile) -> Upload {
        Upload { name: name.clone(), target: UploadTarget::Repeated(Box::new(file)) }
    }

    /// Returns whether [`rehash`](Upload::rehash) has to be called before more bytes are written. It also has
    /// to be called, and fails, once another connection has taken the upload over.
    pub fn is_rehashing(&self) -> bool {
        match &self.target {
            UploadTarget::New { file, .. } => file.borrow().as_ref().is_none_or(HiddenFile::is_rehashing),
            UploadTarget::Repeated(_) => false,
        }
    }

    /// Hashes a slice of the bytes that were received before the upload was resumed.
    pub fn rehash(&mut self) -> Result<(), LibraryError> {
        match &self.target {
            UploadTarget::New { file, .. } => with(file, HiddenFile::rehash),
            UploadTarget::Repeated(_) => Ok(()),
        }
    }

    /// Returns the name under which the file will be stored, unless it is taken.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Fails if the name is taken, even if the rules allow to replace the file or to choose another name.
    pub fn only_if_new(self) -> Upload {
        if let UploadTarget::New { file, .. } = &self.target {
            file.borrow_mut().iter_mut().for_each(HiddenFile::refuse_duplicate);
        }
        self
    }

    /// Fails at the end with `Mismatch` if the file does not have this digest.
    pub fn expect(mut self, sha256: Sha256Digest) -> Upload {
        match &mut self.target {
            UploadTarget::New { file, .. } => {
                file.borrow_mut().iter_mut().for_each(|file| file.expect(sha256))
            }
            UploadTarget::Repeated(file) => file.expect(sha256),
        }
        self
    }

    /// Returns the number of bytes received, including those before the upload was resumed.
    pub fn written(&self) -> Result<u64, LibraryError> {
        match &self.target {
            UploadTarget::New { file, .. } => with(file, |file| Ok(file.written())),
            UploadTarget::Repeated(file) => Ok(file.compared()),
        }
    }

    /// Appends `bytes`. Fails if the file gets too large, space runs out, or another connection has taken the
    /// upload over.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LibraryError> {
        match &mut self.target {
            UploadTarget::New { file, .. } => with(file, |file| file.write(bytes)),
            UploadTarget::Repeated(file) => file.compare(bytes),
        }
    }

    /// Gives the complete file its name, atomically, and the modification time `changed`. Fails if the name
    /// is taken, unless the rules allow to replace the file or to choose another name, or if the library is no
    /// longer in the folder of the upload.
    pub(super) fn commit(
        self,
        folder: &Rc<OwnedFd>,
        changed: SystemTime,
    ) -> Result<(Stored, FileVersion), LibraryError> {
        match &self.target {
            UploadTarget::New { file, .. } => match file.take().ok_or(LibraryError::TakenOver)? {
                file if file.is_in(folder) => timed(Call::Write, || file.commit(changed)),
                _ => Err(LibraryError::FolderReplaced),
            },
            UploadTarget::Repeated(file) => file.confirm(&self.name, folder),
        }
    }
}

/// Calls `call` on the file. Fails if another connection has taken the upload over.
fn with<T>(
    file: &SharedFile,
    call: impl FnOnce(&mut HiddenFile) -> Result<T, LibraryError>,
) -> Result<T, LibraryError> {
    call(file.borrow_mut().as_mut().ok_or(LibraryError::TakenOver)?)
}

impl Drop for Upload {
    fn drop(&mut self) {
        let UploadTarget::New { file, registration } = &self.target else { return };
        if let Some(incomplete) = file.take() {
            // Removing or closing the file frees its space.
            timed(Call::Write, || drop(incomplete));
        }
        let Some((active, key)) = registration else { return };
        let mut active = active.0.borrow_mut();
        // Another connection may have registered the upload again.
        if active.get(key).is_some_and(|registered| Weak::as_ptr(registered) == Rc::as_ptr(file)) {
            active.remove(key);
        }
    }
}
