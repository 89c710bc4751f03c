//! The reply to LIST: the library is read, then written, in slices.

use crate::clock::rfc3339;
use crate::limits::{LISTED_ITEMS_MAX, LISTING_SLICE_ENTRIES};
use crate::outbox::Outbox;
use crate::store::{Item, Items, Library};

use super::reply::{Refusal, grant, refusal, say};
use super::words::code;

/// A listing that is being made.
#[derive(Debug)]
pub enum Listing {
    /// So much is known of the library. The reply says first how many files there are.
    Reading(Items, Vec<Item>),
    /// Lines are still to be written.
    Writing(std::vec::IntoIter<Item>),
}

impl Listing {
    /// Begins one.
    pub fn begin(library: &Library) -> Result<Listing, Refusal> {
        Ok(Listing::Reading(library.list().map_err(refusal)?, Vec::new()))
    }

    /// Does a slice. Returns what is left to do.
    pub fn advance(self, out: &mut Outbox) -> Result<Option<Listing>, Refusal> {
        match self {
            Listing::Reading(items, found) => read_slice(items, found, out).map(Some),
            Listing::Writing(items) => Ok(write_slice(items, out)),
        }
    }
}

fn read_slice(mut items: Items, mut found: Vec<Item>, out: &mut Outbox) -> Result<Listing, Refusal> {
    let slice = items.next(LISTING_SLICE_ENTRIES).map_err(refusal)?;
    let last = slice.len() < LISTING_SLICE_ENTRIES;
    found.extend(slice);
    if found.len() > LISTED_ITEMS_MAX {
        return Err((code::TOO_LARGE, format!("there are more than {LISTED_ITEMS_MAX} files")));
    }
    if !last {
        return Ok(Listing::Reading(items, found));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    grant(&format!("{}", found.len()), out);
    Ok(Listing::Writing(found.into_iter()))
}

fn write_slice(mut items: std::vec::IntoIter<Item>, out: &mut Outbox) -> Option<Listing> {
    for item in items.by_ref().take(LISTING_SLICE_ENTRIES) {
        say(&format!("{} {} {}", item.length, rfc3339(item.modified), item.name), out);
    }
    (items.len() > 0).then_some(Listing::Writing(items))
}
