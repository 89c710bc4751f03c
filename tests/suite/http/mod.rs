//! HTTP: request parsing, connection handling and responses. To add a file, declare it here.

mod attacks;
mod body;
mod codings;
mod error_pages;
mod head;
mod listing;
mod mirroring;
mod persistence;
mod script;
mod session;
mod static_files;
mod targets;
