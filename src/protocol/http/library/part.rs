//! Uploads in parts: the plain part of "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload).
//! What is uploaded has an address of its own, `/files/NAME?length=BYTES&sha-256=HEX`: HEAD says how much
//! of it is here, PATCH appends, DELETE gives it up.

use std::fmt::Write;

use crate::protocol::http::answer::Answer;
use crate::protocol::http::grammar::number;
use crate::protocol::http::request::Request;
use crate::protocol::http::status::{Refusal, Status};
use crate::protocol::http::target::{Target, query_value};
use crate::protocol::http::wishes::Wish;
use crate::services::Services;
use crate::store::{Fingerprint, Identity, Upload};

use super::{end_file, may_write, name, refusal};

/// A part on its way in.
#[derive(Debug)]
pub struct Part {
    /// What it is appended to.
    pub upload: Upload,
    length: u64,
    /// Whether it is the last one, if the request says that.
    is_last: Option<bool>,
}

const FORM: &[u8] = b"application/partial-upload";

/// The upload that a request is about, if it is about one.
pub fn identity(path: &[u8], request: &Request<'_>) -> Option<Identity> {
    let Target::Path { query, .. } = request.target else { return None };
    let length = number(query_value(query, b"length")?)?;
    let sha256 = Fingerprint::parse(query_value(query, b"sha-256")?)?;
    Some(Identity { length, sha256, name: name(path)? })
}

/// Says how much of an upload is here.
pub fn offset(identity: &Identity, cx: &Services) -> Result<Answer, Refusal> {
    let offset = cx.library.partial(identity).map_err(refusal)?;
    Ok(progress(offset, identity.length))
}

/// Gives an upload up.
pub fn give_up(identity: &Identity, request: &Request<'_>, cx: &Services) -> Result<Answer, Refusal> {
    may_write(request, cx)?;
    cx.library.give_up(identity).map_err(refusal)?;
    Ok(Answer::empty(Status::NoContent, ""))
}

fn progress(offset: u64, length: u64) -> Answer {
    let mut fields = String::from("Upload-Complete: ?0\r\nCache-Control: no-store\r\n");
    let _ = write!(fields, "Upload-Offset: {offset}\r\nUpload-Length: {length}\r\n");
    Answer::empty(Status::NoContent, &fields)
}

impl Part {
    /// Begins to take what a PATCH brings, if it may.
    pub fn begin(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<Part, Refusal> {
        may_write(request, cx)?;
        let identity = identity(path, request)
            .ok_or(Refusal::bad("An upload's address has ?length=BYTES&sha-256=HEX"))?;
        if request.wishes.get(Wish::ContentType).as_deref() != Some(FORM) {
            let why = "A part of an upload comes as application/partial-upload";
            return Err(Refusal::new(Status::UnsupportedMediaType, why));
        }
        let offset = request.wishes.get(Wish::UploadOffset).and_then(|value| number(&value));
        let offset = offset.ok_or(Refusal::bad("Upload-Offset is missing, or no number"))?;
        let is_last = match request.wishes.get(Wish::UploadComplete).as_deref() {
            None => None,
            Some(b"?0") => Some(false),
            Some(b"?1") => Some(true),
            _ => return Err(Refusal::bad("Upload-Complete is neither ?0 nor ?1")),
        };
        let now = (cx.clock.now(), cx.clock.wall());
        let upload = cx.library.resume(&identity, now).map_err(refusal)?;
        if upload.written() != offset {
            return Err(Refusal::elsewhere(upload.written()));
        }
        let end = request.framing.length().and_then(|length| offset.checked_add(length));
        if end.is_some_and(|end| end > identity.length || (is_last == Some(true) && end < identity.length)) {
            return Err(Refusal::bad("The parts are not as long as the whole"));
        }
        Ok(Part { upload, length: identity.length, is_last })
    }

    /// The part is here: the file is stored if it was the last one.
    pub fn end(self, request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
        let offset = self.upload.written();
        if offset == self.length && self.is_last != Some(false) {
            return end_file(self.upload, request, cx);
        }
        Ok(progress(offset, self.length))
    }
}
