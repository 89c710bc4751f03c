//! The file cache, and how it detects changes. To add a file, declare it here.

mod caching;
mod changes;
mod fresh;
pub mod site;
mod watching;
