//! The actions that the page of a listing offers.

/// The actions of a listing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actions {
    /// Whether a page has download links.
    pub download: bool,
    /// The limits of uploads; `None` if files cannot be uploaded.
    pub upload: Option<UploadLimits>,
    /// Whether files can be deleted.
    pub delete: bool,
}

/// The limits of an upload, which the page's script checks first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadLimits {
    /// The maximum size of a file in bytes.
    pub max_bytes: u64,
    /// Whether an upload may replace an existing file.
    pub overwrite: bool,
}

impl Actions {
    /// The actions of a folder of the site.
    pub(crate) const SITE: Actions = Actions { download: false, upload: None, delete: false };
    /// The actions of a read-only library.
    pub(crate) const LIBRARY: Actions = Actions { download: true, ..Actions::SITE };
}
