//! Uploads by an HTML form. Each file is stored as soon as it is complete, even if others fail.

use std::fmt::Write;

use super::error::library_error;
use super::multipart::{FormPart, Multipart, Piece};
use super::origin::check_origin;
use super::path::{BAD_NAME, FOLDER};
use crate::limits::{FORM_EXTRA_BYTES, FORM_FILES_MAX};
use crate::protocol::http::handlers::escape::{escape_html, escape_json};
use crate::protocol::http::semantics::error::PRECONDITION_FAILED;
use crate::protocol::http::semantics::negotiation::{PLAIN, preferred_media_type};
use crate::protocol::http::semantics::preconditions::{Preconditions, Verdict};
use crate::protocol::http::semantics::{HeaderName, Headers, HttpError, Request, Response, Status, field};
use crate::services::Context;
use crate::site::types;
use crate::store::{Library, Name, Stored, Upload};

/// A form that is being received.
#[derive(Debug)]
pub(crate) struct Form {
    parts: Multipart,
    /// The number of bytes that the rest of the form may have.
    left: u64,
    /// The file that is being received.
    current: Option<Current>,
    files: Vec<Sent>,
}

/// A file that is being received. The content of a rejected file is dropped.
#[derive(Debug)]
struct Current {
    name: String,
    upload: Result<Upload, HttpError>,
    is_empty: bool,
}

/// A file that was received, and whether it was stored.
#[derive(Debug)]
struct Sent {
    name: String,
    outcome: Result<Stored, HttpError>,
}

impl Form {
    /// Starts to receive a form, if the request may store one.
    pub(crate) fn begin(request: &Request<'_>, cx: &Context<'_>) -> Result<Form, HttpError> {
        check_origin(&request.headers, cx.http)?;
        let content_type = request.headers.get(HeaderName::ContentType).unwrap_or_default();
        if !content_type.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM)) {
            let detail = "POST takes multipart/form-data; use PUT for a single file";
            return Err(HttpError::new(Status::UnsupportedMediaType, detail));
        }
        if Preconditions::of_write(&request.headers).evaluate_unvalidated() != Verdict::Proceed {
            return Err(PRECONDITION_FAILED);
        }
        let upload_max = cx.core.library.upload_max().map_err(library_error)?;
        let most = upload_max.saturating_add(FORM_EXTRA_BYTES);
        if request.body_length.is_some_and(|length| length > most) {
            return Err(TOO_LARGE);
        }
        let parts = Multipart::new(&content_type)?;
        Ok(Form { parts, left: most, current: None, files: Vec::new() })
    }

    /// Consumes the next bytes of the body.
    pub(crate) fn take(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), HttpError> {
        let Form { parts, left, current, files } = self;
        *left = left.checked_sub(bytes.len() as u64).ok_or(TOO_LARGE)?;
        let mut is_too_long = false;
        parts.take(bytes, |piece| match piece {
            Piece::Begin(FormPart::Value) => {}
            Piece::Begin(FormPart::File(_)) if files.len() == FORM_FILES_MAX => is_too_long = true,
            Piece::Begin(FormPart::File(name)) => *current = Some(Current::new(&name, &cx.core.library)),
            Piece::Content(bytes) => {
                if let Some(file) = current {
                    file.write(bytes);
                }
            }
            Piece::End => files.extend(current.take().and_then(|file| file.end(cx))),
        })?;
        match is_too_long {
            false => Ok(()),
            true => Err(HttpError::new(Status::ContentTooLarge, "The form has too many files")),
        }
    }

    /// Returns the response with the result of each file. `taken` is the result of receiving the body; if it
    /// is an error, the files before the error are reported too.
    pub(crate) fn response(
        mut self,
        taken: Result<(), HttpError>,
        headers: &Headers<'_>,
    ) -> Result<Response, HttpError> {
        let taken = taken.and(if self.parts.is_whole() { Ok(()) } else { Err(CUT_SHORT) });
        if self.files.is_empty() {
            return Err(taken.err().unwrap_or(HttpError::bad_request("The form contains no file")));
        }
        let refused = taken.err().or(self.files.iter().find_map(|file| file.outcome.as_ref().err().copied()));
        if let Err(error) = taken {
            self.files.push(Sent { name: "(the rest)".into(), outcome: Err(error) });
        }
        let status = refused.map_or(Status::Created, |error| error.status);
        let accept = headers.get(HeaderName::Accept);
        let fields = vec![field("Vary", "Accept")];
        Ok(match preferred_media_type(accept.as_deref(), &[PLAIN, "text/html", types::JSON]) {
            // After a redirect, a reload shows the library instead of sending the form again.
            Some("text/html") if refused.is_none() => {
                Response::empty(Status::SeeOther, [vec![field("Location", FOLDER)], fields].concat())
            }
            Some("text/html") => Response::page(status, fields, self.page()),
            Some(types::JSON) => Response::text(status, types::JSON, fields, self.json()),
            _ => Response::text(status, types::TEXT, fields, self.lines()),
        })
    }

    fn lines(&self) -> String {
        let mut text = String::new();
        for Sent { name, outcome } in &self.files {
            let _ = match outcome {
                Ok(Stored { name: stored, length, sha256, .. }) => {
                    let _ = match stored.as_str() == name {
                        true => write!(text, "{name}: stored"),
                        false => write!(text, "{name}: stored as {stored}"),
                    };
                    writeln!(text, ", {length} bytes, SHA-256 {sha256}")
                }
                Err(error) => writeln!(text, "{}: {}", name.escape_debug(), error.detail),
            };
        }
        text
    }

    /// Returns an array of objects with `name`, `status` (as if the file had been sent alone), and either
    /// `size` and `sha256` or `detail`. `storedAs` is the name of a file whose name was taken.
    fn json(&self) -> String {
        let mut text = String::from("[");
        for (number, Sent { name, outcome }) in self.files.iter().enumerate() {
            text.push_str(if number == 0 { "\n{\"name\":\"" } else { ",\n{\"name\":\"" });
            escape_json(name, &mut text);
            let _ = match outcome {
                Ok(Stored { name: stored, length, sha256, .. }) => {
                    if stored.as_str() != name {
                        text.push_str("\",\"storedAs\":\"");
                        escape_json(stored.as_str(), &mut text);
                    }
                    write!(text, "\",\"status\":201,\"size\":{length},\"sha256\":\"{sha256}\"}}")
                }
                Err(HttpError { status, detail, .. }) => {
                    write!(text, "\",\"status\":{},\"detail\":\"{detail}\"}}", *status as u16)
                }
            };
        }
        text.push_str("\n]\n");
        text
    }

    /// Returns a page for browsers that run no script.
    fn page(&self) -> String {
        let mut page = String::from(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>Upload</title>\n\
             <h1>Not everything was stored</h1>\n<ul>\n",
        );
        for Sent { name, outcome } in &self.files {
            page.push_str("<li><b>");
            escape_html(name, &mut page);
            page.push_str("</b>: ");
            match outcome {
                Ok(Stored { name: stored, .. }) if stored.as_str() != name => {
                    page.push_str("Stored as ");
                    escape_html(stored.as_str(), &mut page);
                }
                Ok(_) => page.push_str("Stored"),
                Err(error) => page.push_str(error.detail),
            }
            page.push_str(".</li>\n");
        }
        let _ = write!(page, "</ul>\n<p><a href=\"{FOLDER}\">To the files</a></p></html>\n");
        page
    }
}

impl Current {
    fn new(name: &[u8], library: &Library) -> Current {
        let upload = Name::parse(name)
            .ok_or(BAD_NAME)
            .and_then(|name| library.create_or_repeat(&name, None).map_err(library_error));
        // An invalid name may be longer than any file name.
        let shown = &name[..name.len().min(SHOWN_NAME_BYTES)];
        Current { name: String::from_utf8_lossy(shown).into_owned(), upload, is_empty: true }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.is_empty &= bytes.is_empty();
        if let Ok(upload) = &mut self.upload
            && let Err(error) = upload.write(bytes)
        {
            self.upload = Err(library_error(error));
        }
    }

    /// Stores the complete file. Returns `None` for a file without name and content, which a browser sends if
    /// the user selected none.
    fn end(self, cx: &mut Context<'_>) -> Option<Sent> {
        let Current { name, upload, is_empty } = self;
        if name.is_empty() && is_empty {
            return None;
        }
        Some(Sent { name, outcome: upload.and_then(|upload| cx.store(upload).map_err(library_error)) })
    }
}

/// The maximum length of a file name in the response, in bytes.
const SHOWN_NAME_BYTES: usize = 255;

const CUT_SHORT: HttpError = HttpError::bad_request("The form is incomplete");

/// The error for a form that is larger than the largest upload plus [`FORM_EXTRA_BYTES`].
const TOO_LARGE: HttpError = HttpError::new(Status::ContentTooLarge, "The form exceeds the size limit");

const FORM: &[u8] = b"multipart/form-data";
