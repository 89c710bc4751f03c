//! A conversation with a server, in whatever dialect.

use super::failure::Failure;
use super::local::{Source, Target};

/// A file of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name.
    pub name: String,
    /// Its bytes and when it was last changed, if the dialect says so.
    pub details: Option<(u64, String)>,
}

impl Entry {
    /// As it is printed.
    pub(crate) fn line(&self) -> String {
        match &self.details {
            Some((size, modified)) => format!("{size:>12} {modified} {}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What a server can be asked.
pub(crate) trait Session {
    /// Its files.
    fn list(&mut self) -> Result<Vec<Entry>, Failure>;
    /// What is known of a file.
    fn stat(&mut self, name: &str) -> Result<Entry, Failure>;
    /// A file's bytes.
    fn get(&mut self, name: &str, target: &Target) -> Result<(), Failure>;
    /// Lets it store a file.
    fn put(&mut self, source: &mut Source, name: &str) -> Result<(), Failure>;
    /// Says goodbye.
    fn quit(&mut self);
}
