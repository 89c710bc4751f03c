//! The operations of a server, independent of the dialect.

use super::download::Target;
use super::failure::Failure;
use super::source::Source;

/// A file on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub name: String,
    /// The length in bytes and the modification time, if the dialect reports them.
    pub details: Option<(u64, String)>,
}

impl Entry {
    /// Returns the line that is printed for the file.
    pub(crate) fn line(&self) -> String {
        match &self.details {
            Some((size, modified)) => format!("{size:>12} {modified} {}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A connection to a server.
pub(crate) trait Session {
    /// Lists the server's files.
    fn list(&mut self) -> Result<Vec<Entry>, Failure>;
    /// Returns the details of a file.
    fn stat(&mut self, name: &str) -> Result<Entry, Failure>;
    /// Downloads a file to `target`.
    fn get(&mut self, name: &str, target: &Target) -> Result<(), Failure>;
    /// Uploads `source` under `name`.
    fn put(&mut self, source: &mut Source, name: &str) -> Result<(), Failure>;
    /// Returns whether the server expects a command. After an error in the middle of a transfer it does not: it
    /// is sending or expecting the rest of a file.
    fn is_in_step(&self) -> bool;
    /// Sends the command that ends the session. Errors are ignored.
    fn quit(&mut self);
}
