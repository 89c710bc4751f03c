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
    /// If-Match.
    pub if_match: Option<Cow<'a, [u8]>>,
    /// If-None-Match.
    pub if_none_match: Option<Cow<'a, [u8]>>,
    /// If-Modified-Since.
    pub if_modified_since: Option<Cow<'a, [u8]>>,
    /// If-Unmodified-Since.
    pub if_unmodified_since: Option<Cow<'a, [u8]>>,
    /// If-Range.
    pub if_range: Option<Cow<'a, [u8]>>,
    /// Range.
    pub range: Option<Cow<'a, [u8]>>,
}

/// What the preconditions of a GET or HEAD come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request is carried out.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: it is not what the client thinks.
    Failed,
}

/// What conditions are compared with: those of the representation that would be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// The entity tag, which is a strong one.
    pub entity_tag: &'a [u8],
    /// Last-Modified, of which whole seconds count.
    pub last_modified: SystemTime,
}

impl<'a> Preconditions<'a> {
    /// Those of a request.
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

    /// Those of a request that writes, where If-Modified-Since says nothing (RFC 9110 section 13.1.3).
    pub(crate) fn of_write(headers: &Headers<'a>) -> Preconditions<'a> {
        Preconditions { if_modified_since: None, ..Preconditions::of(headers) }
    }

    /// Evaluates the preconditions in the order of RFC 9110 section 13.2.2. A tag's field hides the
    /// date's field of the same sense, whether it holds or not.
    pub(crate) fn evaluate(&self, validators: Validators<'_>) -> Verdict {
        let modified = seconds(validators.last_modified);
        let holds = match (&self.if_match, &self.if_unmodified_since) {
            (Some(tags), _) => matches(tags, validators.entity_tag, Comparison::Strong),
            (None, Some(date)) => parse_date(date).is_none_or(|date| modified <= date),
            (None, None) => true,
        };
        if !holds {
            return Verdict::Failed;
        }
        let is_new = match (&self.if_none_match, &self.if_modified_since) {
            (Some(tags), _) => !matches(tags, validators.entity_tag, Comparison::Weak),
            (None, Some(date)) => parse_date(date).is_none_or(|date| modified > date),
            (None, None) => true,
        };
        if is_new { Verdict::Proceed } else { Verdict::NotModified }
    }

    /// Evaluates the preconditions on what has no validators: `*` is all that says something of it.
    pub(crate) fn evaluate_unvalidated(&self) -> Verdict {
        let any = |tags: &Option<Cow<'_, [u8]>>| tags.as_deref().map(|tags| trim(tags) == b"*");
        match (any(&self.if_match), any(&self.if_none_match)) {
            (Some(false), _) => Verdict::Failed,
            (_, Some(true)) => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    /// The Range to be honoured: If-Range takes it back unless the client's part is of what would
    /// be sent (RFC 9110 section 13.1.5).
    pub(crate) fn range(&self, validators: Validators<'_>, now: SystemTime) -> Option<&[u8]> {
        let range = self.range.as_deref()?;
        let Some(if_range) = self.if_range.as_deref().map(trim) else { return Some(range) };
        let unchanged = match if_range {
            [b'"', ..] => if_range == validators.entity_tag,
            [b'W', b'/', ..] => false,
            // A date is as good as a tag if the file could not have changed again within its second
            // (RFC 9110 section 8.8.2.2).
            date => {
                let modified = seconds(validators.last_modified);
                parse_date(date) == Some(modified) && modified < seconds(now)
            }
        };
        unchanged.then_some(range)
    }
}

/// The response that the preconditions ask for in place of one that is made each time, and so has no
/// validators. `fields` are those that a 304 repeats.
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
    /// Weak tags equal nothing.
    Strong,
    /// Whether a tag is weak does not matter.
    Weak,
}

/// Whether `tags`, which is `*` or a list, has one that equals `own`. What is neither has none.
fn matches(tags: &[u8], own: &[u8], comparison: Comparison) -> bool {
    trim(tags) == b"*" || find(tags, own, comparison).unwrap_or(false)
}

/// Looks for `own` in a list of tags. `None` if the list is malformed anywhere.
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

/// The length of the opaque tag at the beginning, with its quotes (RFC 9110 section 8.8.3).
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let inner = bytes.strip_prefix(b"\"")?;
    let length = inner.iter().position(|byte| !matches!(byte, 0x21 | 0x23..=0x7e | 0x80..))?;
    (inner[length] == b'"').then_some(length + 2)
}

/// A date in any of the three formats (RFC 9110 section 5.6.7), as seconds since 1970.
fn parse_date(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(trim(value)).ok()?;
    let date = |text: &str| httpdate::parse_http_date(text).ok().map(seconds);
    // A leap second, which the parser does not know, is the end of the second before.
    date(text).or_else(|| Some(date(&text.replacen(":60 ", ":59 ", 1))? + 1))
}

/// Whole seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let whole = |since: Duration| i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or(0, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Validators<'_> = Validators { entity_tag: b"\"a\"", last_modified: UNIX_EPOCH };

    fn own() -> Validators<'static> {
        // Sun, 06 Nov 1994 08:49:37 GMT, and a half.
        Validators { last_modified: UNIX_EPOCH + Duration::from_millis(784_111_777_500), ..OWN }
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
    fn preconditions_by_rfc_9110_section_13() {
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
            // 13.1.3 and 5.6.7: three formats; what is no date is ignored.
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
            // 13.2.2: tags hide dates, and what must hold comes first.
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
    }

    #[test]
    fn if_range_by_rfc_9110_section_13_1_5() {
        let now = own().last_modified + Duration::from_secs(10);
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
        assert_eq!(asked.range(own(), own().last_modified), None, "the second is not over");
        assert_eq!(conditions(&[("if-range", "\"a\"")]).range(own(), now), None);
        assert!(conditions(&[("range", "bytes=0-0")]).range(own(), now).is_some());
    }

    #[test]
    fn what_one_half_of_a_list_matches_the_whole_does() {
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
