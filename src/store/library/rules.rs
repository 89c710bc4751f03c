//! What may be done with the library.

use std::time::Duration;

/// What may be done with the library.
#[derive(Clone, Debug)]
pub struct LibraryRules {
    /// Nothing is written.
    pub read_only: bool,
    /// An upload may replace a file of its name.
    pub overwrite: bool,
    /// An upload is on the disk before it is acknowledged.
    pub fsync: bool,
    /// Bytes of an upload.
    pub max_upload: u64,
    /// Bytes of all files.
    pub max_library: Option<u64>,
    /// What stays free of the disk.
    pub keep_free: KeepFree,
    /// How many uploads that were cut off are kept to be taken up again.
    pub partial_max: usize,
    /// For how long.
    pub partial_age: Duration,
}

/// How much of a disk stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFree {
    /// So many hundredths of it.
    Percent(u64),
    /// So many bytes.
    Bytes(u64),
}

impl Default for LibraryRules {
    fn default() -> LibraryRules {
        LibraryRules {
            read_only: false,
            overwrite: false,
            fsync: false,
            max_upload: 1 << 30,
            max_library: None,
            keep_free: KeepFree::Percent(5),
            partial_max: 100,
            partial_age: Duration::from_secs(24 * 3600),
        }
    }
}
