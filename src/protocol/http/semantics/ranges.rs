//! Range requests (RFC 9110 section 14).

use std::ops::Range;

use super::grammar::{number, trim};
use crate::limits::RANGES_MAX;

/// The part of a representation that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The complete representation.
    Whole,
    /// One part.
    Part(Range<u64>),
    /// Several disjoint parts, in the order in which they were requested.
    Parts(Vec<Range<u64>>),
    /// Nothing: no requested range begins within the representation.
    Unsatisfiable,
}

/// Applies the value of a Range field to a representation of `length` bytes. A Range that is malformed or has
/// an unknown unit is ignored (section 14.2). So is one with too many parts, or with parts that add up to the
/// complete representation.
pub(crate) fn select(value: &[u8], length: u64) -> Selection {
    let Some(set) = unit_bytes(value) else { return Selection::Whole };
    if memchr::memchr(b',', set).is_none() {
        return parse_spec(trim(set)).map_or(Selection::Whole, |spec| one(spec, length));
    }
    let elements = set.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty());
    let specs: Option<Vec<Spec>> = elements.map(parse_spec).collect();
    let specs = specs.unwrap_or_default();
    let ranges: Vec<Range<u64>> = specs.iter().filter_map(|spec| spec.resolve(length)).collect();
    match (specs.as_slice(), ranges.is_empty()) {
        ([], _) => Selection::Whole,
        (_, true) if specs.iter().any(|spec| one(*spec, length) == Selection::Whole) => Selection::Whole,
        (_, true) => Selection::Unsatisfiable,
        _ => several(coalesce(ranges), length),
    }
}

/// Applies a single range.
fn one(spec: Spec, length: u64) -> Selection {
    match spec.resolve(length) {
        Some(range) => Selection::Part(range),
        // A suffix of an empty file is satisfiable, but Content-Range cannot express it.
        None if matches!(spec, Spec::Last(1..)) => Selection::Whole,
        None => Selection::Unsatisfiable,
    }
}

fn several(ranges: Vec<Range<u64>>, length: u64) -> Selection {
    if let [range] = ranges.as_slice() {
        return Selection::Part(range.clone());
    }
    let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    if ranges.len() > RANGES_MAX || bytes >= length { Selection::Whole } else { Selection::Parts(ranges) }
}

/// One range of a Range field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// The first and the last position, both inclusive.
    Between(u64, u64),
    /// The first position of a range that extends to the end.
    From(u64),
    /// The number of bytes at the end.
    Last(u64),
}

impl Spec {
    /// Returns the part of `length` bytes that the range selects, unless it is empty.
    fn resolve(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Spec::Between(first, last) => first..last.saturating_add(1).min(length),
            Spec::From(first) => first..length,
            Spec::Last(count) => length.saturating_sub(count)..length,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Returns what follows `bytes=`, or `None` if the unit is another one.
fn unit_bytes(value: &[u8]) -> Option<&[u8]> {
    let equals = memchr::memchr(b'=', value)?;
    value[..equals].eq_ignore_ascii_case(b"bytes").then_some(&value[equals + 1..])
}

/// Parses one range (section 14.1.2). Returns `None` if it is malformed, which makes the whole set malformed.
fn parse_spec(spec: &[u8]) -> Option<Spec> {
    let dash = memchr::memchr(b'-', spec)?;
    match (&spec[..dash], &spec[dash + 1..]) {
        (b"", count) => Some(Spec::Last(position(count)?)),
        (first, b"") => Some(Spec::From(position(first)?)),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then_some(Spec::Between(first, last))
        }
    }
}

/// Parses a position. One that exceeds 64 bits lies beyond the end of every file, as the greatest number does.
fn position(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| number(digits).unwrap_or(u64::MAX))
}

/// Joins ranges that overlap or touch. The parts stay in the order in which their first ranges were requested
/// (section 15.3.7.2).
fn coalesce(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut ordered: Vec<(usize, Range<u64>)> = ranges.into_iter().enumerate().collect();
    ordered.sort_by_key(|(_, range)| range.start);
    let mut joined: Vec<(usize, Range<u64>)> = Vec::new();
    for (place, range) in ordered {
        match joined.last_mut() {
            Some((first, last)) if range.start <= last.end => {
                last.end = last.end.max(range.end);
                *first = place.min(*first);
            }
            _ => joined.push((place, range)),
        }
    }
    joined.sort_by_key(|(place, _)| *place);
    joined.into_iter().map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Selection::{Part, Parts, Unsatisfiable, Whole};

    #[test]
    fn ranges_follow_rfc_9110_section_14() {
        for (value, selection) in [
            ("bytes=0-499", Part(0..500)),
            ("bytes=500-999", Part(500..1000)),
            ("bytes=-500", Part(9500..10_000)),
            ("bytes=9500-", Part(9500..10_000)),
            ("bytes=0-", Part(0..10_000)),
            ("bytes=0-0,-1", Parts(vec![0..1, 9999..10_000])),
            ("bytes=-1,0-0", Parts(vec![9999..10_000, 0..1])),
            ("bytes= 0-999, 4500-5499, -1000", Parts(vec![0..1000, 4500..5500, 9000..10_000])),
            ("bytes=500-600,601-999", Part(500..1000)),
            ("bytes=500-700,601-999", Part(500..1000)),
            ("Bytes=0-0", Part(0..1)),
            ("bytes=0-18446744073709551615", Part(0..10_000)),
            ("bytes=0-99999999999999999999999", Part(0..10_000)),
            ("bytes=-99999999999999999999999", Part(0..10_000)),
            ("bytes=9999-10000", Part(9999..10_000)),
            // Unsatisfiable ranges are ignored if others are satisfiable (section 14.1.1).
            ("bytes=10000-,0-0", Part(0..1)),
            ("bytes=10000-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=-0,10000-20000", Unsatisfiable),
            // A malformed Range or an unknown unit is ignored (section 14.2).
            ("bytes=5-4", Whole),
            ("bytes=0-0,5-4", Whole),
            ("bytes=", Whole),
            ("bytes=,", Whole),
            ("bytes", Whole),
            ("bytes=a-b", Whole),
            ("bytes=0--1", Whole),
            ("bytes=--1", Whole),
            ("bytes=0 - 1", Whole),
            ("bytes=+0-1", Whole),
            ("bytes =0-1", Whole),
            ("seconds=0-1", Whole),
            ("0-1", Whole),
            ("", Whole),
            // Large parts are sent as parts if they leave a gap.
            ("bytes=0-4999,5500-9999", Parts(vec![0..5000, 5500..10_000])),
        ] {
            assert_eq!(select(value.as_bytes(), 10_000), selection, "{value:?}");
        }
        assert_eq!(select(b"bytes=0-0", 0), Unsatisfiable);
        assert_eq!(select(b"bytes=-1", 0), Whole);
        let far = 5 << 30;
        assert_eq!(select(b"bytes=5368709118-", far), Part(far - 2..far));
    }

    #[test]
    fn excessive_ranges_never_send_more_than_the_file() {
        let many: Vec<String> = (0..300).map(|index| format!("{}-{}", index * 1000, index * 1000)).collect();
        assert_eq!(select(format!("bytes={}", many.join(",")).as_bytes(), 300_000), Whole);
        let same = vec!["0-"; 300].join(",");
        assert_eq!(select(format!("bytes={same}").as_bytes(), 10), Part(0..10));
    }

    #[test]
    fn coalesced_ranges_cover_every_requested_byte_once() {
        let mut random = fastrand::Rng::with_seed(14);
        for round in 0..20_000 {
            let length = random.u64(1..5000);
            let specs: Vec<String> = (0..random.usize(1..20))
                .map(|_| match random.u8(..4) {
                    0 => format!("-{}", random.u64(..6000)),
                    1 => format!("{}-", random.u64(..6000)),
                    _ => {
                        let first = random.u64(..6000);
                        format!("{first}-{}", first + random.u64(..300))
                    }
                })
                .collect();
            let value = format!("bytes={}", specs.join(","));
            let set: Vec<Spec> = specs.iter().filter_map(|spec| parse_spec(spec.as_bytes())).collect();
            let asked = |at: u64| {
                set.iter().any(|spec| spec.resolve(length).is_some_and(|range| range.contains(&at)))
            };
            let selected = match select(value.as_bytes(), length) {
                Whole => std::iter::once(0..length).collect(),
                Part(range) => std::iter::once(range).collect(),
                Parts(ranges) => ranges,
                Unsatisfiable => Vec::new(),
            };
            let sum: u64 = selected.iter().map(|range| range.end - range.start).sum();
            assert!(sum <= length && selected.len() <= RANGES_MAX, "round {round}: {value}");
            for at in 0..length {
                let held = selected.iter().filter(|range| range.contains(&at)).count();
                assert!(
                    held <= 1 && (held == 1 || !asked(at)),
                    "round {round}: byte {at} of {length}, {value}"
                );
            }
        }
    }
}
