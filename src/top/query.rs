//! Which connections the table shows, in which order: the query of `/loop.json`.

use std::fmt::Write;

use evserve::config::ORDERS;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The bytes that a value of a query has encoded: those that RFC 3986 reserves, except the colon of addresses.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A query of `/loop.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableQuery {
    /// One of [`ORDERS`].
    pub(super) sort: &'static str,
    pub(super) is_ascending: bool,
    /// Only peers whose address contains this text; all if it is empty.
    pub(super) peer: String,
    /// Only this connection.
    pub(super) id: Option<u64>,
    /// The most connections to list; `None` lists all.
    pub(super) limit: Option<usize>,
}

impl TableQuery {
    /// Returns the query that lists `limit` connections in an order of [`ORDERS`], the first of which is the default.
    pub(super) fn new(sort: Option<&str>, limit: Option<usize>) -> TableQuery {
        let sort = ORDERS.into_iter().find(|order| Some(*order) == sort).unwrap_or(ORDERS[0]);
        TableQuery { sort, is_ascending: false, peer: String::new(), id: None, limit }
    }

    /// Selects the order that is `steps` after this one in [`ORDERS`].
    pub(super) fn cycle(&mut self, steps: usize) {
        let at = ORDERS.iter().position(|order| *order == self.sort).unwrap_or_default();
        self.sort = ORDERS[(at + steps) % ORDERS.len()];
    }

    /// Returns the target of the request.
    pub(super) fn target(&self) -> String {
        let order = if self.is_ascending { "asc" } else { "desc" };
        let mut target = format!("/loop.json?sort={}&order={order}", self.sort);
        if let Some(id) = self.id {
            let _ = write!(target, "&id={id}");
        }
        if let Some(limit) = self.limit {
            let _ = write!(target, "&limit={limit}");
        }
        if !self.peer.is_empty() {
            let _ = write!(target, "&peer={}", utf8_percent_encode(&self.peer, VALUE));
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_what_is_selected() {
        let mut query = TableQuery::new(None, Some(20));
        assert_eq!(query.target(), "/loop.json?sort=out&order=desc&limit=20");
        query = TableQuery { is_ascending: true, peer: "[::1] &\u{e4}".into(), id: Some(7), ..query };
        query.limit = None;
        assert_eq!(query.target(), "/loop.json?sort=out&order=asc&id=7&peer=%5B::1%5D%20%26%C3%A4");
    }

    #[test]
    fn orders_follow_each_other_in_a_circle() {
        let mut query = TableQuery::new(Some("id"), None);
        query.cycle(1);
        assert_eq!(query.sort, "out");
        query.cycle(ORDERS.len() - 1);
        assert_eq!(query.sort, "id");
        assert_eq!(TableQuery::new(Some("x"), None).sort, "out");
    }
}
