//! What an error of the library is to a client.

use crate::protocol::http::semantics::error::NOT_FOUND;
use crate::protocol::http::semantics::{HttpError, Status};
use crate::store::LibraryError;

/// The response to an error of the library.
pub(super) fn library_error(error: LibraryError) -> HttpError {
    match error {
        LibraryError::NotFound => NOT_FOUND,
        LibraryError::Exists => HttpError::new(Status::Conflict, "There is a file of that name"),
        LibraryError::ReadOnly => HttpError::new(Status::Forbidden, "Nothing may be written here"),
        LibraryError::TooLarge => HttpError::new(Status::ContentTooLarge, "The file is larger than is taken"),
        LibraryError::NoSpace => HttpError::new(Status::InsufficientStorage, "There is not enough space"),
        LibraryError::Busy => HttpError::new(Status::ServiceUnavailable, "Too much is under way"),
        LibraryError::Mismatch => {
            HttpError::new(Status::Conflict, "What has come has another SHA-256 than was announced")
        }
        LibraryError::Failed(error) => {
            log::error!("the library failed: {error}");
            HttpError::new(Status::InternalServerError, "The disk failed")
        }
    }
}
