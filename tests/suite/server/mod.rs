//! The program as it is started: sockets, signals, logs, and the clients that people have.

mod capacity;
mod clients;
mod files;
mod lifecycle;
mod logs;
mod sockets;
mod trace;
