//! The addresses of the library: `/files/` and, below it, one name each.

use crate::protocol::http::semantics::{HttpError, Request, Target, target};
use crate::services::HttpServices;
use crate::store::Name;

/// Where the library is.
pub(super) const FOLDER: &str = "/files/";

/// A name that no file of the library may have.
pub(super) const BAD_NAME: HttpError = HttpError::bad_request("The name cannot be that of a file here");

/// The part of a path behind `/files`, decoded, if the path leads there and there is a library.
pub(crate) fn path_within(request: &Request<'_>, http: &HttpServices) -> Option<Vec<u8>> {
    let Target::Path { path, .. } = request.target else { return None };
    if http.library.is_none() || !(path.starts_with(b"/files") || path.contains(&b'%')) {
        return None;
    }
    let decoded = target::decode(path).ok()?;
    let inside = decoded.strip_prefix(b"/files")?;
    matches!(inside, [] | [b'/', ..]).then(|| inside.to_vec())
}

/// The name that a path within the library is of, behind its slash.
pub(super) fn name_of(path: &[u8]) -> Option<Name> {
    Name::parse(path.get(1..)?)
}
