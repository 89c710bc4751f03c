//! The library over HTTP: `/files/` lists, and `/files/NAME` is read, stored and deleted.

use std::net::IpAddr;

use crate::services::Services;
use crate::site::Place;
use crate::store::{Child, Folder, LibraryError, Name, StoreError, Upload};

use super::answer::Answer;
use super::conditions::{Conditions, Validators, Verdict};
use super::errors::{self, NOT_FOUND};
use super::files;
use super::listing;
use super::method::Method;
use super::request::Request;
use super::routes::{self, Outcome};
use super::status::{Refusal, Status};
use super::target::{self, Target};
use super::wishes::Wish;

/// Where the library is.
const FOLDER: &[u8] = b"/files/";

const ALLOW: &str = "Allow: GET, HEAD, PUT, OPTIONS\r\n";
const ALLOW_WITH_DELETE: &str = "Allow: GET, HEAD, PUT, DELETE, OPTIONS\r\n";

/// The part of a path behind `/files`, decoded, if that is where it leads and there is a library.
pub fn within(request: &Request<'_>, cx: &Services) -> Option<Vec<u8>> {
    let Target::Path { path, .. } = request.target else { return None };
    if cx.files.is_none() || !path.starts_with(b"/files") {
        return None;
    }
    let decoded = target::decode(path).ok()?;
    let inside = decoded.starts_with(FOLDER) || *decoded == FOLDER[..FOLDER.len() - 1];
    inside.then(|| decoded[FOLDER.len() - 1..].to_vec())
}

/// Answers what is asked of `path`, which is what stands behind `/files`.
pub fn answer(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<Outcome, Refusal> {
    let query = if let Target::Path { query, .. } = request.target { query } else { None };
    match request.method {
        Method::Get | Method::Head if path.is_empty() => Ok(Outcome::Answer(routes::redirect(FOLDER, query))),
        Method::Get | Method::Head if path == b"/" => list(query, request, cx).map(Outcome::Answer),
        Method::Get | Method::Head => get(path, query, request, cx),
        Method::Options => Ok(Outcome::Answer(Answer::empty(Status::NoContent, allow(cx)))),
        // What could be carried out was begun before its body came.
        Method::Put => Err(match begin(path, request, cx) {
            Err(refusal) => refusal,
            Ok(_) => Refusal::new(Status::ServiceUnavailable, "It cannot be stored just now"),
        }),
        Method::Delete if is_deletable(cx) => delete(path, request, cx).map(Outcome::Answer),
        _ => Err(Refusal::not_allowed(allow(cx))),
    }
}

fn is_deletable(cx: &Services) -> bool {
    cx.files.as_ref().is_some_and(|files| files.allow_delete)
}

fn allow(cx: &Services) -> &'static str {
    if is_deletable(cx) { ALLOW_WITH_DELETE } else { ALLOW }
}

/// Lists the library: for curl in lines, unless another form is asked for.
fn list(query: Option<&[u8]>, request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
    let Some(files) = &cx.files else { return Err(NOT_FOUND) };
    let folder = files.site.list(b"/").map_err(errors::refusal)?;
    listing::answer_with(Box::new(FilesOf(folder)), FOLDER, query, request, listing::FILES)
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

/// Begins to store what a PUT brings, if it may.
pub fn begin(path: &[u8], request: &Request<'_>, cx: &mut Services) -> Result<Upload, Refusal> {
    let name = name(path).ok_or(Refusal::bad("The name cannot be that of a file here"))?;
    may_write(request, cx)?;
    if request.wishes.has(Wish::ContentRange) {
        // RFC 9110 section 14.5.
        return Err(Refusal::bad("A PUT stores a whole file, not a part of one"));
    }
    conditions(path, request, cx)?;
    let upload = cx.library.create(&name, request.framing.length()).map_err(refusal)?;
    Ok(if request.wishes.has(Wish::IfNoneMatch) { upload.only_if_new() } else { upload })
}

/// Stores what `request` has brought, and says whether it is new. Its conditions must hold still.
pub fn commit(upload: Upload, request: &Request<'_>, cx: &mut Services) -> Result<Answer, Refusal> {
    let path = [b"/", upload.name().as_str().as_bytes()].concat();
    conditions(&path, request, cx)?;
    let replaces = cx.library.stat(upload.name()).is_ok();
    upload.commit().map_err(refusal)?;
    if let Some(files) = &mut cx.files {
        files.site.forget(&path);
    }
    Ok(match replaces {
        true => Answer::empty(Status::NoContent, ""),
        false => Answer::empty(Status::Created, "Content-Length: 0\r\n"),
    })
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

/// Refuses what a page of another origin has made a browser send. Programs bear neither field.
fn may_write(request: &Request<'_>, cx: &Services) -> Result<(), Refusal> {
    let site = request.wishes.get(Wish::SecFetchSite);
    let origin = request.wishes.get(Wish::Origin);
    if site.is_none() && origin.is_none() {
        return Ok(());
    }
    let host = request.wishes.host().unwrap_or_default();
    let same = match (site.as_deref(), origin.as_deref()) {
        (Some(site), _) => site == b"same-origin" || site == b"none",
        (None, Some(origin)) => {
            origin.strip_prefix(b"http://").or(origin.strip_prefix(b"https://")) == Some(&*host)
        }
        (None, None) => true,
    };
    // A name that leads here may be anybody's (DNS rebinding).
    if same && is_own(&host, cx) {
        return Ok(());
    }
    Err(Refusal::new(Status::Forbidden, "Pages of other origins may not write here"))
}

/// Whether a Host is an address, localhost, or a name that was given.
fn is_own(host: &[u8], cx: &Services) -> bool {
    let host = String::from_utf8_lossy(host);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &*host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let given =
        cx.files.as_ref().is_some_and(|files| files.hosts.iter().any(|own| own.eq_ignore_ascii_case(name)));
    given || name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
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
