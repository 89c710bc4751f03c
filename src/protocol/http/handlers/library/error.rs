//! Maps errors of the library to HTTP errors.

use crate::protocol::http::semantics::error::NOT_FOUND;
use crate::protocol::http::semantics::{HttpError, Status};
use crate::store::LibraryError;

pub(super) fn library_error(error: LibraryError) -> HttpError {
    match error {
        LibraryError::NotFound => NOT_FOUND,
        LibraryError::Exists => HttpError::new(Status::Conflict, "A file with this name exists"),
        LibraryError::ReadOnly => HttpError::new(Status::Forbidden, "The library is read-only"),
        LibraryError::TooLarge => HttpError::new(Status::ContentTooLarge, "The file exceeds the size limit"),
        LibraryError::NoSpace => {
            HttpError::new(Status::InsufficientStorage, "There is not enough disk space")
        }
        LibraryError::Busy => {
            HttpError::new(Status::ServiceUnavailable, "The server is too busy to store this now")
        }
        LibraryError::FolderReplaced => HttpError::new(
            Status::ServiceUnavailable,
            "The library folder was replaced during the upload; send the file again",
        ),
        LibraryError::TakenOver => {
            HttpError::new(Status::Conflict, "The upload continues on another connection")
        }
        LibraryError::Mismatch => {
            HttpError::new(Status::Conflict, "The SHA-256 of the received bytes is not the announced one")
        }
        LibraryError::Failed(error) => {
            log::error!("library error: {error}");
            HttpError::new(Status::InternalServerError, "The server cannot access its disk")
        }
    }
}
