//! Log files that never block the event loop: bytes that a file does not accept at once stay with the caller.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::log_target::LogTarget;
use crate::clock::calls::{Call, timed};

/// A file, a pipe or a terminal that lines are appended to.
#[derive(Debug)]
pub struct LogFile {
    /// The path from which the file is reopened; `None` for the standard streams.
    path: Option<PathBuf>,
    file: File,
    medium: Medium,
    /// Whether the last byte written was not the end of a line.
    ends_mid_line: bool,
}

/// What lines are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    /// A regular file, which never blocks.
    Disk,
    /// A pipe, a socket or a device, which accepts a piece without blocking when poll(2) reports it as ready.
    Stream,
}

/// The number of bytes that a ready pipe accepts without blocking (PIPE_BUF, pipe(7)).
const PIPE_PIECE_BYTES: usize = 4096;

impl LogFile {
    pub fn of(target: &LogTarget) -> io::Result<LogFile> {
        match target.resolve() {
            LogTarget::Stdout => LogFile::standard(io::stdout().as_fd(), Path::new("/dev/stdout")),
            LogTarget::Stderr => LogFile::standard(io::stderr().as_fd(), Path::new("/dev/stderr")),
            LogTarget::Path(path) => LogFile::append_to(&path),
        }
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
        let medium = if file.metadata()?.is_file() { Medium::Disk } else { Medium::Stream };
        Ok(LogFile { path, file, medium, ends_mid_line: false })
    }

    /// Reopens the path, as after a rotation. A standard stream stays as it is. If the path names the same file as
    /// before, or cannot be opened, the old file stays open.
    pub fn reopen(&mut self) -> io::Result<Reopened> {
        let Some(path) = &self.path else { return Ok(Reopened::Same) };
        let new = timed(Call::Log, || LogFile::append_to(path))?;
        let identity = |file: &File| file.metadata().map(|file| (file.dev(), file.ino()));
        if identity(&new.file)? == identity(&self.file)? {
            return Ok(Reopened::Same);
        }
        *self = new;
        Ok(Reopened::Other)
    }

    /// Returns whether the last byte written was not the end of a line.
    pub fn ends_mid_line(&self) -> bool {
        self.ends_mid_line
    }

    /// Writes as much as possible without blocking. Returns the number of bytes written.
    pub fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = timed(Call::Log, || self.write_pieces(bytes))?;
        if written > 0 {
            self.ends_mid_line = bytes[written - 1] != b'\n';
        }
        Ok(written)
    }

    fn write_pieces(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() && self.is_ready() {
            let left = &bytes[written..];
            let piece = match self.medium {
                Medium::Disk => left,
                Medium::Stream => &left[..left.len().min(PIPE_PIECE_BYTES)],
            };
            // Ends at the end of a line if possible: other processes and the other log may write to the same pipe.
            let whole_lines = memchr::memrchr(b'\n', piece).map_or(piece.len(), |end| end + 1);
            match self.file.write(&piece[..whole_lines]) {
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

    /// Returns whether a write would not block: always for a disk, else according to poll(2).
    fn is_ready(&self) -> bool {
        let mut file = [PollFd::new(&self.file, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        self.medium == Medium::Disk || poll(&mut file, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // With O_NONBLOCK, opening a FIFO without a reader fails at once instead of waiting for a reader.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    File::options().append(true).create(true).custom_flags(flags).open(path)
}

/// What a path named when it was reopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopened {
    /// The same file as before.
    Same,
    /// Another file, which begins with a new line.
    Other,
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).file.reopen().map(drop)
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
        let mut report = Vec::new();
        // The rest of a line that was written in part is lost.
        if self.file.ends_mid_line() {
            report.push(b'\n');
        }
        if self.dropped > 0 {
            report.extend_from_slice(
                format!("{} lines of this log were dropped here\n", self.dropped).as_bytes(),
            );
        }
        let reported = report.len();
        self.line.splice(..0, report);
        // A pipe accepts a short line completely or not at all; a terminal or a disk may accept a part of it.
        let written = self.file.write_some(&self.line).unwrap_or(0);
        if written >= reported {
            self.dropped = 0;
        }
        self.dropped += u64::from(written < self.line.len());
        self.line.clear();
    }
}
