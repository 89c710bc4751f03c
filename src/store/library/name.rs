//! The names of the library's files.

use std::fmt;

/// A valid name: 1 to 255 bytes of UTF-8 without `/`, NUL and other control characters, not beginning with a
/// dot. So it is one path component, and not a hidden file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The maximum length of a name in bytes, the same as in file systems (`NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;

impl Name {
    /// Returns `None` if `bytes` are not a valid name.
    pub fn parse(bytes: &[u8]) -> Option<Name> {
        let name = std::str::from_utf8(bytes).ok()?;
        let known = (1..=NAME_MAX_BYTES).contains(&name.len())
            && !name.starts_with('.')
            && !name.chars().any(|character| character == '/' || character.is_control());
        known.then(|| Name(name.to_owned()))
    }

    /// Returns the path of the file in a site.
    pub fn path(&self) -> Vec<u8> {
        [b"/", self.0.as_bytes()].concat()
    }

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
    fn names_are_visible_single_path_components() {
        for name in ["a", "a b", " a", "a.b", "ö", "文件", "-", "a:b\\c", "COM1", &"x".repeat(255)] {
            assert!(Name::parse(name.as_bytes()).is_some(), "{name:?}");
        }
        for name in ["", ".", "..", ".a", "a/b", "/", "a\0", "a\n", "a\x7f", "a\u{85}", &"x".repeat(256)] {
            assert!(Name::parse(name.as_bytes()).is_none(), "{name:?}");
        }
        assert!(Name::parse(b"\xff").is_none());
    }
}
