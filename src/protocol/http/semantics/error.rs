//! Requests that are not carried out: a status, and what to say about it.

use std::borrow::Cow;

use super::response::Field;
use super::status::Status;

/// The methods of a path of the site, as Allow lists them.
pub(crate) const ALLOW: &str = "GET, HEAD, OPTIONS";

/// There is nothing at the address.
pub(crate) const NOT_FOUND: HttpError = HttpError::new(Status::NotFound, "There is nothing at this address");

/// A precondition does not hold.
pub(crate) const PRECONDITION_FAILED: HttpError =
    HttpError::new(Status::PreconditionFailed, "It is not what the request expects");

/// Why a request is not carried out: the status of its response, and a sentence for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HttpError {
    /// The status.
    pub status: Status,
    /// A sentence without its full stop (RFC 9457 calls it so).
    pub detail: &'static str,
    field: ErrorField,
}

/// The field that belongs to the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorField {
    None,
    /// Retry-After of 503, in seconds.
    RetryAfter,
    /// Content-Range of 416: how many bytes the file has.
    Length(u64),
    /// Allow of 405 (RFC 9110 section 15.5.6 wants it with every one).
    Allow(&'static str),
    /// Upload-Offset of 409: how many bytes of an upload there are.
    UploadOffset(u64),
}

impl HttpError {
    /// 400: the request breaks the grammar or contradicts itself.
    pub(crate) const fn bad_request(detail: &'static str) -> HttpError {
        HttpError::new(Status::BadRequest, detail)
    }

    /// Any other status.
    pub(crate) const fn new(status: Status, detail: &'static str) -> HttpError {
        let field = match status {
            Status::ServiceUnavailable => ErrorField::RetryAfter,
            _ => ErrorField::None,
        };
        HttpError { status, detail, field }
    }

    /// 416: the range begins behind the end of `length` bytes.
    pub(crate) const fn range_not_satisfiable(length: u64) -> HttpError {
        let detail = "The range lies behind the end";
        HttpError { status: Status::RangeNotSatisfiable, detail, field: ErrorField::Length(length) }
    }

    /// 409: of an upload there are `offset` bytes.
    pub(crate) const fn offset_conflict(offset: u64) -> HttpError {
        let detail = "The part does not begin where the upload has stopped";
        HttpError { status: Status::Conflict, detail, field: ErrorField::UploadOffset(offset) }
    }

    /// 405, with the methods that are allowed.
    pub(crate) const fn method_not_allowed(allow: &'static str) -> HttpError {
        let detail = "This cannot be done here";
        HttpError { status: Status::MethodNotAllowed, detail, field: ErrorField::Allow(allow) }
    }

    /// The field that belongs to the status, if one does.
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
