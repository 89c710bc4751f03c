//! The actions that the page of a listing offers.

use crate::store::OnDuplicate;

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
    /// What happens to an upload whose name is taken.
    pub on_duplicate: OnDuplicate,
}

impl Actions {
    /// The actions of a folder of the site.
    pub(crate) const SITE: Actions = Actions { download: false, upload: None, delete: false };
    /// The actions of a read-only library.
    pub(crate) const LIBRARY: Actions = Actions { download: true, ..Actions::SITE };
}
