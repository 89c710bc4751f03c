//! The order and the page of a listing, as in the query `?sort=size&order=desc&page=2`.

use std::cmp::Ordering;

use crate::protocol::http::semantics::target::query_value;
use crate::store::DirEntry;

/// The order of the entries in a listing. Folders always come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub by: By,
    pub descending: bool,
}

/// A sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The name, without regard to case, and with numbers by value.
    Name,
    /// The size in bytes.
    Size,
    /// The time of the last change.
    Time,
}

impl By {
    pub(super) const ALL: [By; 3] = [By::Name, By::Size, By::Time];

    /// Returns the name of the key in a query.
    pub(super) fn name(self) -> &'static str {
        match self {
            By::Name => "name",
            By::Size => "size",
            By::Time => "time",
        }
    }
}

impl Order {
    /// Parses a query. The default, also for unknown values, is ascending names.
    pub(super) fn parse(query: Option<&[u8]>) -> Order {
        let sort = query_value(query, b"sort");
        let by = By::ALL.into_iter().find(|by| sort == Some(by.name().as_bytes())).unwrap_or(By::Name);
        Order { by, descending: query_value(query, b"order") == Some(b"desc") }
    }

    /// Returns the query of a page of the listing in this order. The default order is left out.
    pub(super) fn page_query(self, page: usize) -> String {
        let order = if self.descending { "desc" } else { "asc" };
        match self {
            Order { by: By::Name, descending: false } => format!("?page={page}"),
            Order { by, .. } => format!("?sort={}&order={order}&page={page}", by.name()),
        }
    }

    pub(super) fn sort(self, children: &mut [DirEntry]) {
        children.sort_by(|one, other| {
            let by_name = || natural(&one.name, &other.name);
            let ordering = match self.by {
                By::Name => by_name(),
                By::Size => one.length.cmp(&other.length).then_with(by_name),
                By::Time => one.modified.cmp(&other.modified).then_with(by_name),
            };
            let folders_first = one.length.is_some().cmp(&other.length.is_some());
            folders_first.then(if self.descending { ordering.reverse() } else { ordering })
        });
    }
}

/// Returns the page that a query requests, counted from 1.
pub(super) fn page(query: Option<&[u8]>) -> Option<usize> {
    let digits = query_value(query, b"page")?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|page| *page > 0)
}

/// Compares names in natural order: `file2` comes before `File10`. Names that differ only in case or leading
/// zeros are ordered by their bytes.
fn natural(one: &[u8], other: &[u8]) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let ordering = match (left, right) {
            ([], []) => return one.cmp(other),
            ([], _) => return Ordering::Less,
            (_, []) => return Ordering::Greater,
            ([b'0'..=b'9', ..], [b'0'..=b'9', ..]) => {
                let (number, other_number) = (take_number(&mut left), take_number(&mut right));
                number.len().cmp(&other_number.len()).then_with(|| number.cmp(other_number))
            }
            ([first, rest @ ..], [other_first, other_rest @ ..]) => {
                (left, right) = (rest, other_rest);
                first.to_ascii_lowercase().cmp(&other_first.to_ascii_lowercase())
            }
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// Removes the digits at the start of `name`, and returns them without leading zeros.
fn take_number<'a>(name: &mut &'a [u8]) -> &'a [u8] {
    let end = name.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(name.len());
    let (digits, rest) = name.split_at(end);
    *name = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn queries_are_parsed_and_unknown_values_ignored() {
        let order = |query: &str| Order::parse(Some(query.as_bytes()));
        assert_eq!(order(""), Order { by: By::Name, descending: false });
        assert_eq!(order("sort=size&order=desc"), Order { by: By::Size, descending: true });
        assert_eq!(order("order=asc&sort=time"), Order { by: By::Time, descending: false });
        assert_eq!(order("sort=colour&order=up"), Order { by: By::Name, descending: false });
        for (query, expected) in [("page=3", Some(3)), ("page=0", None), ("page=-1", None), ("page=x", None)]
        {
            assert_eq!(page(Some(query.as_bytes())), expected, "{query}");
        }
        assert_eq!(page(None), None);
    }

    #[test]
    fn the_query_of_a_page_leads_to_the_same_order() {
        for query in ["", "sort=size", "order=desc", "sort=time&order=desc"] {
            let order = Order::parse(Some(query.as_bytes()));
            let next = order.page_query(2);
            let query = next.strip_prefix('?').map(str::as_bytes);
            assert_eq!((Order::parse(query), page(query)), (order, Some(2)), "{next}");
        }
        assert_eq!(Order::parse(None).page_query(2), "?page=2");
    }

    #[test]
    fn folders_sort_first_and_numbers_sort_by_value() {
        let child = |name: &str, length: Option<u64>, age: u64| DirEntry {
            name: name.into(),
            length,
            modified: UNIX_EPOCH + Duration::from_secs(age),
        };
        let mut children = vec![
            child("file10", Some(5), 1),
            child("File2", Some(7), 2),
            child("zoo", None, 9),
            child("file02", Some(7), 3),
            child("alpha", None, 0),
        ];
        for (query, names) in [
            ("", "alpha zoo File2 file02 file10"),
            ("order=desc", "zoo alpha file10 file02 File2"),
            ("sort=size", "alpha zoo file10 File2 file02"),
            ("sort=time&order=desc", "zoo alpha file02 File2 file10"),
        ] {
            Order::parse(Some(query.as_bytes())).sort(&mut children);
            let found: Vec<_> = children.iter().map(|child| String::from_utf8_lossy(&child.name)).collect();
            assert_eq!(found.join(" "), names, "{query}");
        }
    }

    #[test]
    fn natural_order_is_a_total_order() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut name = || -> Vec<u8> {
            (0..random.usize(..5)).map(|_| *random.choice(b"aA01-").unwrap_or(&0)).collect()
        };
        for _ in 0..20_000 {
            let (a, b, c) = (name(), name(), name());
            assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            if natural(&a, &b).is_le() && natural(&b, &c).is_le() {
                assert!(natural(&a, &c).is_le(), "{a:?} {b:?} {c:?}");
            }
        }
    }
}
