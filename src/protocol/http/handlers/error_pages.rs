//! Error responses: JSON, the site's own error page, or a short built-in page.

use std::rc::Rc;

use crate::clock::Clock;
use crate::protocol::http::semantics::error::NOT_FOUND;
use crate::protocol::http::semantics::negotiation::preferred_media_type;
use crate::protocol::http::semantics::{
    Body, Field, HeaderName, Headers, HttpError, Response, Status, field,
};
use crate::site::{FieldSet, Site, types};
use crate::store::StoreError;

/// Returns the response to an error in the format that the client prefers.
pub(crate) fn error_response(
    error: HttpError,
    headers: &Headers<'_>,
    site: &mut Site,
    clock: &Clock,
) -> Response {
    let HttpError { status, .. } = error;
    let vary = match status {
        Status::NotAcceptable | Status::PreconditionFailed | Status::RangeNotSatisfiable => {
            "Accept, Accept-Encoding"
        }
        Status::NotFound if site.rules.spa => "Accept, Sec-Fetch-Mode",
        _ => "Accept",
    };
    let mut fields = vec![field("Vary", vary)];
    fields.extend(error.field());
    let accept = headers.get(HeaderName::Accept);
    if preferred_media_type(accept.as_deref(), &["text/html", types::JSON]) == Some(types::JSON) {
        return json(error, fields);
    }
    match status.page().and_then(|name| site.error_page(name, clock)) {
        Some(page) => Response {
            status,
            metadata: Some((Rc::clone(&page.note), FieldSet::All)),
            fields,
            body: Body::whole(&page),
        },
        None => short_page(error, fields),
    }
}

/// Returns a JSON object with the member names of RFC 9457 (Problem Details).
fn json(error: HttpError, fields: Vec<Field>) -> Response {
    let (code, title) = error.status.text().split_at(3);
    let (title, detail) = (title.trim_start(), error.detail);
    let text = format!("{{\"status\":{code},\"title\":\"{title}\",\"detail\":\"{detail}\"}}\n");
    Response::text(error.status, types::JSON, fields, text)
}

fn short_page(error: HttpError, fields: Vec<Field>) -> Response {
    let (title, detail) = (error.status.text(), error.detail);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
         <h1>{title}</h1>\n<p>{detail}.</p></html>\n"
    );
    Response::page(error.status, fields, page)
}

/// Returns the HTTP error for an error of the store.
pub(super) fn store_error(error: StoreError) -> HttpError {
    match error {
        StoreError::NotFound => NOT_FOUND,
        StoreError::Forbidden => {
            HttpError::new(Status::Forbidden, "The server has no permission to read this file")
        }
        StoreError::Busy => {
            HttpError::new(Status::ServiceUnavailable, "The file cannot be opened at the moment")
        }
        StoreError::Failed(error) => {
            log::error!("cannot read a file of the site: {error}");
            HttpError::new(Status::InternalServerError, "The file cannot be read")
        }
    }
}
