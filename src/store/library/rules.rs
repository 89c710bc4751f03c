//! The rules of the library.

use std::time::Duration;

/// The rules by which the library's files are written and kept.
#[derive(Clone, Debug)]
pub struct LibraryRules {
    /// Refuses all writes.
    pub read_only: bool,
    /// What happens to an upload whose name is taken.
    pub on_duplicate: OnDuplicate,
    /// Syncs an upload to the disk before it is acknowledged.
    pub fsync: bool,
    /// The maximum length of an upload in bytes.
    pub max_upload: u64,
    /// The maximum total length of all files in bytes.
    pub max_library: Option<u64>,
    /// The disk space that uploads must leave free.
    pub keep_free: KeepFree,
    /// The maximum number of partial uploads that are kept for resuming.
    pub partial_max: usize,
    /// How long a partial upload is kept after its last write.
    pub partial_age: Duration,
}

/// What happens to an upload whose name is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// It is refused.
    #[default]
    Refuse,
    /// It replaces the file.
    Replace,
    /// It gets another name, with a number.
    Rename,
}

/// An amount of disk space that stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFree {
    /// A percentage of the disk.
    Percent(u64),
    /// A number of bytes.
    Bytes(u64),
}

impl Default for LibraryRules {
    fn default() -> LibraryRules {
        LibraryRules {
            read_only: false,
            on_duplicate: OnDuplicate::Refuse,
            fsync: false,
            max_upload: 1 << 30,
            max_library: None,
            keep_free: KeepFree::Percent(5),
            partial_max: 100,
            partial_age: Duration::from_secs(24 * 3600),
        }
    }
}
