//! Where the body of a request goes that is stored.

use super::error::library_error;
use super::form::Form;
use super::methods::allowed_methods;
use super::partial::PartialUpload;
use super::write::{begin_file, finish_file};
use crate::protocol::http::handlers::error_pages::error_response;
use crate::protocol::http::semantics::{HttpError, Method, Request, Response};
use crate::services::Context;
use crate::store::Upload;

/// A body on its way into the library.
#[derive(Debug)]
pub(crate) enum UploadSink {
    /// Into one file.
    File(Upload),
    /// Into the files of a form.
    Form(Box<Form>),
    /// Appended to the received part of one file.
    Partial(PartialUpload),
}

impl UploadSink {
    /// Begins to store what a request to `path`, within the library, brings, if it may.
    pub(crate) fn begin(
        path: &[u8],
        request: &Request<'_>,
        cx: &mut Context<'_>,
    ) -> Result<UploadSink, HttpError> {
        match (request.method, path) {
            (Method::Post, b"/") => Form::begin(request, cx).map(|form| UploadSink::Form(Box::new(form))),
            (Method::Put, [_, _, ..]) => begin_file(path, request, cx).map(UploadSink::File),
            (Method::Patch, [_, _, ..]) => PartialUpload::begin(path, request, cx).map(UploadSink::Partial),
            _ => Err(HttpError::method_not_allowed(allowed_methods(path, cx))),
        }
    }

    /// Takes what comes next.
    pub(crate) fn take(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), HttpError> {
        match self {
            UploadSink::File(upload) => upload.write(bytes).map_err(library_error),
            UploadSink::Form(form) => form.take(bytes, cx),
            UploadSink::Partial(partial) => partial.upload.write(bytes).map_err(library_error),
        }
    }

    /// Whether what came before has to be [hashed again](UploadSink::rehash) before more is taken.
    pub(crate) fn is_rehashing(&self) -> bool {
        matches!(self, UploadSink::Partial(partial) if partial.upload.is_rehashing())
    }

    /// Hashes a slice of what came before.
    pub(crate) fn rehash(&mut self) -> Result<(), HttpError> {
        match self {
            UploadSink::Partial(partial) => partial.upload.rehash().map_err(library_error),
            _ => Ok(()),
        }
    }

    /// Stores what `request` has brought, unless it was not `taken` to its end, and says what has become
    /// of it.
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
