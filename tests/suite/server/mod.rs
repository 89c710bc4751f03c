//! The program as it is started: sockets, signals, logs, and the clients that people have. To add a file, declare it here.

mod capacity;
mod clients;
mod files;
mod lifecycle;
mod logs;
mod sockets;
mod trace;
