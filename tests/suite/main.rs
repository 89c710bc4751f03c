//! The integration tests, as one program. To add a file, declare it in the `mod.rs` of its folder; a folder
//! has at most fifteen entries, a file at most 400 lines.

#![allow(clippy::unwrap_used)]
// A program exports nothing: here `pub` only makes items visible to the other files.
#![allow(unreachable_pub)]

mod ack;
mod admin;
mod cache;
mod calls;
mod conversation;
mod documents;
mod file_protocol;
mod http;
mod lab;
mod library;
mod manual;
mod process;
mod reading;
mod server;
mod simulation;
mod tidy;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "top")]
mod top;
