//! The methods that the URLs of the library allow.

use crate::services::Context;

const READ: &str = "GET, HEAD, OPTIONS";
const READ_AND_UPLOAD: &str = "GET, HEAD, POST, OPTIONS";
const READ_AND_WRITE: &str = "GET, HEAD, PUT, PATCH, OPTIONS";
const READ_WRITE_AND_DELETE: &str = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";

/// Returns the value of Allow for `path`, relative to the library.
pub(super) fn allowed_methods(path: &[u8], cx: &Context<'_>) -> &'static str {
    match path {
        _ if cx.core.library.upload_max().is_err() => READ,
        b"" | b"/" => READ_AND_UPLOAD,
        _ if is_deletable(cx) => READ_WRITE_AND_DELETE,
        _ => READ_AND_WRITE,
    }
}

/// Returns whether clients may delete files.
pub(super) fn is_deletable(cx: &Context<'_>) -> bool {
    let allowed = cx.http.library.as_ref().is_some_and(|library| library.allow_delete);
    allowed && cx.core.library.upload_max().is_ok()
}
