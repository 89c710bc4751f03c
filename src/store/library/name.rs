//! The names of the library's files.

use std::fmt;

/// A valid name: 1 to 255 bytes of UTF-8 without `/`, NUL and other control characters, not beginning with a
/// dot. So it is one path component, and not a hidden file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The maximum length of a name in bytes, the same as in file systems (`NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;

/// The maximum length of an extension, in bytes. After the last dot of a sentence comes more text.
const EXTENSION_MAX_BYTES: usize = 16;

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

    /// Returns the name with a number before its extension, as `a (1).txt`. A long name is shortened.
    pub(super) fn numbered(&self, number: usize) -> Name {
        let (stem, extension) = match self.0.rsplit_once('.') {
            Some((stem, extension))
                if extension.len() <= EXTENSION_MAX_BYTES && extension.chars().all(char::is_alphanumeric) =>
            {
                (stem, &self.0[stem.len()..])
            }
            _ => (&*self.0, ""),
        };
        let end = format!(" ({number}){extension}");
        let mut kept = stem.len().min(NAME_MAX_BYTES - end.len());
        while !stem.is_char_boundary(kept) {
            kept -= 1;
        }
        Name(stem[..kept].to_owned() + &end)
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

    #[test]
    fn a_number_is_inserted_before_the_extension() {
        let long = "ö".repeat(127);
        for (name, numbered) in [
            ("a.txt", "a (1).txt"),
            ("a", "a (1)"),
            ("a.tar.gz", "a.tar (1).gz"),
            ("a (1).txt", "a (1) (1).txt"),
            ("a.", "a (1)."),
            ("No. 5 of them", "No. 5 of them (1)"),
            ("文件.文", "文件 (1).文"),
            (&long, &format!("{} (1)", "ö".repeat(125))),
            (&format!("{}.txt", "x".repeat(251)), &format!("{} (1).txt", "x".repeat(247))),
            (&format!("a.{}", "x".repeat(253)), &format!("a.{} (1)", "x".repeat(249))),
        ] {
            let found = Name::parse(name.as_bytes()).map(|name| name.numbered(1));
            assert_eq!(found, Name::parse(numbered.as_bytes()), "{name}");
            assert!(found.is_some(), "{name}");
        }
    }
}
