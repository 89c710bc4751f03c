//! The event loop without sockets: a simulated network under a virtual clock.

mod accepting;
mod datagrams;
mod hot_path;
mod network;
mod peers;
mod properties;
mod site;
mod turns;
mod world;
