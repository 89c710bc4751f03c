//! The validators of a file (RFC 9110 section 8.8).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::coding::Coding;
use super::rules::Rules;
use crate::clock::http_date;
use crate::limits::FILE_TIME_RESOLUTION;
use crate::store::{Content, FileVersion, OpenFile, Sha256Digest};

/// The validators of a file.
#[derive(Debug)]
pub(super) struct FileValidators {
    /// The entity tag, with its quotes. It is always strong.
    pub entity_tag: String,
    /// The time of the last change and the value of Last-Modified, unless the time is a placeholder.
    pub last_modified: Option<(SystemTime, String)>,
}

/// The assumed resolution of a time without a fraction of a second, as FAT has.
const COARSE_RESOLUTION: Duration = Duration::from_secs(2);

/// 1980-01-01T00:00:00Z, the first day of the times in a zip file, in seconds since 1970.
const ZIP_EPOCH: u64 = 315_532_800;

/// The placeholder in a zip file has no time zone.
const ZIP_EPOCH_WITHIN: u64 = 24 * 60 * 60;

impl FileValidators {
    /// Returns the validators of `file`, which was opened at the time `opened`. A coded form of another
    /// file comes with its coding, and the version and the entity tag of that file.
    pub(super) fn of(
        file: &OpenFile,
        coded: Option<(Coding, FileVersion, &[u8])>,
        (rules, opened): (&Rules, SystemTime),
    ) -> FileValidators {
        let is_dated = is_dated(file.modified);
        // Last-Modified is never later than Date (RFC 9110 section 8.8.2.1).
        let modified = file.modified.min(opened);
        let entity_tag = match coded {
            // The server's own form depends on nothing but the file.
            Some((coding, original, tag)) if file.version == original => {
                let tag = String::from_utf8_lossy(tag);
                format!("\"{}-{}\"", tag.trim_matches('"'), coding.name())
            }
            coded => {
                let is_ambiguous = !is_dated || (!rules.unique_times && is_recent(file.modified, opened));
                let tag = opaque_tag(file, is_dated, is_ambiguous);
                match coded {
                    None => format!("\"{tag}\""),
                    Some((coding, ..)) => format!("\"{tag}-{}\"", coding.name()),
                }
            }
        };
        FileValidators { entity_tag, last_modified: is_dated.then(|| (modified, http_date(modified))) }
    }
}

/// Returns whether a modification time is the time of a change. Reproducible builds set the times of all files
/// to 0, to 1 or to the epoch of zip files.
fn is_dated(modified: SystemTime) -> bool {
    let Ok(since) = modified.duration_since(UNIX_EPOCH) else { return true };
    let seconds = since.as_secs();
    seconds > 1 && seconds.abs_diff(ZIP_EPOCH) > ZIP_EPOCH_WITHIN
}

/// Returns whether a file changed so shortly before it was opened that another change might leave its
/// modification time as it is.
fn is_recent(modified: SystemTime, opened: SystemTime) -> bool {
    let is_whole = modified.duration_since(UNIX_EPOCH).is_ok_and(|since| since.subsec_nanos() == 0);
    let resolution = if is_whole { COARSE_RESOLUTION } else { FILE_TIME_RESOLUTION };
    // A time in the future is not recent: another change sets the present time.
    let age = opened.duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
    age < resolution
}

/// Returns the tag of a file without quotes. It is made of the modification time in nanoseconds and the size,
/// so that replicas of a file have the same tag. If that would be ambiguous, it is made of the content of a file in
/// memory, which has up to 128 KiB, or of the inode of a larger file without a date.
fn opaque_tag(file: &OpenFile, is_dated: bool, is_ambiguous: bool) -> String {
    let length = file.version.length();
    match &file.content {
        Content::Memory(bytes) if is_ambiguous => {
            let digest = Sha256Digest::of(Sha256::new_with_prefix(&bytes[..])).to_string();
            digest[..16].to_owned()
        }
        Content::Disk(_) if !is_dated => {
            let (inode, (seconds, nanoseconds)) = file.version.inode();
            format!("{inode:x}-{length:x}-{seconds:x}.{nanoseconds:x}")
        }
        _ => {
            let nanoseconds = match file.modified.duration_since(UNIX_EPOCH) {
                Ok(since) => since.as_nanos() as i128,
                Err(before) => -(before.duration().as_nanos() as i128),
            };
            format!("{nanoseconds:x}-{length:x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DiskStore, Opened, Store};

    #[test]
    fn placeholder_times_are_no_dates() {
        for (seconds, dated) in [
            (0, false),
            (1, false),
            (2, true),
            (ZIP_EPOCH, false),
            (ZIP_EPOCH - 14 * 3600, false),
            (ZIP_EPOCH + 12 * 3600, false),
            (ZIP_EPOCH - 90_000, true),
            (ZIP_EPOCH + 90_000, true),
            (784_111_777, true),
        ] {
            assert_eq!(is_dated(UNIX_EPOCH + Duration::from_secs(seconds)), dated, "{seconds}");
        }
    }

    #[test]
    fn a_time_is_recent_within_the_resolution_of_the_file_system() {
        let now = UNIX_EPOCH + Duration::from_millis(1_800_000_000_500);
        for (age, recent) in [(0, true), (29, true), (31, false), (500, true), (2500, false), (3500, false)] {
            assert_eq!(is_recent(now - Duration::from_millis(age), now), recent, "{age} ms");
        }
        assert!(is_recent(now + Duration::from_millis(9), now) && !is_recent(now + COARSE_RESOLUTION, now));
    }

    #[test]
    fn the_tag_of_a_large_file_is_that_of_the_opened_version() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("large");
        std::fs::write(&path, vec![0; 200_000]).expect("a file");
        let file = std::fs::File::options().write(true).open(&path).expect("the file");
        file.set_modified(UNIX_EPOCH).expect("a placeholder");
        let store = DiskStore::new(folder.path()).expect("a store");
        let Ok(Opened::File(opened)) = store.open(b"large") else { panic!("no file") };
        let tag = opaque_tag(&opened, false, true);
        // The time of the change may stay the same within a tick.
        let first = store.version(b"large");
        while store.version(b"large") == first {
            file.set_modified(UNIX_EPOCH).expect("a change of the inode");
        }
        assert_eq!(opaque_tag(&opened, false, true), tag);
    }
}
