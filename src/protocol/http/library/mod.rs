//! The library over HTTP: `/files/` lists and takes forms, and `/files/NAME` is read, stored and
//! deleted.

mod form;
mod multipart;
mod origin;

use crate::limits::FORM_EXTRA_BYTES;
use crate::services::Services;
use crate::site::Place;
use crate::store::{Child, Folder, LibraryError, Name, StoreError, Stored, Upload};

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

/// Where the library is.
const FOLDER: &str = "/files/";

const ALLOW_FOLDER: &str = "Allow: GET, HEAD, POST, OPTIONS\r\n";
const ALLOW: &str = "Allow: GET, HEAD, PUT, OPTIONS\r\n";
const ALLOW_WITH_DELETE: &str = "Allow: GET, HEAD, PUT, DELETE, OPTIONS\r\n";

const BAD_NAME: Refusal = Refusal::bad("The name cannot be that of a file here");

/// Where a body goes that is stored.
#[derive(Debug)]
pub enum Sink {
    /// Into one file.
    File(Upload),
    /// Into those of a form.
    Form(Box<Form>),
}

/// The part of a path behind `/files`, decoded, if that is where it leads and there is a library.
pub fn within(request: &Request<'_>, cx: &Services) -> Option<Vec<u8>> {
    let Target::Path { path, .. } = request.target else { return None };
    if cx.files.is_none() || !path.starts_with(b"/files") {
        return None;
    }
    let decoded = target::decode(path).ok()?;
    let inside = decoded.strip_prefix(b"/files")?;
    matches!(inside, [] | [b'/', ..]).then(|| inside.to_vec())
}

/// Answers what is asked of `path`, which is what stands behind `/files`.
pub fn answer(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<Outcome, Refusal> {
    let query = if let Target::Path { query, .. } = request.target { query } else { None };
    match request.method {
        Method::Get | Method::Head if path.is_empty() => {
            Ok(Outcome::Answer(routes::redirect(FOLDER.as_bytes(), query)))
        }
        Method::Get | Method::Head if path == b"/" => list(query, request, cx).map(Outcome::Answer),
        Method::Get | Method::Head => get(path, query, request, cx),
        Method::Options => Ok(Outcome::Answer(Answer::empty(Status::NoContent, allow(path, cx)))),
        // What could be carried out was begun before its body came.
        Method::Put | Method::Post => Err(match begin(path, request, cx) {
            Err(refusal) => refusal,
            Ok(_) => Refusal::new(Status::ServiceUnavailable, "It cannot be stored just now"),
        }),
        Method::Delete if is_deletable(cx) && path.len() > 1 => {
            delete(path, request, cx).map(Outcome::Answer)
        }
        _ => Err(Refusal::not_allowed(allow(path, cx))),
    }
}

fn is_deletable(cx: &Services) -> bool {
    cx.files.as_ref().is_some_and(|files| files.allow_delete) && cx.library.upload_max().is_ok()
}

fn allow(path: &[u8], cx: &Services) -> &'static str {
    match path {
        [] | b"/" => ALLOW_FOLDER,
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
    listing::answer_with(Box::new(FilesOf(folder)), FOLDER.as_bytes(), query, request, &offer)
}

/// The files among a folder's entries whose names the library takes.
struct FilesOf(Box<dyn Folder>);

impl Folder for FilesOf {
    fn next(&mut self, count: usize) -> Result<Vec<Child>, StoreError> {
        let mut files = Vec::new();
        while files.len() < count {
            let wanted = count - files.len();
            let children = self.0.next(wanted)?;
            let last = children.len() < wanted;
            files.extend(
                children
                    .into_iter()
                    .filter(|child| child.length.is_some() && Name::parse(&child.name).is_some()),
            );
            if last {
                break;
            }
        }
        Ok(files)
    }
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
        Outcome::Answer(answer) if query == Some(b"download") => {
            Outcome::Answer(answer.with("Content-Disposition: attachment\r\n"))
        }
        outcome => outcome,
    })
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
    conditions(path, request, cx)?;
    let upload = cx.library.create(&name, request.framing.length()).map_err(refusal)?;
    Ok(if request.wishes.has(Wish::IfNoneMatch) { upload.only_if_new() } else { upload })
}

fn begin_form(request: &Request<'_>, cx: &mut Services) -> Result<Form, Refusal> {
    may_write(request, cx)?;
    let kind = request.wishes.get(Wish::ContentType).unwrap_or_default();
    if !kind.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM)) {
        let why = "Files come here as multipart/form-data, or one by one with PUT";
        return Err(Refusal::new(Status::UnsupportedMediaType, why));
    }
    if Conditions::of(&request.wishes).evaluate_unvalidated() == Verdict::Failed {
        return Err(errors::FAILED);
    }
    let most = cx.library.upload_max().map_err(refusal)?.saturating_add(FORM_EXTRA_BYTES);
    if request.framing.length().is_some_and(|length| length > most) {
        return Err(refusal(LibraryError::TooLarge));
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
        }
    }

    /// Stores what `request` has brought, and says what has become of it.
    pub fn end(self, request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
        match self {
            Sink::File(upload) => end_file(upload, request, cx),
            Sink::Form(form) => form.answer(&request.wishes),
        }
    }
}

/// Stores a file. The request's conditions must hold still.
fn end_file(upload: Upload, request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
    conditions(&path_of(upload.name()), request, cx)?;
    let replaces = cx.library.stat(upload.name()).is_ok();
    store(upload, cx)?;
    Ok(match replaces {
        true => Answer::empty(Status::NoContent, ""),
        false => Answer::empty(Status::Created, "Content-Length: 0\r\n"),
    })
}

fn store(upload: Upload, cx: &mut Services) -> Result<Stored, Refusal> {
    let path = path_of(upload.name());
    let stored = upload.commit().map_err(refusal)?;
    if let Some(files) = &mut cx.files {
        files.site.forget(&path);
    }
    Ok(stored)
}

fn path_of(name: &Name) -> Vec<u8> {
    [b"/", name.as_str().as_bytes()].concat()
}

fn delete(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
    let name = name(path).ok_or(NOT_FOUND)?;
    may_write(request, cx)?;
    conditions(path, request, cx)?;
    cx.library.remove(&name).map_err(refusal)?;
    if let Some(files) = &mut cx.files {
        files.site.forget(path);
    }
    Ok(Answer::empty(Status::NoContent, ""))
}

/// Evaluates the preconditions of a write (RFC 9110 section 13.1).
fn conditions(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<(), Refusal> {
    let conditions = Conditions::of(&request.wishes);
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
        LibraryError::Failed(error) => {
            log::error!("the library failed: {error}");
            Refusal::new(Status::InternalServerError, "The disk failed")
        }
    }
}
