//! Digest fields (RFC 9530), as far as they are about SHA-256: a dictionary of byte sequences or of preferences
//! (RFC 9651). Members with other algorithms are ignored.

use super::error::HttpError;
use super::grammar::{number, trim};
use crate::store::Sha256Digest;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The digits of a SHA-256 in base 64, without padding.
const DIGITS: usize = 43;

/// Parses the SHA-256 in a Content-Digest or Repr-Digest. Returns `None` if the field has none.
pub(crate) fn parse(field: &[u8]) -> Result<Option<Sha256Digest>, HttpError> {
    let Some(value) = member(field) else { return Ok(None) };
    let digits = value.strip_prefix(b":").and_then(|value| value.strip_suffix(b":"));
    match digits.and_then(decode) {
        Some(digest) => Ok(Some(digest)),
        None => Err(HttpError::bad_request("A digest must be sha-256=:BASE64: with 32 bytes in base 64")),
    }
}

/// Returns whether a Want-Repr-Digest asks for SHA-256. The preference 0 means that it does not.
pub(crate) fn is_wanted(field: &[u8]) -> bool {
    member(field).and_then(number).is_some_and(|preference| preference > 0)
}

/// Returns the value of Repr-Digest.
pub(crate) fn format(digest: Sha256Digest) -> String {
    let mut text = String::from("sha-256=:");
    for group in digest.0.chunks(3) {
        let [first, second, third] = [0, 1, 2].map(|index| u32::from(*group.get(index).unwrap_or(&0)));
        let bits = first << 16 | second << 8 | third;
        let digits = [18, 12, 6, 0].map(|shift| char::from(BASE64[(bits >> shift & 63) as usize]));
        text.extend(&digits[..=group.len()]);
    }
    text.push_str("=:");
    text
}

/// Returns the value of the last member `sha-256`, without parameters. Neither a byte sequence nor a number
/// contains a comma or a semicolon.
fn member(field: &[u8]) -> Option<&[u8]> {
    let members = field.split(|byte| *byte == b',').map(|member| {
        let member = trim(member.split(|byte| *byte == b';').next().unwrap_or_default());
        member.split_at(memchr::memchr(b'=', member).unwrap_or(member.len()))
    });
    let mut known = members.filter(|(name, _)| name.eq_ignore_ascii_case(b"sha-256"));
    known.next_back().map(|(_, value)| value.strip_prefix(b"=").unwrap_or(value))
}

fn decode(text: &[u8]) -> Option<Sha256Digest> {
    let digits = text.strip_suffix(b"=").unwrap_or(text);
    if digits.len() != DIGITS {
        return None;
    }
    let (mut bytes, mut length) = ([0; 32], 0);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        bits = bits << 6 | u32::try_from(memchr::memchr(*digit, BASE64)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes[length] = (bits >> count) as u8;
            length += 1;
            bits &= (1 << count) - 1;
        }
    }
    Some(Sha256Digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of `{"hello": "world"}` and a line feed, an example of RFC 9530.
    const HELLO: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";

    #[test]
    fn digests_are_parsed_and_formatted() {
        let digest = parse(HELLO.as_bytes()).expect("valid").expect("a digest");
        assert!(digest.to_string().starts_with("44aff4ab2d7c32505256"), "{digest}");
        assert_eq!(format(digest), HELLO);
        for field in [
            format!("sha-512=:AAAA:, {HELLO}"),
            format!("md5=:AAAA:,{HELLO};a=1 ,x"),
            HELLO.replace("=:", ":").replace("256:", "256=:"),
            format!("sha-256=:AAAA:, {HELLO}"),
        ] {
            assert_eq!(parse(field.as_bytes()), Ok(Some(digest)), "{field}");
        }
        for field in ["", "sha-512=:AAAA:", "sha-2566=:AAAA:", "nonsense", ",,"] {
            assert_eq!(parse(field.as_bytes()), Ok(None), "{field}");
        }
        for field in
            ["sha-256", "sha-256=", "sha-256=::", "sha-256=:AAAA:", "sha-256=1", &HELLO[..52], "sha-256=:!:"]
        {
            assert!(parse(field.as_bytes()).is_err(), "{field}");
        }
        let mut random = fastrand::Rng::with_seed(9530);
        for _ in 0..100 {
            let digest = Sha256Digest(std::array::from_fn(|_| random.u8(..)));
            assert_eq!(parse(format(digest).as_bytes()), Ok(Some(digest)));
        }
    }

    #[test]
    fn preferences_above_0_ask_for_sha_256() {
        for (field, wanted) in [
            ("sha-256=1", true),
            ("sha-512=3, sha-256=10", true),
            ("sha-256=0", false),
            ("sha-512=3", false),
            ("sha-256", false),
            ("", false),
        ] {
            assert_eq!(is_wanted(field.as_bytes()), wanted, "{field}");
        }
    }
}
