//! The format of a listing.

use crate::protocol::http::semantics::negotiation::{PLAIN, preferred_media_type};
use crate::protocol::http::semantics::target::query_has;
use crate::protocol::http::semantics::{HeaderName, Headers};
use crate::site::types;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListingFormat {
    Html,
    Json,
    Text,
}

/// The media type of a page as in Accept, without parameters.
const HTML: &str = "text/html";

impl ListingFormat {
    /// Selects the format: text if the query has `text`, else the one that Accept prefers. If it has no preference,
    /// curl gets text, for a person at a terminal. Other programs get a page, because wget, lftp, rclone and pip
    /// read its links.
    pub(super) fn of(query: Option<&[u8]>, headers: &Headers<'_>) -> ListingFormat {
        if query_has(query, b"text") {
            return ListingFormat::Text;
        }
        let is_curl = headers.user_agent().is_some_and(|program| program.starts_with(b"curl/"));
        let kinds = if is_curl { [PLAIN, HTML, types::JSON] } else { [HTML, types::JSON, PLAIN] };
        let preferred = preferred_media_type(headers.get(HeaderName::Accept).as_deref(), &kinds);
        match preferred.unwrap_or(kinds[0]) {
            types::JSON => ListingFormat::Json,
            PLAIN => ListingFormat::Text,
            _ => ListingFormat::Html,
        }
    }
}
