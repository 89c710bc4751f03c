//! The event loop without sockets: a simulated network and a virtual clock. To add a file, declare it here.

mod accepting;
mod datagrams;
mod eviction;
mod hot_path;
mod network;
mod peers;
mod properties;
mod site;
mod turns;
mod world;
