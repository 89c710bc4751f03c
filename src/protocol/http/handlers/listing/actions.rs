//! What can be done with the entries of a listing.

use crate::protocol::http::semantics::negotiation::PLAIN;
use crate::site::types;

/// The actions that a listing offers, and the forms it comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actions {
    /// The media types of the forms. The first is for a client that likes none best.
    pub forms: &'static [&'static str],
    /// Whether a file can be saved instead of shown.
    pub download: bool,
    /// Whether files can be uploaded.
    pub upload: Option<UploadLimits>,
    /// Whether files can be deleted.
    pub delete: bool,
}

/// The limits of an upload, as the page has to know them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadLimits {
    /// Bytes of a file.
    pub max_bytes: u64,
    /// Whether it may replace one of its name.
    pub overwrite: bool,
}

impl Actions {
    /// Those of a site's folder.
    pub(crate) const SITE: Actions =
        Actions { forms: &[HTML, types::JSON, PLAIN], download: false, upload: None, delete: false };
    /// Those of a library that is only read. curl has it in lines.
    pub(crate) const LIBRARY: Actions =
        Actions { forms: &[PLAIN, HTML, types::JSON], download: true, ..Actions::SITE };
}

/// A page, as an Accept names it.
const HTML: &str = "text/html";
