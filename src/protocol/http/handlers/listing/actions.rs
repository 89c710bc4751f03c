//! The actions and formats that a listing offers.

use crate::protocol::http::semantics::negotiation::PLAIN;
use crate::site::types;
use crate::store::OnDuplicate;

/// The actions and formats of a listing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actions {
    /// The media types of the formats. The first is the default.
    pub forms: &'static [&'static str],
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
    pub(crate) const SITE: Actions =
        Actions { forms: &[HTML, types::JSON, PLAIN], download: false, upload: None, delete: false };
    /// The actions of a read-only library. The default format is plain text, for curl.
    pub(crate) const LIBRARY: Actions =
        Actions { forms: &[PLAIN, HTML, types::JSON], download: true, ..Actions::SITE };
}

/// The media type of a page as in Accept, without parameters.
const HTML: &str = "text/html";
