//! The event loop without sockets: a simulated network under a virtual clock.

mod datagrams;
mod hot_path;
mod properties;
