//! Content codings (RFC 9110 section 8.4.1).

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstandard,
    /// gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// All supported codings, in order of preference.
    pub const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstandard, Coding::Gzip];

    /// Returns the name of the coding in header fields.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstandard => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// Returns whether a list of entity tags has one of a form in this coding: those end in its name.
    pub fn is_named_in(self, tags: &[u8]) -> bool {
        let mut ends = tags.split(|byte| *byte == b'"');
        ends.any(|tag| tag.strip_suffix(self.name().as_bytes()).is_some_and(|start| start.ends_with(b"-")))
    }

    /// Returns the suffix that a sidecar's name adds to the file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstandard => ".zst",
            Coding::Gzip => ".gz",
        }
    }
}
