//! Resumable uploads: a subset of "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload). Each
//! upload has its own URL, `/files/NAME?length=BYTES&sha-256=HEX`: HEAD returns the number of bytes received,
//! PATCH appends, DELETE aborts the upload.

use super::error::library_error;
use super::origin::check_origin;
use super::path::{address_of, name_of};
use super::write::finish_file;
use crate::protocol::http::semantics::grammar::number;
use crate::protocol::http::semantics::target::query_value;
use crate::protocol::http::semantics::{
    HeaderName, HttpError, Outcome, Request, Response, Status, Target, field,
};
use crate::services::Context;
use crate::store::{Presence, Sha256Digest, Upload, UploadKey};

/// A part of an upload that is being received: the body of one PATCH.
#[derive(Debug)]
pub(crate) struct PartialUpload {
    /// The upload that the part is appended to.
    pub upload: Upload,
    /// The length of the complete file in bytes.
    length: u64,
    /// Whether this is the last part, if Upload-Complete says so.
    is_last: Option<bool>,
}

const FORM: &[u8] = b"application/partial-upload";

/// Returns the key of the upload that the URL identifies, if it is the URL of an upload.
pub(super) fn upload_key(path: &[u8], request: &Request<'_>) -> Option<UploadKey> {
    let Target::Path { query, .. } = request.target else { return None };
    let length = number(query_value(query, b"length")?)?;
    let sha256 = Sha256Digest::parse(query_value(query, b"sha-256")?)?;
    Some(UploadKey { length, sha256, name: name_of(path)? })
}

/// Responds with the number of bytes that were received of an upload, which is complete if its file is stored.
pub(super) fn offset(key: &UploadKey, cx: &mut Context<'_>) -> Result<Outcome, HttpError> {
    if let Some(outcome) = stored(key, cx)? {
        return Ok(outcome);
    }
    let offset = cx.core.library.partial(key).map_err(library_error)?;
    Ok(Outcome::Handled(progress(offset, key.length, false)))
}

/// Returns the response for an upload whose file is already stored, or `Pending` while that is found out.
fn stored(key: &UploadKey, cx: &mut Context<'_>) -> Result<Option<Outcome>, HttpError> {
    let now = cx.core.clock.now.monotonic;
    Ok(match cx.core.library.presence(key, now).map_err(library_error)? {
        Presence::Stored(name) => {
            let response = progress(key.length, key.length, true);
            Some(Outcome::Handled(match name == key.name {
                true => response,
                false => response.with(field("Location", address_of(&name))),
            }))
        }
        Presence::Pending => Some(Outcome::Pending),
        Presence::Absent => None,
    })
}

/// Aborts an upload and removes the bytes received so far.
pub(super) fn abandon(
    key: &UploadKey,
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Response, HttpError> {
    check_origin(&request.headers, cx.http)?;
    cx.core.library.abandon(key).map_err(library_error)?;
    Ok(Response::empty(Status::NoContent, Vec::new()))
}

fn progress(offset: u64, length: u64, is_complete: bool) -> Response {
    let fields = vec![
        field("Upload-Complete", if is_complete { "?1" } else { "?0" }),
        field("Cache-Control", "no-store"),
        field("Upload-Offset", offset.to_string()),
        field("Upload-Length", length.to_string()),
    ];
    Response::empty(Status::NoContent, fields)
}

/// A valid PATCH of an upload.
pub(super) struct UploadPart {
    key: UploadKey,
    /// The number of bytes of the upload before the part.
    offset: u64,
    is_empty: bool,
    /// Whether this is the last part, if Upload-Complete says so.
    is_last: Option<bool>,
}

impl UploadPart {
    /// Checks a PATCH, if it is permitted.
    pub(super) fn of(path: &[u8], request: &Request<'_>, cx: &Context<'_>) -> Result<UploadPart, HttpError> {
        check_origin(&request.headers, cx.http)?;
        let key = upload_key(path, request)
            .ok_or(HttpError::bad_request("A resumable upload needs the query ?length=BYTES&sha-256=HEX"))?;
        if request.headers.get(HeaderName::ContentType).as_deref() != Some(FORM) {
            let why = "A PATCH needs the Content-Type application/partial-upload";
            return Err(HttpError::new(Status::UnsupportedMediaType, why));
        }
        let offset = request.headers.get(HeaderName::UploadOffset).and_then(|value| number(&value));
        let offset = offset.ok_or(HttpError::bad_request("Upload-Offset is missing or not a number"))?;
        let is_last = match request.headers.get(HeaderName::UploadComplete).as_deref() {
            None => None,
            Some(b"?0") => Some(false),
            Some(b"?1") => Some(true),
            _ => return Err(HttpError::bad_request("Upload-Complete must be ?0 or ?1")),
        };
        Ok(UploadPart { key, offset, is_empty: request.body_length == Some(0), is_last })
    }

    /// Returns the outcome of an empty PATCH if the file of the upload is already stored, as after a lost
    /// response. The outcome is `Pending` while that is found out.
    pub(super) fn repeated(&self, cx: &mut Context<'_>) -> Result<Option<Outcome>, HttpError> {
        let outcome = if self.is_empty { stored(&self.key, cx)? } else { None };
        match outcome {
            Some(Outcome::Handled(_)) if self.offset != self.key.length => {
                Err(HttpError::offset_conflict(self.key.length))
            }
            outcome => Ok(outcome),
        }
    }

    /// Starts to receive the body, if the part follows the bytes received so far.
    pub(super) fn begin(
        self,
        request: &Request<'_>,
        cx: &mut Context<'_>,
    ) -> Result<PartialUpload, HttpError> {
        let UploadPart { key, offset, is_last, .. } = self;
        // A part that does not fit leaves the connection alone that is writing the upload.
        let received = cx.core.library.partial(&key).map_err(library_error)?;
        if received != offset {
            return Err(HttpError::offset_conflict(received));
        }
        let end = request.body_length.and_then(|length| offset.checked_add(length));
        if end.is_some_and(|end| end > key.length || (is_last == Some(true) && end < key.length)) {
            return Err(HttpError::bad_request("The part does not match the length of the upload"));
        }
        let now = (cx.core.clock.now.monotonic, cx.core.clock.now.wall);
        let upload = cx.core.library.resume(&key, now).map_err(library_error)?;
        match upload.written().map_err(library_error)? {
            written if written == offset => Ok(PartialUpload { upload, length: key.length, is_last }),
            written => Err(HttpError::offset_conflict(written)),
        }
    }
}

impl PartialUpload {
    /// Ends a part, and stores the file if the part was the last one.
    pub(crate) fn finish(self, request: &Request<'_>, cx: &mut Context<'_>) -> Result<Response, HttpError> {
        let offset = self.upload.written().map_err(library_error)?;
        if offset == self.length && self.is_last != Some(false) {
            return finish_file(self.upload, request, cx);
        }
        Ok(progress(offset, self.length, false))
    }
}
