//! Answers to what is not carried out: in JSON for programs, with the site's page, or a short one.

use crate::services::Services;
use crate::site::types;
use crate::store::StoreError;

use super::answer::{Answer, Body, Fields};
use super::conditions::{Conditions, Verdict};
use super::preferences::best_kind;
use super::status::{Refusal, Status};
use super::wishes::{Wish, Wishes};

/// A precondition that does not hold.
pub const FAILED: Refusal = Refusal::new(Status::PreconditionFailed, "It is not what the request expects");

/// What stands in the place of an answer that is made anew each time, and so has no validators, if a
/// condition has it so. `fields` are those that a 304 repeats.
pub fn precluded(wishes: &Wishes<'_>, fields: &str) -> Result<Option<Answer>, Refusal> {
    match Conditions::of(wishes).evaluate_unvalidated() {
        Verdict::Proceed => Ok(None),
        Verdict::NotModified => Ok(Some(Answer::not_modified(Fields::Made(fields.into())))),
        Verdict::Failed => Err(FAILED),
    }
}

/// Nothing at that address.
pub const NOT_FOUND: Refusal = Refusal::new(Status::NotFound, "There is nothing at this address");

/// Answers with a refusal, in the form that the client likes best.
pub fn answer(refusal: Refusal, wishes: &Wishes<'_>, cx: &mut Services) -> Answer {
    let vary = match refusal.status {
        Status::NotAcceptable | Status::PreconditionFailed | Status::RangeNotSatisfiable => {
            "Vary: Accept, Accept-Encoding\r\n"
        }
        Status::NotFound if cx.site.rules.spa => "Vary: Accept, Sec-Fetch-Mode\r\n",
        _ => "Vary: Accept\r\n",
    };
    if best_kind(wishes.get(Wish::Accept).as_deref(), &["text/html", types::JSON]) == Some(types::JSON) {
        return json(refusal, vary);
    }
    let page = refusal.status.page().and_then(|name| cx.site.error_page(name, &cx.clock));
    let Some(page) = page else { return Answer::refusal(refusal, vary) };
    let more = [vary, &refusal.fields()].concat();
    let fields = Fields::Made([&page.fields(), more.as_bytes()].concat());
    Answer { status: refusal.status, fields, body: Body::Content(page.content, 0..page.length) }
}

/// The names are those of RFC 9457.
fn json(refusal: Refusal, vary: &str) -> Answer {
    let (code, title) = refusal.status.text().split_at(3);
    let text = format!(
        "{{\"status\":{code},\"title\":\"{}\",\"detail\":\"{}\"}}\n",
        title.trim_start(),
        refusal.why
    );
    Answer::text(refusal.status, types::JSON, &format!("{vary}{}", refusal.fields()), text)
}

/// What an error of the store means to a client.
pub fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::NotFound => NOT_FOUND,
        StoreError::Forbidden => Refusal::new(Status::Forbidden, "The server may not read this file"),
        StoreError::Busy => Refusal::new(Status::ServiceUnavailable, "The file cannot be opened just now"),
        StoreError::Failed(error) => {
            log::error!("cannot read a file of the site: {error}");
            Refusal::new(Status::InternalServerError, "The file cannot be read")
        }
    }
}
