//! The local file of an upload.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use evserve::store::Sha256Digest;
use sha2::{Digest, Sha256};

use super::failure::Failure;

/// A file to be uploaded.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    /// The length in bytes. After [`Source::fingerprint`], the number of bytes that have this digest.
    pub length: u64,
}

impl Source {
    /// Opens a file. Input whose length is not known is copied to a temporary file first, because an upload
    /// announces its length: `-` (standard input), a FIFO or a device, and a file of /proc, which has
    /// content although its length is 0.
    pub(crate) fn open(path: &OsStr) -> Result<Source, Failure> {
        if path == "-" {
            return copied(&mut io::stdin().lock()).map_err(unreadable);
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let known = file.metadata().map_err(unreadable)?;
        if known.is_dir() {
            return Err(Failure::Local("it is a folder; put sends files".into()));
        }
        if !known.is_file() || known.len() == 0 {
            return copied(&mut file).map_err(unreadable);
        }
        Ok(Source { file, length: known.len() })
    }

    /// Returns the digest of the whole file, and leaves the position at its end.
    pub(crate) fn fingerprint(&mut self) -> Result<Sha256Digest, Failure> {
        let (digest, length) = fingerprint(&mut self.file).map_err(unreadable)?;
        self.length = length;
        Ok(digest)
    }

    /// Continues reading at `offset`.
    pub(crate) fn begin_at(&mut self, offset: u64) -> Result<(), Failure> {
        self.file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        Ok(())
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self.file.read(buffer).map_err(unreadable)
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::Local(error.to_string())
}

/// The failure of an upload whose file was modified by another program.
pub(crate) fn changed() -> Failure {
    Failure::Local("the file changed while it was sent; try again".into())
}

/// Copies the rest of `input` to a temporary file.
fn copied(input: &mut impl Read) -> io::Result<Source> {
    let mut file = tempfile::tempfile()?;
    let length = io::copy(input, &mut file)?;
    Ok(Source { file, length })
}

/// Returns the digest of a whole file and the number of its bytes.
pub(crate) fn fingerprint(file: &mut File) -> io::Result<(Sha256Digest, u64)> {
    file.rewind()?;
    let (mut hasher, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((Sha256Digest::of(hasher), length)),
            count => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
        }
    }
}
