//! The library over HTTP: `/files/` lists and takes forms, and `/files/NAME` is read, stored and
//! deleted.

mod form;
mod multipart;
mod origin;
mod part;

use crate::limits::FORM_EXTRA_BYTES;
use crate::services::Services;
use crate::site::Place;
use crate::store::{LibraryError, Name, Upload};

use super::answer::Answer;
use super::conditions::{Conditions, Validators, Verdict};
use super::errors::{self, NOT_FOUND};
use super::files;
use super::listing::{self, Offer};
use super::method::Method;
use super::request::Request;
use super::routes::{self, Outcome};
use super::status::{Refusal, Status};
use super::target::{self, Target};
use super::wishes::Wish;
use form::Form;
use origin::may_write;
use part::Part;

/// Where the library is.
const FOLDER: &str = "/files/";

const ALLOW_READ: &str = "Allow: GET, HEAD, OPTIONS\r\n";
const ALLOW_FOLDER: &str = "Allow: GET, HEAD, POST, OPTIONS\r\n";
const ALLOW: &str = "Allow: GET, HEAD, PUT, PATCH, OPTIONS\r\n";
const ALLOW_WITH_DELETE: &str = "Allow: GET, HEAD, PUT, PATCH, DELETE, OPTIONS\r\n";

const BAD_NAME: Refusal = Refusal::bad("The name cannot be that of a file here");

/// Where a body goes that is stored.
#[derive(Debug)]
pub enum Sink {
    /// Into one file.
    File(Upload),
    /// Into those of a form.
    Form(Box<Form>),
    /// Behind what has come of one file.
    Part(Part),
}

/// The part of a path behind `/files`, decoded, if that is where it leads and there is a library.
pub fn within(request: &Request<'_>, cx: &Services) -> Option<Vec<u8>> {
    let Target::Path { path, .. } = request.target else { return None };
    if cx.files.is_none() || !(path.starts_with(b"/files") || path.contains(&b'%')) {
        return None;
    }
    let decoded = target::decode(path).ok()?;
    let inside = decoded.strip_prefix(b"/files")?;
    matches!(inside, [] | [b'/', ..]).then(|| inside.to_vec())
}

/// Answers what is asked of `path`, which is what stands behind `/files`.
pub fn answer(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<Outcome, Refusal> {
    let query = if let Target::Path { query, .. } = request.target { query } else { None };
    let answer = match (request.method, part::identity(path, request)) {
        (Method::Head, Some(upload)) => part::offset(&upload, cx)?,
        (Method::Delete, Some(upload)) => part::give_up(&upload, request, cx)?,
        (Method::Get | Method::Head, _) if path.is_empty() => routes::redirect(FOLDER.as_bytes(), query),
        (Method::Get | Method::Head, _) if path == b"/" => list(query, request, cx)?,
        (Method::Get | Method::Head, _) => return get(path, query, request, cx),
        (Method::Options, _) => Answer::empty(Status::NoContent, allow(path, cx)),
        // What could be carried out was begun before its body came.
        (Method::Put | Method::Post | Method::Patch, _) => {
            begin(path, request, cx)?;
            return Err(Refusal::new(Status::ServiceUnavailable, "It cannot be stored just now"));
        }
        (Method::Delete, None) if is_deletable(cx) && path.len() > 1 => delete(path, request, cx)?,
        _ => return Err(Refusal::not_allowed(allow(path, cx))),
    };
    Ok(Outcome::Answer(answer))
}

fn is_deletable(cx: &Services) -> bool {
    cx.files.as_ref().is_some_and(|files| files.allow_delete) && cx.library.upload_max().is_ok()
}

fn allow(path: &[u8], cx: &Services) -> &'static str {
    match path {
        _ if cx.library.upload_max().is_err() => ALLOW_READ,
        [] => ALLOW_READ,
        b"/" => ALLOW_FOLDER,
        _ if is_deletable(cx) => ALLOW_WITH_DELETE,
        _ => ALLOW,
    }
}

/// Lists the library: for curl in lines, unless another form is asked for.
fn list(query: Option<&[u8]>, request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
    let Some(files) = &cx.files else { return Err(NOT_FOUND) };
    let folder = files.site.list(b"/").map_err(errors::refusal)?;
    let delete = is_deletable(cx);
    let upload = cx.library.upload_max().ok().map(|max| {
        let overwrite = cx.library.rules().overwrite;
        listing::Upload { max, overwrite }
    });
    let offer = Offer { upload, delete, ..Offer::LIBRARY };
    listing::answer_with(folder, FOLDER.as_bytes(), query, request, &offer)
}

fn get(
    path: &[u8],
    query: Option<&[u8]>,
    request: &Request<'_>,
    cx: &mut Services,
) -> Result<Outcome, Refusal> {
    name(path).ok_or(NOT_FOUND)?;
    let Services { files: Some(files), clock, .. } = cx else { return Err(NOT_FOUND) };
    let Place::File(file) = files.site.find(path, clock).map_err(errors::refusal)? else {
        return Err(NOT_FOUND);
    };
    Ok(match files::answer(path, file, request, (&mut files.site, clock))? {
        Outcome::Answer(answer) if is_download(query) => {
            Outcome::Answer(answer.with("Content-Disposition: attachment\r\n"))
        }
        outcome => outcome,
    })
}

fn is_download(query: Option<&[u8]>) -> bool {
    let mut pairs = query.unwrap_or_default().split(|byte| *byte == b'&');
    pairs.any(|pair| pair.split(|byte| *byte == b'=').next() == Some(b"download"))
}

/// The name that a path is of, behind its slash.
fn name(path: &[u8]) -> Option<Name> {
    Name::parse(path.get(1..)?)
}

/// Begins to store what a PUT or a form brings, if it may.
pub fn begin(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<Sink, Refusal> {
    match (request.method, path) {
        (Method::Post, b"/") => begin_form(request, cx).map(|form| Sink::Form(Box::new(form))),
        (Method::Put, [_, _, ..]) => begin_file(path, request, cx).map(Sink::File),
        (Method::Patch, [_, _, ..]) => Part::begin(path, request, cx).map(Sink::Part),
        _ => Err(Refusal::not_allowed(allow(path, cx))),
    }
}

fn begin_file(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<Upload, Refusal> {
    let name = name(path).ok_or(BAD_NAME)?;
    may_write(request, cx)?;
    if request.wishes.has(Wish::ContentRange) {
        // RFC 9110 section 14.5.
        return Err(Refusal::bad("A PUT stores a whole file, not a part of one"));
    }
    if request.wishes.has(Wish::ContentEncoding) {
        // It would be sent again without it.
        return Err(Refusal::new(Status::UnsupportedMediaType, "A file is stored in no content coding"));
    }
    conditions(path, request, cx)?;
    let upload = cx.library.create(&name, request.framing.length()).map_err(refusal)?;
    let is_new = request.wishes.get(Wish::IfNoneMatch).is_some_and(|tags| &*tags == b"*");
    Ok(if is_new { upload.only_if_new() } else { upload })
}

fn begin_form(request: &Request<'_>, cx: &mut Services) -> Result<Form, Refusal> {
    may_write(request, cx)?;
    let kind = request.wishes.get(Wish::ContentType).unwrap_or_default();
    if !kind.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM)) {
        let why = "Files come here as multipart/form-data, or one by one with PUT";
        return Err(Refusal::new(Status::UnsupportedMediaType, why));
    }
    if Conditions::of_write(&request.wishes).evaluate_unvalidated() != Verdict::Proceed {
        return Err(errors::FAILED);
    }
    let most = cx.library.upload_max().map_err(refusal)?.saturating_add(FORM_EXTRA_BYTES);
    if request.framing.length().is_some_and(|length| length > most) {
        return Err(form::TOO_LARGE);
    }
    Form::new(&kind, most)
}

const FORM: &[u8] = b"multipart/form-data";

impl Sink {
    /// Takes what comes next.
    pub fn take(&mut self, bytes: &[u8], cx: &mut Services) -> Result<(), Refusal> {
        match self {
            Sink::File(upload) => upload.write(bytes).map_err(refusal),
            Sink::Form(form) => form.take(bytes, cx),
            Sink::Part(part) => part.upload.write(bytes).map_err(refusal),
        }
    }

    /// Whether what came before has to be [hashed again](Sink::rehash) before more is taken.
    pub fn is_rehashing(&self) -> bool {
        matches!(self, Sink::Part(part) if part.upload.is_rehashing())
    }

    /// Hashes a slice of what came before.
    pub fn rehash(&mut self) -> Result<(), Refusal> {
        match self {
            Sink::Part(part) => part.upload.rehash().map_err(refusal),
            _ => Ok(()),
        }
    }

    /// Stores what `request` has brought, unless it was not `taken` to its end, and says what has become
    /// of it.
    pub fn end(
        self,
        taken: Result<(), Refusal>,
        request: &Request<'_>,
        cx: &mut Services,
    ) -> Result<Answer, Refusal> {
        match self {
            Sink::Form(form) => form.answer(taken, &request.wishes),
            Sink::File(upload) => taken.and_then(|()| end_file(upload, request, cx)),
            Sink::Part(part) => taken.and_then(|()| part.end(request, cx)),
        }
    }
}

/// Stores a file. The request's conditions must hold still.
fn end_file(upload: Upload, request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
    conditions(&upload.name().path(), request, cx)?;
    let replaces = cx.library.stat(upload.name()).is_ok();
    cx.store(upload).map_err(refusal)?;
    Ok(match replaces {
        true => Answer::empty(Status::NoContent, ""),
        false => Answer::empty(Status::Created, "Content-Length: 0\r\n"),
    })
}

fn delete(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
    let name = name(path).ok_or(NOT_FOUND)?;
    may_write(request, cx)?;
    conditions(path, request, cx)?;
    cx.remove(&name).map_err(refusal)?;
    Ok(Answer::empty(Status::NoContent, ""))
}

/// Evaluates the preconditions of a write (RFC 9110 section 13.1).
fn conditions(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<(), Refusal> {
    let conditions = Conditions::of_write(&request.wishes);
    let Services { files: Some(files), clock, .. } = cx else { return Err(NOT_FOUND) };
    // What is remembered may be a moment old, and another door may have written since.
    files.site.forget(path);
    let holds = match files.site.find(path, clock) {
        Ok(Place::File(file)) => {
            let last_modified = file.note.last_modified();
            conditions.evaluate(Validators { entity_tag: file.entity_tag(), last_modified })
                == Verdict::Proceed
        }
        // What is not there matches nothing.
        _ => conditions.if_match.is_none(),
    };
    if holds { Ok(()) } else { Err(errors::FAILED) }
}

/// What an error of the library is to a client.
pub fn refusal(error: LibraryError) -> Refusal {
    match error {
        LibraryError::NotFound => NOT_FOUND,
        LibraryError::Exists => Refusal::new(Status::Conflict, "There is a file of that name"),
        LibraryError::ReadOnly => Refusal::new(Status::Forbidden, "Nothing may be written here"),
        LibraryError::TooLarge => Refusal::new(Status::ContentTooLarge, "The file is larger than is taken"),
        LibraryError::NoSpace => Refusal::new(Status::InsufficientStorage, "There is not enough space"),
        LibraryError::Busy => Refusal::new(Status::ServiceUnavailable, "Too much is under way"),
        LibraryError::Mismatch => {
            Refusal::new(Status::Conflict, "What has come has another SHA-256 than was announced")
        }
        LibraryError::Failed(error) => {
            log::error!("the library failed: {error}");
            Refusal::new(Status::InternalServerError, "The disk failed")
        }
    }
}
