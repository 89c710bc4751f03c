//! Listings of folders: read, sorted and written in slices.

mod order;
mod page;
mod writer;

use std::fmt;

use crate::limits::{LISTING_SLICE_ENTRIES, PAGE_ENTRIES, SORTED_ENTRIES_MAX};
use crate::services::Services;
use crate::site::types;
use crate::store::{Child, Folder, StoreError};

use super::answer::{Answer, Body, Fields};
use super::errors::{self, refusal};
use super::preferences::{PLAIN, best_kind};
use super::request::Request;
use super::status::{Refusal, Status};
use super::wishes::Wish;
pub use order::Order;
use page::Html;
use writer::{Json, Lines, Writer};

/// A listing that is being made.
pub struct Listing {
    folder: Box<dyn Folder>,
    order: Order,
    /// The page that is wanted; all entries without one.
    page: Option<usize>,
    writer: Box<dyn Writer>,
    stage: Stage,
}

/// How far it has come.
enum Stage {
    /// All entries are read, to be sorted.
    Reading(Vec<Child>),
    /// There are too many to be sorted. So many are still to be passed over, those that were read
    /// among them, until the page begins.
    Seeking(Vec<Child>, usize),
    /// What was read is written.
    Writing(std::vec::IntoIter<Child>, Rest),
    /// It is done.
    Done,
}

/// What comes behind the entries that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// The end.
    End,
    /// What is still to be read.
    Unread,
}

/// What a writer has to know before its first entry.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// How many entries there are, if that is known.
    total: Option<usize>,
    /// The page, counted from 1.
    page: usize,
    /// Whether another page follows.
    more: bool,
}

/// Answers with the entries of the folder at `path`, in the form that the client likes best.
pub fn answer(
    path: &[u8],
    query: Option<&[u8]>,
    request: &Request<'_>,
    cx: &mut Services,
) -> Result<Answer, Refusal> {
    answer_with(cx.site.list(path).map_err(refusal)?, path, query, request, &Offer::SITE)
}

/// Answers with the entries of `folder`, which is at `path`.
pub fn answer_with(
    folder: Box<dyn Folder>,
    path: &[u8],
    query: Option<&[u8]>,
    request: &Request<'_>,
    offer: &Offer,
) -> Result<Answer, Refusal> {
    if let Some(answer) = errors::precluded(&request.wishes, CACHING)? {
        return Ok(answer);
    }
    let order = Order::parse(query);
    let asked = order::page(query);
    let (kind, page, writer): (_, _, Box<dyn Writer>) =
        match best_kind(request.wishes.get(Wish::Accept).as_deref(), offer.kinds)
            .or(offer.kinds.first().copied())
        {
            Some(types::JSON) => (types::JSON, asked, Box::new(Json::default())),
            Some(PLAIN) => (types::TEXT, asked, Box::new(Lines)),
            _ => (types::HTML, Some(asked.unwrap_or(1)), Box::new(Html::new(path, order, *offer))),
        };
    let fields = Fields::Made(format!("Content-Type: {kind}\r\n{CACHING}").into());
    let stage = Stage::Reading(Vec::new());
    let listing = Box::new(Listing { folder, order, page, writer, stage });
    Ok(Answer { status: Status::Ok, fields, body: Body::Listing(listing) })
}

/// What a listing offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// The forms it comes in, of which the first is for who likes none best.
    pub kinds: &'static [&'static str],
    /// Whether a file can be saved instead of shown.
    pub download: bool,
    /// Files that can be brought.
    pub upload: Option<Upload>,
    /// Whether files can be deleted.
    pub delete: bool,
}

/// What can be brought.
#[derive(Clone, Copy, Debug)]
pub struct Upload {
    /// Bytes of a file.
    pub max: u64,
    /// Whether it may replace one of its name.
    pub overwrite: bool,
}

impl Offer {
    /// A site's.
    const SITE: Offer =
        Offer { kinds: &[HTML, types::JSON, PLAIN], download: false, upload: None, delete: false };
    /// That of a library nobody may write to. curl has it in lines.
    pub const LIBRARY: Offer = Offer { kinds: &[PLAIN, HTML, types::JSON], download: true, ..Offer::SITE };
}

const HTML: &str = "text/html";
const CACHING: &str = "Vary: Accept\r\nCache-Control: no-cache\r\n";

impl Listing {
    /// Does a slice, and appends what it has brought to `out`. Returns whether there is more.
    pub fn advance(&mut self, out: &mut String) -> Result<bool, StoreError> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Reading(children) => self.read(children, out)?,
            Stage::Seeking(children, left) => self.seek(children, left, out)?,
            Stage::Writing(children, rest) => self.write(children, rest, out)?,
            Stage::Done => Stage::Done,
        };
        Ok(!matches!(self.stage, Stage::Done))
    }

    fn read(&mut self, mut children: Vec<Child>, out: &mut String) -> Result<Stage, StoreError> {
        let whole = self.read_slice(&mut children)?;
        let start = self.page.map_or(0, |page| (page - 1).saturating_mul(PAGE_ENTRIES));
        if whole {
            let total = children.len();
            self.order.sort(&mut children);
            children.drain(..start.min(total));
            return Ok(self.begin(children, Some(total), out));
        }
        if children.len() <= SORTED_ENTRIES_MAX {
            return Ok(Stage::Reading(children));
        }
        Ok(match self.page {
            Some(_) => Stage::Seeking(children, start),
            None => self.begin(children, None, out),
        })
    }

    fn seek(&mut self, mut children: Vec<Child>, left: usize, out: &mut String) -> Result<Stage, StoreError> {
        let whole = children.len() <= left.saturating_add(PAGE_ENTRIES) && self.read_slice(&mut children)?;
        let passed = left.min(children.len());
        children.drain(..passed);
        if whole || children.len() > PAGE_ENTRIES {
            return Ok(self.begin(children, None, out));
        }
        Ok(Stage::Seeking(children, left - passed))
    }

    /// Begins to write `children`; `total` is how many there are, if they are all.
    fn begin(&mut self, mut children: Vec<Child>, total: Option<usize>, out: &mut String) -> Stage {
        let rest = if total.is_none() && self.page.is_none() { Rest::Unread } else { Rest::End };
        let more = self.page.is_some() && children.len() > PAGE_ENTRIES;
        if more {
            children.truncate(PAGE_ENTRIES);
        }
        self.writer.begin(Extent { total, page: self.page.unwrap_or(1), more }, out);
        Stage::Writing(children.into_iter(), rest)
    }

    fn write(
        &mut self,
        mut children: std::vec::IntoIter<Child>,
        rest: Rest,
        out: &mut String,
    ) -> Result<Stage, StoreError> {
        for child in children.by_ref().take(LISTING_SLICE_ENTRIES) {
            self.writer.entry(&child, out);
        }
        if children.len() > 0 {
            return Ok(Stage::Writing(children, rest));
        }
        if rest == Rest::End {
            self.writer.end(out);
            return Ok(Stage::Done);
        }
        let mut next = Vec::new();
        let rest = if self.read_slice(&mut next)? { Rest::End } else { Rest::Unread };
        Ok(Stage::Writing(next.into_iter(), rest))
    }

    /// Reads what comes next. Returns whether that was the last.
    fn read_slice(&mut self, children: &mut Vec<Child>) -> Result<bool, StoreError> {
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
