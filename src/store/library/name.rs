//! Names of the library's files.

use std::fmt;

/// One path component, checked once: UTF-8 of 1 to 255 bytes without `/`, NUL and other control
/// characters, not beginning with a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// Bytes of a name, as many as file systems take (`NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;

impl Name {
    /// Checks a name.
    pub fn parse(bytes: &[u8]) -> Option<Name> {
        let name = std::str::from_utf8(bytes).ok()?;
        let known = (1..=NAME_MAX_BYTES).contains(&name.len())
            && !name.starts_with('.')
            && !name.chars().any(|character| character == '/' || character.is_control());
        known.then(|| Name(name.to_owned()))
    }

    /// The path that it has as a site's file.
    pub fn path(&self) -> Vec<u8> {
        [b"/", self.0.as_bytes()].concat()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        for name in ["a", "a b", " a", "a.b", "ö", "文件", "-", "a:b\\c", "COM1", &"x".repeat(255)] {
            assert!(Name::parse(name.as_bytes()).is_some(), "{name:?}");
        }
        for name in ["", ".", "..", ".a", "a/b", "/", "a\0", "a\n", "a\x7f", "a\u{85}", &"x".repeat(256)] {
            assert!(Name::parse(name.as_bytes()).is_none(), "{name:?}");
        }
        assert!(Name::parse(b"\xff").is_none());
    }
}
