//! The methods that an address of the library allows.

use crate::services::Context;

const READ: &str = "GET, HEAD, OPTIONS";
const READ_AND_UPLOAD: &str = "GET, HEAD, POST, OPTIONS";
const READ_AND_WRITE: &str = "GET, HEAD, PUT, PATCH, OPTIONS";
const READ_WRITE_AND_DELETE: &str = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";

/// The methods of `path`, within the library, as Allow lists them.
pub(super) fn allowed_methods(path: &[u8], cx: &Context<'_>) -> &'static str {
    match path {
        _ if cx.core.library.upload_max().is_err() => READ,
        [] => READ,
        b"/" => READ_AND_UPLOAD,
        _ if is_deletable(cx) => READ_WRITE_AND_DELETE,
        _ => READ_AND_WRITE,
    }
}

/// Whether files may be deleted.
pub(super) fn is_deletable(cx: &Context<'_>) -> bool {
    let allowed = cx.http.library.as_ref().is_some_and(|library| library.allow_delete);
    allowed && cx.core.library.upload_max().is_ok()
}
