//! Content negotiation (RFC 9110 section 12): the preferences of the client.

use super::grammar::{is_token, trim};
use super::headers::{HeaderName, Headers};
use crate::site::{AcceptedCodings, Coding, types};

/// A weight in thousandths (RFC 9110 section 12.4.2).
type Weight = u16;

/// Returns whether the request for `path` is likely a navigation: a person followed a link or typed an address.
/// Browsers say so in Sec-Fetch-Mode. A request without that field is a navigation if its Accept names
/// text/html, or if it accepts anything and the name has no extension: programs that show a preview of a link
/// send that.
pub(crate) fn is_navigation(path: &[u8], headers: &Headers<'_>) -> bool {
    if let Some(mode) = headers.get(HeaderName::SecFetchMode) {
        return mode.eq_ignore_ascii_case(b"navigate");
    }
    let names_page =
        |(range, weight): (&[u8], Weight)| range.eq_ignore_ascii_case(b"text/html") && weight > 0;
    let accept = headers.get(HeaderName::Accept).unwrap_or_default();
    let accepts_anything = elements(&accept).all(|(range, weight)| range == b"*/*" && weight > 0);
    elements(&accept).any(names_page) || (accepts_anything && !types::name(path).contains(&b'.'))
}

/// The media type of plain text in Accept.
pub(crate) const PLAIN: &str = types::PLAIN;

/// Returns which of `kinds`, each a `type/subtype`, an Accept prefers; among equals, the first. Returns
/// `None` if none is acceptable.
pub(crate) fn preferred_media_type<'k>(accept: Option<&[u8]>, kinds: &[&'k str]) -> Option<&'k str> {
    let Some(accept) = accept else { return kinds.first().copied() };
    let mut best = None;
    for kind in kinds {
        let weight = media_weight(accept, kind.as_bytes());
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, *kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Returns the weight of the most specific media range that covers a kind (RFC 9110 section 12.5.1).
fn media_weight(accept: &[u8], kind: &[u8]) -> Weight {
    let group = kind.split(|byte| *byte == b'/').next().unwrap_or_default();
    let mut best = (0, 0);
    for (range, weight) in elements(accept) {
        let specificity = match range {
            b"*/*" => 1,
            [start @ .., b'/', b'*'] if start.eq_ignore_ascii_case(group) => 2,
            range if range.eq_ignore_ascii_case(kind) => 3,
            _ => continue,
        };
        if specificity > best.0 {
            best = (specificity, weight);
        }
    }
    best.1
}

/// Parses an Accept-Encoding (RFC 9110 section 12.5.3) into the accepted codings, the preferred one first.
pub(crate) fn accepted_codings(value: &[u8]) -> AcceptedCodings {
    let (weights, identity) = coding_weights(value);
    // A coding must be acceptable, and weigh no less than the uncoded form.
    let least = identity.unwrap_or(1).max(1);
    let mut order = [0, 1, 2];
    order.sort_by_key(|index| std::cmp::Reverse(weights[*index]));
    let preferred = order.map(|index| (weights[index] >= least).then_some(Coding::ALL[index]));
    AcceptedCodings { preferred, identity: identity != Some(0) }
}

/// Returns the weights of the known codings, and the weight of the uncoded form if the value determines it.
fn coding_weights(value: &[u8]) -> ([Weight; Coding::ALL.len()], Option<Weight>) {
    let mut named = [None; Coding::ALL.len()];
    let (mut identity, mut others) = (None, None);
    for (name, weight) in elements(value) {
        let is = |expected: &str| name.eq_ignore_ascii_case(expected.as_bytes());
        let slot = match name {
            b"*" => &mut others,
            _ if is("identity") => &mut identity,
            // RFC 9110 section 8.4.1.3: x-gzip is equivalent to gzip.
            _ if is("x-gzip") => &mut named[2],
            _ => match Coding::ALL.iter().position(|coding| is(coding.name())) {
                Some(index) => &mut named[index],
                None => continue,
            },
        };
        slot.get_or_insert(weight);
    }
    (named.map(|weight| weight.or(others).unwrap_or(0)), identity.or(others))
}

/// Returns the elements of a list, each with its weight. Malformed elements are skipped, and parameters other
/// than the weight are ignored.
fn elements(list: &[u8]) -> impl Iterator<Item = (&[u8], Weight)> {
    list.split(|byte| *byte == b',').filter_map(|element| {
        let mut parts = element.split(|byte| *byte == b';').map(trim);
        let name = parts.next()?;
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte) || *byte == b'/') {
            return None;
        }
        let mut weight = 1000;
        for part in parts {
            if let [b'q' | b'Q', b'=', value @ ..] = part {
                weight = parse_weight(value)?;
            }
        }
        Some((name, weight))
    })
}

/// Parses a weight from 0 to 1 with up to three decimal places.
fn parse_weight(value: &[u8]) -> Option<Weight> {
    let (whole, digits) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = (0..3)
        .fold(0, |sum, index| sum * 10 + Weight::from(digits.get(index).map_or(0, |digit| digit - b'0')));
    match (whole, thousandths) {
        (b'0', thousandths) => Some(thousandths),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_codings_are_ordered_by_weight() {
        use Coding::{Brotli, Gzip, Zstandard};
        for (value, preferred, identity) in [
            ("", &[][..], true),
            ("gzip", &[Gzip], true),
            ("GZIP", &[Gzip], true),
            ("x-gzip", &[Gzip], true),
            ("gzip, deflate, br, zstd", &[Brotli, Zstandard, Gzip], true),
            ("gzip;q=0", &[], true),
            ("gzip;q=0.000", &[], true),
            ("gzip;q=0.001", &[Gzip], true),
            ("br;q=0.5, gzip;q=0.8", &[Gzip, Brotli], true),
            ("gzip ; Q=0.8 , br;q=0.9", &[Brotli, Gzip], true),
            ("gzip;q=0.5, identity", &[], true),
            ("gzip;q=0.5, identity;q=0.5", &[Gzip], true),
            ("identity;q=0, gzip", &[Gzip], false),
            ("identity;q=0", &[], false),
            ("*", &[Brotli, Zstandard, Gzip], true),
            ("*;q=0", &[], false),
            ("gzip, *;q=0", &[Gzip], false),
            ("*;q=0, identity", &[], true),
            ("*;q=0, identity;q=0.1", &[], true),
            ("br;q=0, *", &[Zstandard, Gzip], true),
            ("deflate, compress", &[], true),
            ("gzip;q=2", &[], true),
            ("gzip;q=0.1234", &[], true),
            ("gzip;q=", &[], true),
            ("gzip;q=1.001", &[], true),
            (",, gzip,,", &[Gzip], true),
            ("gzip br", &[], true),
            ("gzip;level=9;q=0.3", &[Gzip], true),
        ] {
            let codings = accepted_codings(value.as_bytes());
            assert_eq!(codings.preferred.into_iter().flatten().collect::<Vec<_>>(), preferred, "{value:?}");
            assert_eq!(codings.identity, identity, "{value:?}");
        }
    }

    #[test]
    fn accepted_codings_never_weigh_less_than_identity() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..5000 {
            let names = ["gzip", "br", "zstd", "identity", "*", "deflate"];
            let list: Vec<String> = (0..random.usize(..5))
                .map(|_| format!("{};q=0.{}", random.choice(names).unwrap_or("*"), random.u8(..10)))
                .collect();
            let list = list.join(", ");
            let codings = accepted_codings(list.as_bytes());
            let (known, identity) = coding_weights(list.as_bytes());
            let weights: Vec<Weight> = codings
                .preferred
                .into_iter()
                .flatten()
                .filter_map(|coding| Coding::ALL.iter().position(|known| *known == coding))
                .map(|index| known[index])
                .collect();
            assert!(weights.is_sorted_by(|before, after| before >= after), "{list:?}");
            assert!(weights.iter().all(|weight| *weight >= identity.unwrap_or(1).max(1)), "{list:?}");
        }
    }

    #[test]
    fn the_most_specific_media_range_decides() {
        const KINDS: [&str; 3] = ["text/html", "application/json", "text/plain"];
        for (accept, best) in [
            (None, Some("text/html")),
            (Some("*/*"), Some("text/html")),
            (Some("application/json"), Some("application/json")),
            (Some("application/json, */*;q=0.1"), Some("application/json")),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Some("text/html")),
            (Some("text/*;q=0.5, text/plain"), Some("text/plain")),
            (Some("*/*, text/html;q=0"), Some("application/json")),
            (Some("image/png"), None),
            (Some(""), None),
            (Some("TEXT/PLAIN;charset=utf-8"), Some("text/plain")),
        ] {
            assert_eq!(preferred_media_type(accept.map(str::as_bytes), &KINDS), best, "{accept:?}");
        }
    }
}
