//! The cache of files, and how it learns of their changes. To add a file, declare it here.

mod caching;
mod changes;
mod site;
mod watching;
