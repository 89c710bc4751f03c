//! What a request is answered with: method and target decide.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use crate::services::Services;
use crate::site::{Place, types};
use crate::slice::Slice;
use crate::store::StoreError;

use super::answer::Answer;
use super::errors::{self, refusal};
use super::files;
use super::library;
use super::listing;
use super::method::Method;
use super::preferences::is_navigation;
use super::request::Request;
use super::session;
use super::status::{ALLOW, Refusal, Status};
use super::target::{self, Target};
use super::wishes::Wish;

/// What comes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// Its answer.
    Answer(Answer),
    /// A file's whole answer, as it is sent, and how many bytes of it are the content.
    Message(Slice, u64),
    /// Not yet: it has to be asked again in the next turn.
    Later,
}

/// Answers a request. `goes_on` says that the connection does, and that nothing has to be said of it.
pub fn answer(request: &Request<'_>, goes_on: bool, cx: &mut Services) -> Outcome {
    let outcome = remembered(request, goes_on, cx).unwrap_or_else(|| route(request, cx));
    outcome.unwrap_or_else(|refusal| Outcome::Answer(errors::answer(refusal, &request.wishes, cx)))
}

/// Answers what most load is made of: a file that is remembered, of which no other coding is asked
/// for.
fn remembered(request: &Request<'_>, goes_on: bool, cx: &mut Services) -> Option<Result<Outcome, Refusal>> {
    match (request.method, request.target) {
        (Method::Get | Method::Head, Target::Path { path, is_plain: true, .. })
            if !request.wishes.has(Wish::AcceptEncoding) =>
        {
            let date_at = cx.site.rules.date_at();
            let mut file = cx.site.remembered(path, &cx.clock)?;
            if goes_on
                && request.method == Method::Get
                && request.wishes.ask_for_all()
                && let Some((message, length)) = file.message(date_at, cx.clock.http_date())
            {
                return Some(Ok(Outcome::Message(message, length)));
            }
            Some(files::send(&file.cached(), request, &cx.clock).map(Outcome::Answer))
        }
        _ => None,
    }
}

fn route(request: &Request<'_>, cx: &mut Services) -> Result<Outcome, Refusal> {
    if let Some(path) = library::within(request, cx) {
        return library::answer(&path, request, cx);
    }
    let (path, query) = match request.target {
        Target::Path { path, query, .. } => (target::decode(path)?, query),
        Target::Server | Target::Authority => (Cow::Borrowed(&b""[..]), None),
    };
    match request.method {
        Method::Get | Method::Head => get(&path, query, request, cx),
        Method::Options => Ok(Outcome::Answer(options(cx))),
        _ => Err(Refusal::not_allowed(ALLOW)),
    }
}

fn get(
    path: &[u8],
    query: Option<&[u8]>,
    request: &Request<'_>,
    cx: &mut Services,
) -> Result<Outcome, Refusal> {
    match cx.site.find(path, &cx.clock) {
        Ok(Place::File(file)) => files::answer(path, file, request, (&mut cx.site, &cx.clock)),
        Ok(Place::Folder) => listing::answer(path, query, request, cx).map(Outcome::Answer),
        Ok(Place::FolderWithoutSlash) => Ok(Outcome::Answer(redirect(path, query))),
        Err(StoreError::NotFound) if path == b"/time" => time(request, cx).map(Outcome::Answer),
        Err(StoreError::NotFound) if path == b"/session" => {
            session::answer(query, request, cx).map(Outcome::Answer)
        }
        Err(StoreError::NotFound) if cx.site.rules.spa && is_navigation(&request.wishes) => {
            front_page(request, cx)
        }
        Err(error) => Err(refusal(error)),
    }
}

/// A path that the front page's script knows what to do with.
fn front_page(request: &Request<'_>, cx: &mut Services) -> Result<Outcome, Refusal> {
    match cx.site.find(b"/", &cx.clock).map_err(refusal)? {
        Place::File(file) => files::answer(b"/", file, request, (&mut cx.site, &cx.clock)),
        _ => Err(errors::NOT_FOUND),
    }
}

/// RFC 9110 section 9.3.7, and what a browser asks before it sends a request across origins (the
/// Fetch Standard's CORS-preflight).
fn options(cx: &Services) -> Answer {
    let answer = Answer::empty(Status::NoContent, ALLOW);
    if !cx.site.rules.cors {
        return answer;
    }
    answer.with(
        "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\nAccess-Control-Allow-Headers: *\r\n\
         Access-Control-Max-Age: 86400\r\n",
    )
}

/// The documents' first data URL: the time of day, unless the site has a file of that name.
fn time(request: &Request<'_>, cx: &Services) -> Result<Answer, Refusal> {
    const CACHING: &str = "Cache-Control: no-store\r\n";
    match errors::precluded(&request.wishes, CACHING)? {
        Some(answer) => Ok(answer),
        None => Ok(Answer::text(Status::Ok, types::TEXT, CACHING, cx.clock.ctime())),
    }
}

/// To the same address with a slash, so that the folder's relative links lead into it. The path is
/// put together anew: doubled slashes, which a browser would take for another host, are gone.
pub fn redirect(path: &[u8], query: Option<&[u8]>) -> Answer {
    let mut location = String::from("/");
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        location.extend(percent_encode(name, SEGMENT));
        location.push('/');
    }
    if let Some(query) = query {
        location.push('?');
        location.extend(percent_encode(query, QUERY));
    }
    let more = format!("Location: {location}\r\n");
    location.push('\n');
    Answer::text(Status::PermanentRedirect, types::TEXT, &more, location)
}

/// What is not `pchar` (RFC 3986 section 3.3).
pub const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What a query, which comes encoded, may not contain all the same: the query percent-encode set of
/// the WHATWG's URL Standard.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::answer::Fields;

    #[test]
    fn redirects_stay_on_this_host_and_are_encoded() {
        let location = |path: &str, query: Option<&str>| {
            let answer = redirect(path.as_bytes(), query.map(str::as_bytes));
            let Fields::Made(fields) = answer.fields else { panic!("{answer:?}") };
            let fields = String::from_utf8(fields).expect("ASCII");
            fields.lines().find(|line| line.starts_with("Location")).expect("a line").to_owned()
        };
        assert_eq!(location("/a", None), "Location: /a/");
        assert_eq!(location("//evil.example", None), "Location: /evil.example/");
        assert_eq!(location("/a b/\r\nX: y", Some("q=%20\"x")), "Location: /a%20b/%0D%0AX:%20y/?q=%20%22x");
        assert_eq!(location("/\\evil", None), "Location: /%5Cevil/");
        assert_eq!(location("/é%", None), "Location: /%C3%A9%25/");
    }
}
