//! The URLs of the library: `/files/`, and `/files/NAME` for each file.

use percent_encoding::percent_encode;

use crate::protocol::http::semantics::uri::SEGMENT;
use crate::protocol::http::semantics::{HttpError, Request, Target, target};
use crate::services::HttpServices;
use crate::store::Name;

/// The URL path of the library.
pub(super) const FOLDER: &str = "/files/";

/// The error for a name that no file of the library may have.
pub(super) const BAD_NAME: HttpError = HttpError::bad_request("This is not a valid file name");

/// Returns the decoded path after `/files`, or `None` if the path does not begin with it or there is no
/// library.
pub(crate) fn path_within(request: &Request<'_>, http: &HttpServices) -> Option<Vec<u8>> {
    let Target::Path { path, .. } = request.target else { return None };
    if http.library.is_none() || !(path.starts_with(b"/files") || path.contains(&b'%')) {
        return None;
    }
    let decoded = target::decode(path).ok()?;
    let inside = decoded.strip_prefix(b"/files")?;
    matches!(inside, [] | [b'/', ..]).then(|| inside.to_vec())
}

/// Returns the URL path of a file.
pub(super) fn address_of(name: &Name) -> String {
    format!("{FOLDER}{}", percent_encode(name.as_str().as_bytes(), SEGMENT))
}

/// Returns the file name in `path`, which is relative to the library: `/NAME`.
pub(super) fn name_of(path: &[u8]) -> Option<Name> {
    Name::parse(path.get(1..)?)
}
