//! Folder listings, which are read, sorted and written in slices.

mod actions;
mod format;
mod order;
mod page;
mod writer;

use std::fmt;

use crate::limits::{LISTING_SLICE_ENTRIES, PAGE_ENTRIES, SORTED_ENTRIES_MAX};
use crate::protocol::http::semantics::preconditions::unvalidated_response;
use crate::protocol::http::semantics::{
    Body, BodySource, Field, HttpError, NextSlice, Request, Response, Status, field,
};
use crate::services::Context;
use crate::site::types;
use crate::store::{DirEntry, DirReader, StoreError};
pub(super) use actions::{Actions, UploadLimits};
use format::ListingFormat;
use order::Order;
use page::HtmlWriter;
use writer::{JsonWriter, ListingWriter, PageInfo, TextWriter};

/// A listing that is made while it is sent.
pub(super) struct Listing {
    folder: Box<dyn DirReader>,
    order: Order,
    /// The requested page, counted from 1; `None` is all entries.
    page: Option<usize>,
    /// The path of the folder, for the log, if a page was not requested and yet is all that is sent.
    paged_path: Option<Vec<u8>>,
    /// The query of the next page, once that is known.
    next: Option<String>,
    writer: Box<dyn ListingWriter>,
    state: State,
}

/// The state of a listing.
enum State {
    /// Reading all entries, in order to sort them.
    Reading(Vec<DirEntry>),
    /// Skipping to the requested page of a folder with too many entries to sort. Holds the entries that were
    /// read, and the number of entries to skip, counted from the first of these.
    Seeking(Vec<DirEntry>, usize),
    /// Writing the entries that were read.
    Writing(std::vec::IntoIter<DirEntry>, Remaining),
    Done,
}

/// Whether more entries follow those that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remaining {
    /// No more entries follow.
    End,
    /// More entries have to be read.
    Unread,
}

/// Lists `folder`, whose URL path is `path`.
pub(super) fn respond(
    folder: Box<dyn DirReader>,
    path: &[u8],
    query: Option<&[u8]>,
    request: &Request<'_>,
    actions: &Actions,
) -> Result<Response, HttpError> {
    let mut fields = vec![field("Vary", "Accept, User-Agent"), field("Cache-Control", "no-cache")];
    if let Some(response) = unvalidated_response(&request.headers, &fields)? {
        return Ok(response);
    }
    let order = Order::parse(query);
    let page = order::page(query);
    let (content_type, writer): (_, Box<dyn ListingWriter>) = match ListingFormat::of(query, &request.headers)
    {
        ListingFormat::Json => (types::JSON, Box::new(JsonWriter::default())),
        ListingFormat::Text => (types::TEXT, Box::new(TextWriter)),
        ListingFormat::Html => (types::HTML, Box::new(HtmlWriter::new(path, order, *actions))),
    };
    fields.insert(0, field("Content-Type", content_type));
    let mut listing = Listing {
        folder,
        order,
        page,
        paged_path: None,
        next: None,
        writer,
        state: State::Reading(Vec::new()),
    };
    if content_type == types::HTML && page.is_none() {
        listing.page = Some(1);
        listing.paged_path = Some(path.to_vec());
    }
    let body = Body::Stream(Box::new(listing));
    Ok(Response { status: Status::Ok, metadata: None, fields, body })
}

impl BodySource for Listing {
    fn advance(&mut self, out: &mut Vec<u8>, _: &mut Context<'_>) -> Result<NextSlice, StoreError> {
        let mut text = String::new();
        let more = self.advance_text(&mut text)?;
        out.extend_from_slice(text.as_bytes());
        Ok(if more { NextSlice::InNextTurn } else { NextSlice::None })
    }

    fn fields(&self) -> Vec<Field> {
        let next = self.next.iter().map(|query| field("Link", format!("<{query}>; rel=\"next\"")));
        next.collect()
    }
}

impl Listing {
    fn advance_text(&mut self, out: &mut String) -> Result<bool, StoreError> {
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::Reading(children) => self.read(children, out)?,
            State::Seeking(children, left) => self.seek(children, left, out)?,
            State::Writing(children, rest) => self.write(children, rest, out)?,
            State::Done => State::Done,
        };
        Ok(!matches!(self.state, State::Done))
    }

    fn read(&mut self, mut children: Vec<DirEntry>, out: &mut String) -> Result<State, StoreError> {
        let whole = self.read_slice(&mut children)?;
        let start = self.page.map_or(0, |page| (page - 1).saturating_mul(PAGE_ENTRIES));
        if whole {
            let total = children.len();
            self.order.sort(&mut children);
            children.drain(..start.min(total));
            return Ok(self.begin(children, Some(total), out));
        }
        if children.len() <= SORTED_ENTRIES_MAX {
            return Ok(State::Reading(children));
        }
        Ok(match self.page {
            Some(_) => State::Seeking(children, start),
            None => self.begin(children, None, out),
        })
    }

    fn seek(
        &mut self,
        mut children: Vec<DirEntry>,
        left: usize,
        out: &mut String,
    ) -> Result<State, StoreError> {
        let whole = children.len() <= left.saturating_add(PAGE_ENTRIES) && self.read_slice(&mut children)?;
        let passed = left.min(children.len());
        children.drain(..passed);
        if whole || children.len() > PAGE_ENTRIES {
            return Ok(self.begin(children, None, out));
        }
        Ok(State::Seeking(children, left - passed))
    }

    /// Starts to write `children`. `total` is the number of entries in the folder, if all of them were read.
    fn begin(&mut self, mut children: Vec<DirEntry>, total: Option<usize>, out: &mut String) -> State {
        let rest = if total.is_none() && self.page.is_none() { Remaining::Unread } else { Remaining::End };
        let more = self.page.is_some() && children.len() > PAGE_ENTRIES;
        if more {
            children.truncate(PAGE_ENTRIES);
        }
        let page = self.page.unwrap_or(1);
        self.next = more.then(|| self.order.page_query(page.saturating_add(1)));
        if let (Some(next), Some(path)) = (&self.next, &self.paged_path) {
            let path = path.escape_ascii();
            log::info!("the page of {path} shows {PAGE_ENTRIES} entries; {next} shows the next ones");
        }
        self.writer.begin(PageInfo { total, page, more }, out);
        State::Writing(children.into_iter(), rest)
    }

    fn write(
        &mut self,
        mut children: std::vec::IntoIter<DirEntry>,
        rest: Remaining,
        out: &mut String,
    ) -> Result<State, StoreError> {
        for child in children.by_ref().take(LISTING_SLICE_ENTRIES) {
            self.writer.entry(&child, out);
        }
        if children.len() > 0 {
            return Ok(State::Writing(children, rest));
        }
        if rest == Remaining::End {
            self.writer.end(out);
            return Ok(State::Done);
        }
        let mut next = Vec::new();
        let rest = if self.read_slice(&mut next)? { Remaining::End } else { Remaining::Unread };
        Ok(State::Writing(next.into_iter(), rest))
    }

    /// Reads the next slice. Returns whether it was the last.
    fn read_slice(&mut self, children: &mut Vec<DirEntry>) -> Result<bool, StoreError> {
        let read = self.folder.next(LISTING_SLICE_ENTRIES)?;
        let last = read.len() < LISTING_SLICE_ENTRIES;
        children.extend(read);
        Ok(last)
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listing")
    }
}
