//! The file protocol, and the client that speaks it.

mod evclient;
mod lines;
