//! HTTP: every rule that a request can keep or break, and what is served by it.

mod attacks;
mod head;
mod listing;
mod session;
mod static_files;
