//! The local file of an upload.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use evserve::store::Sha256Digest;
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::progress;

/// The number of bytes per read of an upload.
const PIECE_BYTES: usize = 256 * 1024;

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

    /// Passes the bytes from `offset` to the length to `send`, and shows the progress under `name`. Fails if the file
    /// has become shorter.
    pub(crate) fn copy_to(
        &mut self,
        name: &str,
        offset: u64,
        mut send: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        let bar = progress::bar(name, offset, self.length);
        let mut buffer = vec![0; PIECE_BYTES];
        let mut left = self.length - offset;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.file.read(&mut buffer[..wanted]).map_err(unreadable)? {
                0 => return Err(changed()),
                count => {
                    send(&buffer[..count])?;
                    left -= count as u64;
                    bar.inc(count as u64);
                }
            }
        }
        bar.finish_and_clear();
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is sent of a source of 5 bytes whose file then has `length` bytes, and the failure.
    fn sent_after(length: u64) -> (Vec<u8>, Option<String>) {
        let mut source = copied(&mut &b"hello"[..]).expect("a source");
        source.file.set_len(length).expect("another length");
        let mut sent = Vec::new();
        let done = source.copy_to("name", 1, |bytes| {
            sent.extend_from_slice(bytes);
            Ok(())
        });
        (sent, done.err().map(|failure| failure.to_string()))
    }

    #[test]
    fn sources_send_their_length_or_fail() {
        assert_eq!(sent_after(5), (b"ello".to_vec(), None));
        assert_eq!(sent_after(9), (b"ello".to_vec(), None));
        let (sent, failure) = sent_after(3);
        assert!(sent == b"el" && failure.is_some_and(|text| text.contains("changed while it was sent")));
    }
}
