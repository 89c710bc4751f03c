//! Where a log goes: to a file, or to a standard stream, under any of the stream's names.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    Stderr,
    /// A file, or one of the names that the system has for the streams.
    Path(PathBuf),
}

/// Symbolic links that are followed from a path to a stream. Container images have one or two, such as
/// `access.log -> /dev/stdout`; a circle ends here.
const LINKS_MAX: usize = 8;

impl LogTarget {
    /// Returns the target for the value of an option, in which `-` stands for `stream`.
    pub fn of(path: &Path, stream: LogTarget) -> LogTarget {
        if path.as_os_str() == "-" { stream } else { LogTarget::Path(path.to_owned()) }
    }

    /// Returns the stream that a path names, or else the target itself. The stream's descriptor must be used instead
    /// of opening the path: a socket cannot be opened (ENXIO), and a file that is opened again has its own offset,
    /// so the lines of standard output and standard error would overwrite each other.
    pub fn resolve(&self) -> LogTarget {
        let LogTarget::Path(start) = self else { return self.clone() };
        let mut path = start.clone();
        for _ in 0..LINKS_MAX {
            match path.to_str() {
                Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => return LogTarget::Stdout,
                Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => return LogTarget::Stderr,
                _ => {}
            }
            let Ok(link) = path.read_link() else { break };
            // An absolute link replaces the path.
            path = path.parent().unwrap_or(Path::new("")).join(link);
        }
        self.clone()
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogTarget::Stdout => f.write_str("standard output"),
            LogTarget::Stderr => f.write_str("standard error"),
            LogTarget::Path(path) => path.display().fmt(f),
        }
    }
}
