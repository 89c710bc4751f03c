//! The cache of files, and how it learns of their changes.

mod caching;
mod changes;
mod site;
mod watching;
