//! HTTP errors: a status and a text for the client.

use std::borrow::Cow;

use super::response::Field;
use super::status::Status;

/// The methods that the paths of the site allow, as the value of Allow.
pub(crate) const ALLOW: &str = "GET, HEAD, OPTIONS";

/// The error for an https target on a connection without TLS (RFC 9110 section 7.4).
pub(crate) const NEEDS_TLS: HttpError =
    HttpError::new(Status::MisdirectedRequest, "This connection does not use TLS");

pub(crate) const NOT_FOUND: HttpError =
    HttpError::new(Status::NotFound, "No file or folder has this address");

pub(crate) const PRECONDITION_FAILED: HttpError =
    HttpError::new(Status::PreconditionFailed, "A precondition of the request is false");

/// The reason why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HttpError {
    pub status: Status,
    /// A sentence for the client without its full stop, which becomes `detail` in problem details (RFC 9457).
    pub detail: &'static str,
    field: ErrorField,
}

/// The header field that belongs to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorField {
    None,
    /// Retry-After of a 503.
    RetryAfter,
    /// Content-Range of a 416, with the length of the file.
    Length(u64),
    /// Allow, which every 405 must have (RFC 9110 section 15.5.6).
    Allow(&'static str),
    /// Upload-Offset of a 409, with the number of bytes received so far.
    UploadOffset(u64),
}

impl HttpError {
    /// Returns a 400: the request violates the grammar or contradicts itself.
    pub(crate) const fn bad_request(detail: &'static str) -> HttpError {
        HttpError::new(Status::BadRequest, detail)
    }

    /// Returns an error with any status. A 503 gets Retry-After.
    pub(crate) const fn new(status: Status, detail: &'static str) -> HttpError {
        let field = match status {
            Status::ServiceUnavailable => ErrorField::RetryAfter,
            _ => ErrorField::None,
        };
        HttpError { status, detail, field }
    }

    /// Returns a 416: the range begins after the end of a file of `length` bytes.
    pub(crate) const fn range_not_satisfiable(length: u64) -> HttpError {
        let detail = "The range starts after the end of the file";
        HttpError { status: Status::RangeNotSatisfiable, detail, field: ErrorField::Length(length) }
    }

    /// Returns a 409: `offset` bytes of the upload were received so far.
    pub(crate) const fn offset_conflict(offset: u64) -> HttpError {
        let detail = "Upload-Offset is not the number of bytes received so far";
        HttpError { status: Status::Conflict, detail, field: ErrorField::UploadOffset(offset) }
    }

    /// Returns a 405 with the allowed methods.
    pub(crate) const fn method_not_allowed(allow: &'static str) -> HttpError {
        let detail = "This method is not allowed here";
        HttpError { status: Status::MethodNotAllowed, detail, field: ErrorField::Allow(allow) }
    }

    /// Returns the header field that belongs to the status, if there is one.
    pub(crate) fn field(&self) -> Option<Field> {
        let (name, value): (_, Cow<'static, str>) = match self.field {
            ErrorField::None => return None,
            ErrorField::RetryAfter => ("Retry-After", "1".into()),
            ErrorField::Length(length) => ("Content-Range", format!("bytes */{length}").into()),
            ErrorField::Allow(allow) => ("Allow", allow.into()),
            ErrorField::UploadOffset(offset) => ("Upload-Offset", offset.to_string().into()),
        };
        Some(Field { name, value })
    }
}
