//! The local files of transfers: sources of uploads and targets of downloads.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use evserve::store::Sha256Digest;
use sha2::{Digest, Sha256};

use super::failure::Failure;

/// A file to be uploaded.
#[derive(Debug)]
pub(crate) struct Source {
    pub file: File,
    /// The length in bytes.
    pub length: u64,
    label: String,
}

impl Source {
    /// Opens a file. For `-`, reads standard input to its end first, because the length has to be known.
    pub(crate) fn open(path: &str) -> Result<Source, Failure> {
        let failure = |error| Failure::local(path, error);
        let file = if path == "-" {
            let mut spool = tempfile::tempfile().map_err(failure)?;
            io::copy(&mut io::stdin().lock(), &mut spool).map_err(failure)?;
            spool
        } else {
            File::open(path).map_err(failure)?
        };
        let known = file.metadata().map_err(failure)?;
        if !known.is_file() {
            return Err(Failure::Local(format!("{path}: not a regular file")));
        }
        Ok(Source { file, length: known.len(), label: path.to_owned() })
    }

    /// Returns the digest of the whole file, and leaves the position at its end.
    pub(crate) fn fingerprint(&mut self) -> Result<Sha256Digest, Failure> {
        fingerprint(&mut self.file).map_err(|error| Failure::local(&self.label, error))
    }

    /// Continues reading at `offset`.
    pub(crate) fn begin_at(&mut self, offset: u64) -> Result<(), Failure> {
        self.file.seek(SeekFrom::Start(offset)).map_err(|error| Failure::local(&self.label, error))?;
        Ok(())
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self.file.read(buffer).map_err(|error| Failure::local(&self.label, error))
    }
}

fn fingerprint(file: &mut File) -> io::Result<Sha256Digest> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256Digest::of(hasher)),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// The target of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    /// A file, which is replaced when the download is complete.
    File(PathBuf),
}

/// A download in progress. Its file has a hidden name, under which the download can be resumed, or no name.
#[derive(Debug)]
pub(crate) struct Download {
    file: File,
    hidden: Option<PathBuf>,
    target: PathBuf,
    /// The number of bytes that an earlier download left.
    pub offset: u64,
}

impl Download {
    /// Begins a download of `length` bytes, or resumes an earlier one of the same `version`.
    pub(crate) fn resume(target: &Path, version: &str, length: u64) -> Result<Download, Failure> {
        let hidden = hidden_beside(target, version);
        let failure = |error| Failure::local(hidden.display(), error);
        let mut file = File::options().create(true).append(true).read(true).open(&hidden).map_err(failure)?;
        if file.metadata().map_err(failure)?.len() > length {
            file.set_len(0).map_err(failure)?;
        }
        let offset = file.seek(SeekFrom::End(0)).map_err(failure)?;
        Ok(Download { file, hidden: Some(hidden), target: target.to_owned(), offset })
    }

    /// Begins a download that cannot be resumed. Its file has no name, so it vanishes if the download fails.
    pub(crate) fn begin(target: &Path) -> Result<Download, Failure> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = tempfile::tempfile_in(folder.unwrap_or(Path::new(".")));
        let file = file.map_err(|error| Failure::local(target.display(), error))?;
        Ok(Download { file, hidden: None, target: target.to_owned(), offset: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| Failure::local(self.target.display(), error))
    }

    /// Returns the digest of the received file.
    pub(crate) fn fingerprint(&mut self) -> Result<Sha256Digest, Failure> {
        fingerprint(&mut self.file).map_err(|error| Failure::local(self.target.display(), error))
    }

    /// Moves the complete file to its target.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let failure = |error| Failure::local(self.target.display(), error);
        let hidden = match &self.hidden {
            Some(hidden) => hidden.clone(),
            None => {
                let hidden = hidden_beside(&self.target, "whole");
                let mut source = &self.file;
                source.rewind().map_err(failure)?;
                let copy = File::create(&hidden).and_then(|mut copy| io::copy(&mut source, &mut copy));
                copy.map_err(failure)?;
                hidden
            }
        };
        fs::rename(hidden, &self.target).map_err(failure)
    }

    /// Removes the received bytes.
    pub(crate) fn discard(self) {
        if let Some(hidden) = &self.hidden {
            let _ = fs::remove_file(hidden);
        }
    }
}

fn hidden_beside(target: &Path, version: &str) -> PathBuf {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.{version}.part"))
}
