//! Tells versions of a file apart, by the metadata of `stat`.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

/// The assumed resolution of file times. File systems count in timer ticks of at most 10 ms, so two changes
/// within one tick look alike.
pub(super) const TIME_RESOLUTION: Duration = Duration::from_millis(30);

/// One version of one file: its identity, its length, and its times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileVersion {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) length: u64,
    /// The time of the last change to the content (mtime): seconds and nanoseconds since 1970.
    pub(super) modified: (i64, i64),
    /// The time of the last change to the content or the inode (ctime).
    pub(super) changed: (i64, i64),
}

impl FileVersion {
    /// Returns the length of the file in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns whether the last change was less than `resolution` before `now`. If so, another change may
    /// leave the times as they are.
    pub fn is_racily_clean(&self, now: SystemTime, resolution: Duration) -> bool {
        let Ok(now) = now.duration_since(UNIX_EPOCH) else { return true };
        // Programs can set the modification time, but not this one, which every change updates.
        let (seconds, nanoseconds) = self.changed;
        let Ok(seconds) = u64::try_from(seconds) else { return false };
        let changed = Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0));
        now.checked_sub(changed).is_none_or(|since| since < resolution)
    }
}

// On Linux these casts change nothing; on other systems the fields have other widths.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
impl From<&Stat> for FileVersion {
    fn from(file: &Stat) -> FileVersion {
        FileVersion {
            device: file.st_dev as u64,
            inode: file.st_ino as u64,
            length: file.st_size as u64,
            modified: (file.st_mtime as i64, file.st_mtime_nsec as i64),
            changed: (file.st_ctime as i64, file.st_ctime_nsec as i64),
        }
    }
}

impl From<&Metadata> for FileVersion {
    fn from(file: &Metadata) -> FileVersion {
        FileVersion {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// Returns the modification time of a `stat`.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(super) fn modified(stat: &Stat) -> SystemTime {
    let seconds = stat.st_mtime as i64;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let since = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    since.unwrap_or(UNIX_EPOCH) + Duration::from_nanos(stat.st_mtime_nsec as u64)
}
