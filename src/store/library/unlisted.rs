//! Counts the entries of the library's folder that the library does not show.

use std::fmt;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::error::{LibraryError, reading};
use super::name::Name;
use super::{partial, staging};

/// The number of entries that the library does not show, by the first reason that applies. Hidden files of evserve
/// itself are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlisted {
    dot_files: usize,
    /// Names that are not UTF-8.
    not_utf8: usize,
    /// Names with control characters.
    control: usize,
    folders: usize,
    links: usize,
    /// Sockets, FIFOs and devices.
    special: usize,
}

impl Unlisted {
    pub(super) fn count(folder: &OwnedFd) -> Result<Unlisted, LibraryError> {
        let mut unlisted = Unlisted::default();
        let mut entries = Dir::read_from(folder).map_err(reading)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name();
            let kind = match entry.file_type() {
                // The file system does not say.
                FileType::Unknown => statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                known => known,
            };
            unlisted.add(name.to_bytes(), kind);
        }
        Ok(unlisted)
    }

    fn add(&mut self, name: &[u8], kind: FileType) {
        let is_own =
            name == partial::FOLDER.as_bytes() || name.starts_with(staging::HIDDEN_PREFIX.as_bytes());
        let counter = match (Name::parse(name), kind) {
            _ if is_own || [b".".as_slice(), b".."].contains(&name) => return,
            (None, _) if name.starts_with(b".") => &mut self.dot_files,
            (None, _) if std::str::from_utf8(name).is_err() => &mut self.not_utf8,
            (None, _) => &mut self.control,
            (Some(_), FileType::RegularFile) => return,
            (Some(_), FileType::Directory) => &mut self.folders,
            (Some(_), FileType::Symlink) => &mut self.links,
            // The entry was removed meanwhile.
            (Some(_), FileType::Unknown) => return,
            (Some(_), _) => &mut self.special,
        };
        *counter += 1;
    }

    fn counts(&self) -> [(usize, &'static str); 6] {
        [
            (self.folders, "subfolders"),
            (self.links, "symbolic links"),
            (self.dot_files, "dot files"),
            (self.not_utf8, "names that are not UTF-8"),
            (self.control, "names with control characters"),
            (self.special, "special files"),
        ]
    }

    pub fn total(&self) -> usize {
        self.counts().iter().map(|(count, _)| count).sum()
    }
}

/// Writes the reasons, such as `subfolders: 2, dot files: 1`.
impl fmt::Display for Unlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.counts().into_iter().filter(|(count, _)| *count > 0);
        let reasons: Vec<String> = counted.map(|(count, reason)| format!("{reason}: {count}")).collect();
        f.write_str(&reasons.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_by_the_first_reason() {
        let mut unlisted = Unlisted::default();
        for (name, kind) in [
            (&b"."[..], FileType::Directory),
            (b"..", FileType::Directory),
            (b"a.txt", FileType::RegularFile),
            (b".evserve-partial", FileType::Directory),
            (b".evserve-upload-00112233", FileType::RegularFile),
            (b"gone", FileType::Unknown),
        ] {
            unlisted.add(name, kind);
        }
        assert_eq!((unlisted.total(), unlisted.to_string()), (0, String::new()));
        for (name, kind) in [
            (&b"sub"[..], FileType::Directory),
            (b"sub2", FileType::Directory),
            (b".git", FileType::Directory),
            (b"link", FileType::Symlink),
            (b"\xff", FileType::RegularFile),
            (b"a\nb", FileType::RegularFile),
            (b"fifo", FileType::Fifo),
            (b"socket", FileType::Socket),
        ] {
            unlisted.add(name, kind);
        }
        assert_eq!(unlisted.total(), 8);
        assert_eq!(
            unlisted.to_string(),
            "subfolders: 2, symbolic links: 1, dot files: 1, names that are not UTF-8: 1, \
             names with control characters: 1, special files: 2"
        );
    }
}
