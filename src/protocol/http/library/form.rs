//! Uploads by a browser's form: each file is stored when it is whole, whatever becomes of the others.

use std::fmt::Write;

use crate::limits::FORM_FILES_MAX;
use crate::services::Services;
use crate::site::types;
use crate::store::{Name, Stored, Upload};

use super::multipart::{Multipart, Part, Piece};
use super::{FOLDER, refusal};
use crate::protocol::http::answer::Answer;
use crate::protocol::http::escape::{escape_html, escape_json};
use crate::protocol::http::preferences::best_kind;
use crate::protocol::http::status::{Refusal, Status};
use crate::protocol::http::wishes::{Wish, Wishes};

/// A form on its way in.
#[derive(Debug)]
pub struct Form {
    parts: Multipart,
    /// Bytes that may still come.
    left: u64,
    /// The file whose bytes come just now.
    current: Option<Current>,
    files: Vec<Sent>,
}

/// A file on its way in. One that is refused is passed over.
#[derive(Debug)]
struct Current {
    name: String,
    upload: Result<Upload, Refusal>,
    is_empty: bool,
}

/// What has become of a file.
#[derive(Debug)]
struct Sent {
    name: String,
    outcome: Result<Stored, Refusal>,
}

impl Form {
    /// A form of this media type and of `most` bytes, or why it is none.
    pub fn new(content_type: &[u8], most: u64) -> Result<Form, Refusal> {
        Ok(Form { parts: Multipart::new(content_type)?, left: most, current: None, files: Vec::new() })
    }

    /// Takes what comes next.
    pub fn take(&mut self, bytes: &[u8], cx: &mut Services) -> Result<(), Refusal> {
        let Form { parts, left, current, files } = self;
        *left = left.checked_sub(bytes.len() as u64).ok_or(TOO_LARGE)?;
        let mut is_too_long = false;
        parts.take(bytes, |piece| match piece {
            Piece::Begin(Part::Value) => {}
            Piece::Begin(Part::File(_)) if files.len() == FORM_FILES_MAX => is_too_long = true,
            Piece::Begin(Part::File(name)) => *current = Some(Current::new(&name, cx)),
            Piece::Content(bytes) => {
                if let Some(file) = current {
                    file.write(bytes);
                }
            }
            Piece::End => files.extend(current.take().and_then(|file| file.end(cx))),
        })?;
        match is_too_long {
            false => Ok(()),
            true => Err(Refusal::new(Status::ContentTooLarge, "The form has too many files")),
        }
    }

    /// Says what has become of the files, now that nothing more comes: also of those that came before
    /// something could not be `taken`.
    pub fn answer(mut self, taken: Result<(), Refusal>, wishes: &Wishes<'_>) -> Result<Answer, Refusal> {
        let taken = taken.and(if self.parts.is_whole() { Ok(()) } else { Err(CUT_SHORT) });
        if self.files.is_empty() {
            return Err(taken.err().unwrap_or(Refusal::bad("The form brings no file")));
        }
        let refused = taken.err().or(self.files.iter().find_map(|file| file.outcome.err()));
        if let Err(refusal) = taken {
            self.files.push(Sent { name: "(the rest)".into(), outcome: Err(refusal) });
        }
        let status = refused.map_or(Status::Created, |refusal| refusal.status);
        let accept = wishes.get(Wish::Accept);
        Ok(match best_kind(accept.as_deref(), &["text/plain", "text/html", types::JSON]) {
            // So that a reload shows the library again, and does not send the form again.
            Some("text/html") if refused.is_none() => see_other(),
            Some("text/html") => Answer::text(status, types::HTML, VARY, self.page()),
            Some(types::JSON) => Answer::text(status, types::JSON, VARY, self.json()),
            _ => Answer::text(status, types::TEXT, VARY, self.lines()),
        })
    }

    fn lines(&self) -> String {
        let mut text = String::new();
        for Sent { name, outcome } in &self.files {
            let _ = match outcome {
                Ok(Stored { length, sha256 }) => {
                    writeln!(text, "{name}: stored, {length} bytes, SHA-256 {sha256}")
                }
                Err(refusal) => writeln!(text, "{}: {}", name.escape_debug(), refusal.why),
            };
        }
        text
    }

    /// An array of objects: `name`, `status` as if the file had come by itself, and `size` and `sha256`
    /// or `detail`.
    fn json(&self) -> String {
        let mut text = String::from("[");
        for (number, Sent { name, outcome }) in self.files.iter().enumerate() {
            text.push_str(if number == 0 { "\n{\"name\":\"" } else { ",\n{\"name\":\"" });
            escape_json(name, &mut text);
            let _ = match outcome {
                Ok(Stored { length, sha256 }) => {
                    write!(text, "\",\"status\":201,\"size\":{length},\"sha256\":\"{sha256}\"}}")
                }
                Err(Refusal { status, why, .. }) => {
                    write!(text, "\",\"status\":{},\"detail\":\"{why}\"}}", *status as u16)
                }
            };
        }
        text.push_str("\n]\n");
        text
    }

    /// A page for people whose browser runs no script.
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
            page.push_str(outcome.map_or_else(|refusal| refusal.why, |_| "Stored"));
            page.push_str(".</li>\n");
        }
        let _ = write!(page, "</ul>\n<p><a href=\"{FOLDER}\">To the files</a></p></html>\n");
        page
    }
}

impl Current {
    fn new(name: &[u8], cx: &Services) -> Current {
        let upload = Name::parse(name)
            .ok_or(super::BAD_NAME)
            .and_then(|name| cx.library.create(&name, None).map_err(refusal));
        // What is no name may be long.
        let shown = &name[..name.len().min(SHOWN_NAME_BYTES)];
        Current { name: String::from_utf8_lossy(shown).into_owned(), upload, is_empty: true }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.is_empty &= bytes.is_empty();
        if let Ok(upload) = &mut self.upload
            && let Err(error) = upload.write(bytes)
        {
            self.upload = Err(refusal(error));
        }
    }

    /// The file is whole. Where none was chosen, a browser sends one without name and bytes.
    fn end(self, cx: &mut Services) -> Option<Sent> {
        let Current { name, upload, is_empty } = self;
        if name.is_empty() && is_empty {
            return None;
        }
        Some(Sent { name, outcome: upload.and_then(|upload| cx.store(upload).map_err(refusal)) })
    }
}

/// Bytes of a name that are said again.
const SHOWN_NAME_BYTES: usize = 255;

const CUT_SHORT: Refusal = Refusal::bad("The form ends in the middle");

/// What a form is told that brings more than one upload may.
pub const TOO_LARGE: Refusal = Refusal::new(Status::ContentTooLarge, "The form is larger than is taken");

const VARY: &str = "Vary: Accept\r\n";

/// RFC 9110 section 15.4.4.
fn see_other() -> Answer {
    Answer::empty(Status::SeeOther, &format!("Location: {FOLDER}\r\n{VARY}Content-Length: 0\r\n"))
}
