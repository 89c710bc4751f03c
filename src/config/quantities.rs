//! Numbers with units: sizes and times, as options give them.

use std::str::FromStr;
use std::time::Duration;

/// Parses digits only: `parse` would accept a sign, too.
pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Parses a number of bytes with a unit, a power of 1024: `64k`, `64KB` and `64KiB` are the same. A fraction needs a
/// unit, and is rounded down to bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let unit = unit.to_ascii_lowercase();
    let unit = unit
        .strip_suffix("ib")
        .filter(|letter| !letter.is_empty())
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit);
    let power = ["", "k", "m", "g", "t"].iter().position(|known| *known == unit)?;
    if power == 0 && number.contains('.') {
        return None;
    }
    scaled(number, 1 << (10 * power))
}

/// The longest accepted time. It is as good as forever, and adding it to a clock does not overflow.
const LONGEST_TIME: Duration = Duration::from_secs(366 * 24 * 3600);

/// Parses a time with a unit; a number without one counts seconds.
pub(super) fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let nanoseconds = match unit {
        "ms" => 1_000_000,
        "" | "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    scaled(number, nanoseconds).map(Duration::from_nanos).filter(|time| *time <= LONGEST_TIME)
}

fn split_unit(text: &str) -> (&str, &str) {
    let is_of_number = |character: char| character.is_ascii_digit() || character == '.';
    text.split_at(text.find(|character| !is_of_number(character)).unwrap_or(text.len()))
}

/// Returns `number`, a decimal such as `12` or `1.5`, times `scale`, rounded down.
fn scaled(decimal: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = match decimal.split_once('.') {
        Some((whole, fraction)) => (whole, (!fraction.is_empty()).then_some(fraction)?),
        None => (decimal, ""),
    };
    let whole = number::<u64>(whole)?.checked_mul(scale)?;
    // Further digits change less than a byte or a nanosecond, or are absurd.
    let digits = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let part = if digits.is_empty() { 0 } else { number::<u128>(digits)? };
    let part = part * u128::from(scale) / 10_u128.pow(u32::try_from(digits.len()).ok()?);
    whole.checked_add(u64::try_from(part).ok()?)
}

/// The largest scales have 13 digits.
const FRACTION_DIGITS_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_times_are_parsed_and_others_rejected() {
        for (text, milliseconds) in [
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("7", Some(7000)),
            ("0", Some(0)),
            ("1.5s", Some(1500)),
            ("0.25", Some(250)),
            ("1.5h", Some(5_400_000)),
            ("", None),
            ("s", None),
            (".5s", None),
            ("1.s", None),
            ("1.5.5s", None),
            ("1,5s", None),
            ("-1s", None),
            ("1 s", None),
            ("1w", None),
            ("99999999999999999999", None),
            ("9999999999999999h", None),
            ("8784h", Some(366 * 24 * 3_600_000)),
            ("8785h", None),
        ] {
            assert_eq!(time(text), milliseconds.map(Duration::from_millis), "{text:?}");
        }
        assert_eq!(time("1.5ms"), Some(Duration::from_micros(1500)));
    }

    #[test]
    fn valid_sizes_are_parsed_and_others_rejected() {
        for (text, bytes) in [
            ("500", Some(500)),
            ("500B", Some(500)),
            ("64k", Some(64 << 10)),
            ("64kb", Some(64 << 10)),
            ("64KiB", Some(64 << 10)),
            ("10M", Some(10 << 20)),
            ("10MB", Some(10 << 20)),
            ("1g", Some(1 << 30)),
            ("1GB", Some(1 << 30)),
            ("1GiB", Some(1 << 30)),
            ("1.5G", Some(3 << 29)),
            ("0.1k", Some(102)),
            ("1.99999999999999999999999999999999k", Some(2047)),
            ("2T", Some(2 << 40)),
            ("16777215.9T", Some((16_777_215 << 40) + 989_560_464_998)),
            ("", None),
            ("k", None),
            ("B", None),
            ("500iB", None),
            ("1.5", None),
            ("1.G", None),
            (".5G", None),
            ("1.5.5G", None),
            ("1,5G", None),
            ("1 G", None),
            ("1GG", None),
            ("1Gb/s", None),
            ("-1", None),
            ("+1", None),
            ("16777216T", None),
            ("99999999999T", None),
        ] {
            assert_eq!(size(text), bytes, "{text:?}");
        }
    }
}
