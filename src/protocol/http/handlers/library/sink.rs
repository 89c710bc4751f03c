//! The destinations of request bodies that are stored.

use super::error::library_error;
use super::form::Form;
use super::methods::allowed_methods;
use super::partial::{PartialUpload, UploadPart};
use super::write::{begin_file, finish_file};
use crate::protocol::http::handlers::error_pages::error_response;
use crate::protocol::http::semantics::{HttpError, Method, Outcome, Request, Response};
use crate::services::Context;
use crate::store::Upload;

/// A body that is being stored in the library.
#[derive(Debug)]
pub(crate) enum UploadSink {
    /// The body of a PUT: one file.
    File(Upload),
    /// The body of a POST: a form, which may have several files.
    Form(Box<Form>),
    /// The body of a PATCH: bytes to append to an upload.
    Partial(PartialUpload),
}

/// How an upload continues that is valid and permitted.
#[derive(Debug)]
pub(crate) enum Acceptance {
    /// Its body is stored.
    Sink(UploadSink),
    /// It has no body, and its file may be stored already. While that is found out the outcome is `Pending`, and
    /// the request is accepted again in the next turn.
    Repeated(Outcome),
}

impl UploadSink {
    /// Starts to store the body of a request to `path`, which is relative to the library, if the request is
    /// valid and permitted.
    pub(crate) fn begin(
        path: &[u8],
        request: &Request<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Acceptance, HttpError> {
        let sink = match (request.method, path) {
            (Method::Post, b"/" | b"") => UploadSink::Form(Box::new(Form::begin(request, cx)?)),
            (Method::Put, [_, _, ..]) => UploadSink::File(begin_file(path, request, cx)?),
            (Method::Patch, [_, _, ..]) => {
                let part = UploadPart::of(path, request, cx)?;
                if let Some(outcome) = part.repeated(cx)? {
                    return Ok(Acceptance::Repeated(outcome));
                }
                UploadSink::Partial(part.begin(request, cx)?)
            }
            _ => return Err(HttpError::method_not_allowed(allowed_methods(path, cx))),
        };
        Ok(Acceptance::Sink(sink))
    }

    /// Consumes the next bytes of the body.
    pub(crate) fn take(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), HttpError> {
        match self {
            UploadSink::File(upload) => upload.write(bytes).map_err(library_error),
            UploadSink::Form(form) => form.take(bytes, cx),
            UploadSink::Partial(partial) => partial.upload.write(bytes).map_err(library_error),
        }
    }

    /// Returns whether the bytes of earlier requests must be [hashed again](UploadSink::rehash) before more
    /// are consumed.
    pub(crate) fn is_rehashing(&self) -> bool {
        matches!(self, UploadSink::Partial(partial) if partial.upload.is_rehashing())
    }

    /// Hashes a slice of the bytes of earlier requests.
    pub(crate) fn rehash(&mut self) -> Result<(), HttpError> {
        match self {
            UploadSink::Partial(partial) => partial.upload.rehash().map_err(library_error),
            _ => Ok(()),
        }
    }

    /// Ends the body and returns the response. `taken` is the result of receiving the body; if it is an
    /// error, the file that was being received is not stored.
    pub(crate) fn finish(
        self,
        taken: Result<(), HttpError>,
        request: &Request<'_>,
        cx: &mut Context<'_>,
    ) -> Response {
        let stored = match self {
            UploadSink::Form(form) => form.response(taken, &request.headers),
            UploadSink::File(upload) => taken.and_then(|()| finish_file(upload, request, cx)),
            UploadSink::Partial(partial) => taken.and_then(|()| partial.finish(request, cx)),
        };
        stored.unwrap_or_else(|error| {
            error_response(error, &request.headers, &mut cx.http.site, &cx.core.clock)
        })
    }
}
