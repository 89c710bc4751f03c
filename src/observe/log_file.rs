//! Log files that never block the event loop: bytes that a file does not accept at once stay with the caller.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// A file, a pipe or a terminal that lines are appended to.
#[derive(Debug)]
pub struct LogFile {
    /// The path from which the file is reopened; `None` for the standard streams.
    path: Option<PathBuf>,
    file: File,
    /// The maximum length of a write that does not block, in bytes.
    piece_bytes: usize,
}

/// The number of bytes that a ready pipe accepts without blocking (PIPE_BUF, pipe(7)).
const PIPE_PIECE_BYTES: usize = 4096;

impl LogFile {
    pub fn stderr() -> io::Result<LogFile> {
        LogFile::standard(io::stderr().as_fd(), Path::new("/dev/stderr"))
    }

    pub fn stdout() -> io::Result<LogFile> {
        LogFile::standard(io::stdout().as_fd(), Path::new("/dev/stdout"))
    }

    /// Opens a standard stream. Other processes share its open file description, so it must not become
    /// non-blocking. A terminal is ready as soon as it has room for one byte, and a longer write would block,
    /// so it is reopened as non-blocking.
    fn standard(stream: BorrowedFd<'_>, name: &Path) -> io::Result<LogFile> {
        let reopened = if stream.is_terminal() { open(name).ok() } else { None };
        match reopened {
            Some(file) => LogFile::new(None, file),
            None => LogFile::new(None, File::from(stream.try_clone_to_owned()?)),
        }
    }

    /// Opens the file at `path` for appending, and creates it if it does not exist.
    pub fn append_to(path: &Path) -> io::Result<LogFile> {
        LogFile::new(Some(path.to_owned()), open(path)?)
    }

    fn new(path: Option<PathBuf>, file: File) -> io::Result<LogFile> {
        let piece_bytes = if file.metadata()?.is_file() { usize::MAX } else { PIPE_PIECE_BYTES };
        Ok(LogFile { path, file, piece_bytes })
    }

    /// Reopens the path, as after a rotation. If that fails, the old file stays open.
    pub fn reopen(&mut self) -> io::Result<()> {
        match &self.path {
            Some(path) => LogFile::append_to(&path.clone()).map(|new| *self = new),
            None => Ok(()),
        }
    }

    /// Writes as much as possible without blocking. Returns the number of bytes written.
    pub fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() && self.is_ready() {
            let end = bytes.len().min(written.saturating_add(self.piece_bytes));
            match self.file.write(&bytes[written..end]) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Returns whether a write would not block: always for a regular file, else according to poll(2).
    fn is_ready(&self) -> bool {
        let mut file = [PollFd::new(&self.file, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        self.piece_bytes == usize::MAX || poll(&mut file, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // With O_NONBLOCK, opening a FIFO without a reader fails at once instead of waiting for a reader.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    File::options().append(true).create(true).custom_flags(flags).open(path)
}

/// A log that writes each line at once. A line that the file does not accept is dropped and counted.
#[derive(Clone, Debug)]
pub struct LineLog(Arc<Mutex<PendingLine>>);

#[derive(Debug)]
struct PendingLine {
    file: LogFile,
    /// The beginning of a line whose end has not been logged yet.
    line: Vec<u8>,
    dropped: u64,
}

impl LineLog {
    pub fn new(file: LogFile) -> LineLog {
        LineLog(Arc::new(Mutex::new(PendingLine { file, line: Vec::new(), dropped: 0 })))
    }

    pub fn reopen(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).file.reopen()
    }
}

impl Write for LineLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            lines.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                lines.end_line();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PendingLine {
    fn end_line(&mut self) {
        if self.dropped > 0 {
            let said = format!("{} lines of this log were dropped here\n", self.dropped);
            self.line.splice(..0, said.into_bytes());
        }
        // A pipe accepts a short line completely or not at all; a terminal or a disk may accept a part of it.
        match self.file.write_some(&self.line) {
            Ok(written) if written == self.line.len() => self.dropped = 0,
            _ => self.dropped += 1,
        }
        self.line.clear();
    }
}
