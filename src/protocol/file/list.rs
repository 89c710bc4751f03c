//! The reply to LIST: the library is read and then written, a slice per turn.

use crate::clock::rfc3339;
use crate::limits::{LISTED_ITEMS_MAX, LISTING_SLICE_ENTRIES};
use crate::outbox::Outbox;
use crate::store::{Item, Items, Library};

use super::reply::{ErrorReply, library_error, ok, say};
use super::vocabulary::code;

/// A listing in progress.
#[derive(Debug)]
pub(super) enum ListReply {
    /// The files found so far. All files are found before the first line, which contains their number.
    Reading(Items, Vec<Item>),
    /// The files whose lines are still to be written.
    Writing(std::vec::IntoIter<Item>),
}

impl ListReply {
    pub(super) fn begin(library: &Library) -> Result<ListReply, ErrorReply> {
        Ok(ListReply::Reading(library.list().map_err(library_error)?, Vec::new()))
    }

    /// Reads or writes a slice. Returns the rest of the listing, or `None` at its end.
    pub(super) fn advance(self, out: &mut Outbox) -> Result<Option<ListReply>, ErrorReply> {
        match self {
            ListReply::Reading(items, found) => read_slice(items, found, out).map(Some),
            ListReply::Writing(items) => Ok(write_slice(items, out)),
        }
    }
}

fn read_slice(mut items: Items, mut found: Vec<Item>, out: &mut Outbox) -> Result<ListReply, ErrorReply> {
    let slice = items.next(LISTING_SLICE_ENTRIES).map_err(library_error)?;
    let last = slice.len() < LISTING_SLICE_ENTRIES;
    found.extend(slice);
    if found.len() > LISTED_ITEMS_MAX {
        return Err(ErrorReply::new(
            code::TOO_LARGE,
            format!("there are more than {LISTED_ITEMS_MAX} files"),
        ));
    }
    if !last {
        return Ok(ListReply::Reading(items, found));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    ok(&format!("{}", found.len()), out);
    Ok(ListReply::Writing(found.into_iter()))
}

fn write_slice(mut items: std::vec::IntoIter<Item>, out: &mut Outbox) -> Option<ListReply> {
    for item in items.by_ref().take(LISTING_SLICE_ENTRIES) {
        say(&format!("{} {} {}", item.length, rfc3339(item.modified), item.name), out);
    }
    (items.len() > 0).then_some(ListReply::Writing(items))
}
