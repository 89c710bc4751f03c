//! Conditional requests (RFC 9110 section 13).

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::error::{HttpError, PRECONDITION_FAILED};
use super::grammar::trim;
use super::headers::{HeaderName, Headers};
use super::response::{Field, Response};
use super::status::Status;

/// The fields that make a request conditional, and Range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preconditions<'a> {
    pub if_match: Option<Cow<'a, [u8]>>,
    pub if_none_match: Option<Cow<'a, [u8]>>,
    pub if_modified_since: Option<Cow<'a, [u8]>>,
    pub if_unmodified_since: Option<Cow<'a, [u8]>>,
    pub if_range: Option<Cow<'a, [u8]>>,
    pub range: Option<Cow<'a, [u8]>>,
}

/// The result of evaluating preconditions, with the statuses for GET and HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request is carried out.
    Proceed,
    /// 304: the client already has the representation.
    NotModified,
    /// 412: a precondition is false.
    Failed,
}

/// The validators of the representation that would be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// The entity tag, which is always strong.
    pub entity_tag: &'a [u8],
    /// Last-Modified, if there is one. Fractions of a second are ignored. Without it, conditions on dates are
    /// ignored (RFC 9110 sections 13.1.3 and 13.1.4), and If-Range with a date is false.
    pub last_modified: Option<SystemTime>,
}

impl<'a> Preconditions<'a> {
    /// Returns the preconditions of a request.
    pub(crate) fn of(headers: &Headers<'a>) -> Preconditions<'a> {
        Preconditions {
            if_match: headers.get(HeaderName::IfMatch),
            if_none_match: headers.get(HeaderName::IfNoneMatch),
            if_modified_since: headers.get(HeaderName::IfModifiedSince),
            if_unmodified_since: headers.get(HeaderName::IfUnmodifiedSince),
            if_range: headers.get(HeaderName::IfRange),
            range: headers.get(HeaderName::Range),
        }
    }

    /// Returns the preconditions of a request that writes, where If-Modified-Since is ignored (RFC 9110
    /// section 13.1.3).
    pub(crate) fn of_write(headers: &Headers<'a>) -> Preconditions<'a> {
        Preconditions { if_modified_since: None, ..Preconditions::of(headers) }
    }

    /// Evaluates the preconditions in the order of RFC 9110 section 13.2.2. If-Match overrides
    /// If-Unmodified-Since, and If-None-Match overrides If-Modified-Since, whether they hold or not.
    pub(crate) fn evaluate(&self, validators: Validators<'_>) -> Verdict {
        let modified = validators.last_modified.map(seconds);
        let is_newer = |date: &[u8]| Some(modified? > parse_date(date)?);
        let holds = match (&self.if_match, &self.if_unmodified_since) {
            (Some(tags), _) => matches(tags, validators.entity_tag, Comparison::Strong),
            (None, Some(date)) => is_newer(date) != Some(true),
            (None, None) => true,
        };
        if !holds {
            return Verdict::Failed;
        }
        let is_new = match (&self.if_none_match, &self.if_modified_since) {
            (Some(tags), _) => !matches(tags, validators.entity_tag, Comparison::Weak),
            (None, Some(date)) => is_newer(date) != Some(false),
            (None, None) => true,
        };
        if is_new { Verdict::Proceed } else { Verdict::NotModified }
    }

    /// Evaluates the preconditions on a resource without validators, which only `*` can match.
    pub(crate) fn evaluate_unvalidated(&self) -> Verdict {
        let any = |tags: &Option<Cow<'_, [u8]>>| tags.as_deref().map(|tags| trim(tags) == b"*");
        match (any(&self.if_match), any(&self.if_none_match)) {
            (Some(false), _) => Verdict::Failed,
            (_, Some(true)) => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    /// Returns the Range to apply. If-Range cancels it unless it matches the representation that would be
    /// sent (RFC 9110 section 13.1.5).
    pub(crate) fn range(&self, validators: Validators<'_>, now: SystemTime) -> Option<&[u8]> {
        let range = self.range.as_deref()?;
        let Some(if_range) = self.if_range.as_deref().map(trim) else { return Some(range) };
        let unchanged = match if_range {
            [b'"', ..] => if_range == validators.entity_tag,
            [b'W', b'/', ..] => false,
            // A date is a strong validator once the file can no longer change within that second (RFC 9110
            // section 8.8.2.2).
            date => {
                let modified = validators.last_modified.map(seconds);
                modified.is_some_and(|modified| parse_date(date) == Some(modified) && modified < seconds(now))
            }
        };
        unchanged.then_some(range)
    }
}

/// Evaluates the preconditions on a resource that is generated for each request, and so has no validators.
/// Returns the response to send in its place, if any. `fields` are the fields that a 304 repeats.
pub(crate) fn unvalidated_response(
    headers: &Headers<'_>,
    fields: &[Field],
) -> Result<Option<Response>, HttpError> {
    match Preconditions::of(headers).evaluate_unvalidated() {
        Verdict::Proceed => Ok(None),
        Verdict::NotModified => Ok(Some(Response::empty(Status::NotModified, fields.to_vec()))),
        Verdict::Failed => Err(PRECONDITION_FAILED),
    }
}

/// How entity tags are compared (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    /// Weak tags never match.
    Strong,
    /// Weak tags match like strong ones.
    Weak,
}

/// Returns whether `tags`, which is `*` or a list, matches `own`. A malformed value matches nothing.
fn matches(tags: &[u8], own: &[u8], comparison: Comparison) -> bool {
    trim(tags) == b"*" || find(tags, own, comparison).unwrap_or(false)
}

/// Looks for `own` in a list of tags. Returns `None` if any part of the list is malformed.
fn find(tags: &[u8], own: &[u8], comparison: Comparison) -> Option<bool> {
    let mut found = false;
    let mut rest = tags;
    loop {
        // Elements may be empty (RFC 9110 section 5.6.1.2).
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','));
        let Some(start) = start else { return Some(found) };
        rest = &rest[start..];
        let (weak, tag) = match rest.strip_prefix(b"W/") {
            Some(tag) => (true, tag),
            None => (false, rest),
        };
        // A comma may be part of a tag.
        let length = tag_length(tag)?;
        found |= tag[..length] == *own && !(weak && comparison == Comparison::Strong);
        rest = trim(&tag[length..]);
        if !rest.is_empty() && !rest.starts_with(b",") {
            return None;
        }
    }
}

/// Returns the length of the opaque tag at the beginning, with its quotes (RFC 9110 section 8.8.3).
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let inner = bytes.strip_prefix(b"\"")?;
    let length = inner.iter().position(|byte| !matches!(byte, 0x21 | 0x23..=0x7e | 0x80..))?;
    (inner[length] == b'"').then_some(length + 2)
}

/// Parses a date in any of the three formats (RFC 9110 section 5.6.7) into seconds since 1970.
fn parse_date(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(trim(value)).ok()?;
    let date = |text: &str| httpdate::parse_http_date(text).ok().map(seconds);
    // The parser rejects leap seconds, so `:60` is parsed as one second after `:59`.
    date(text).or_else(|| Some(date(&text.replacen(":60 ", ":59 ", 1))? + 1))
}

/// Returns the whole seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let whole = |since: Duration| i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or(0, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Validators<'_> = Validators { entity_tag: b"\"a\"", last_modified: Some(UNIX_EPOCH) };

    fn own() -> Validators<'static> {
        // Sun, 06 Nov 1994 08:49:37.5 GMT.
        Validators { last_modified: Some(UNIX_EPOCH + Duration::from_millis(784_111_777_500)), ..OWN }
    }

    fn conditions<'a>(fields: &[(&str, &'a str)]) -> Preconditions<'a> {
        let mut conditions = Preconditions::default();
        for (name, value) in fields {
            let slot = match *name {
                "match" => &mut conditions.if_match,
                "none" => &mut conditions.if_none_match,
                "since" => &mut conditions.if_modified_since,
                "unmodified" => &mut conditions.if_unmodified_since,
                "if-range" => &mut conditions.if_range,
                _ => &mut conditions.range,
            };
            *slot = Some(Cow::Borrowed(value.as_bytes()));
        }
        conditions
    }

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn preconditions_follow_rfc_9110_section_13() {
        use Verdict::{Failed, NotModified, Proceed};
        let table: &[(&[(&str, &str)], Verdict)] = &[
            (&[], Proceed),
            // 13.1.1, strong comparison.
            (&[("match", "\"a\"")], Proceed),
            (&[("match", "*")], Proceed),
            (&[("match", "\"b\", \"a\"")], Proceed),
            (&[("match", "W/\"a\"")], Failed),
            (&[("match", "\"b\"")], Failed),
            (&[("match", "")], Failed),
            (&[("match", "a")], Failed),
            // 13.1.2, weak comparison.
            (&[("none", "\"a\"")], NotModified),
            (&[("none", "W/\"a\"")], NotModified),
            (&[("none", " * ")], NotModified),
            (&[("none", "\"b\",W/\"c\" ,\t\"a\"")], NotModified),
            (&[("none", "\"b\"")], Proceed),
            (&[("none", "\"b, \"a\"\"")], Proceed),
            (&[("none", "\",\", \"a\"")], NotModified),
            (&[("none", "\"x,\"a\"")], Proceed),
            (&[("none", "a")], Proceed),
            (&[("none", "\"a")], Proceed),
            (&[("none", "w/\"a\"")], Proceed),
            (&[("none", "*, \"b\"")], Proceed),
            (&[("none", "\"b\" \"a\"")], Proceed),
            (&[("none", "\"a\"b")], Proceed),
            (&[("none", "\"a\", b")], Proceed),
            (&[("none", ", \"a\" , ,")], NotModified),
            // 13.1.3 and 5.6.7: dates have three formats; other values are ignored.
            (&[("since", THEN)], NotModified),
            (&[("since", AFTER)], NotModified),
            (&[("since", BEFORE)], Proceed),
            (&[("since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
            (&[("since", "Sun Nov  6 08:49:37 1994")], NotModified),
            (&[("since", "yesterday")], Proceed),
            (&[("since", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT")], Proceed),
            (&[("since", "")], Proceed),
            // 13.1.4
            (&[("unmodified", THEN)], Proceed),
            (&[("unmodified", AFTER)], Proceed),
            (&[("unmodified", BEFORE)], Failed),
            (&[("unmodified", "0")], Proceed),
            (&[("unmodified", "Wed, 31 Dec 1986 23:59:60 GMT")], Failed),
            (&[("since", "Sat, 31 Dec 2016 23:59:60 GMT")], NotModified),
            // 13.2.2: tags override dates, and If-Match and If-Unmodified-Since are evaluated first.
            (&[("none", "\"b\""), ("since", AFTER)], Proceed),
            (&[("none", "a"), ("since", AFTER)], Proceed),
            (&[("none", "\"a\""), ("since", BEFORE)], NotModified),
            (&[("match", "\"a\""), ("unmodified", BEFORE)], Proceed),
            (&[("match", "\"b\""), ("unmodified", AFTER)], Failed),
            (&[("match", "\"b\""), ("none", "\"a\"")], Failed),
            (&[("match", "*"), ("none", "*")], NotModified),
            (&[("unmodified", BEFORE), ("since", AFTER)], Failed),
        ];
        for (fields, verdict) in table {
            assert_eq!(conditions(fields).evaluate(own()), *verdict, "{fields:?}");
        }
        let undated = Validators { last_modified: None, ..OWN };
        for (name, value) in [("since", AFTER), ("unmodified", BEFORE)] {
            assert_eq!(conditions(&[(name, value)]).evaluate(undated), Proceed, "{name}");
        }
    }

    #[test]
    fn if_range_follows_rfc_9110_section_13_1_5() {
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        let now = modified + Duration::from_secs(10);
        for (value, honoured) in [
            ("\"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            ("\"a\", \"b\"", false),
            ("*", false),
            (THEN, true),
            (BEFORE, false),
            (AFTER, false),
            ("Sunday, 06-Nov-94 08:49:37 GMT", true),
            ("nonsense", false),
        ] {
            let asked = conditions(&[("range", "bytes=0-0"), ("if-range", value)]);
            assert_eq!(asked.range(own(), now).is_some(), honoured, "{value:?}");
        }
        let asked = conditions(&[("range", "bytes=0-0"), ("if-range", THEN)]);
        assert_eq!(asked.range(own(), modified), None, "the second is not over");
        assert_eq!(asked.range(Validators { last_modified: None, ..OWN }, now), None);
        assert_eq!(conditions(&[("if-range", "\"a\"")]).range(own(), now), None);
        assert!(conditions(&[("range", "bytes=0-0")]).range(own(), now).is_some());
    }

    #[test]
    fn a_joined_tag_list_matches_if_either_half_matches() {
        let mut random = fastrand::Rng::with_seed(9);
        let pieces = ["\"a\"", "\"b\"", "W/\"a\"", "\"a,b\"", "\"\"", "W/\"c d\"", "\"é\""];
        for _ in 0..5000 {
            let mut list = || {
                let count = random.usize(1..4);
                let tags: Vec<&str> = (0..count).filter_map(|_| random.choice(pieces)).collect();
                tags.iter().filter(|tag| !tag.contains(' ')).copied().collect::<Vec<_>>().join(" ,")
            };
            let (one, other) = (list(), list());
            for comparison in [Comparison::Strong, Comparison::Weak] {
                let single = |list: &str| matches(list.as_bytes(), b"\"a\"", comparison);
                assert_eq!(
                    single(&format!("{one},{other}")),
                    single(&one) || single(&other),
                    "{one},{other}"
                );
            }
        }
    }
}
