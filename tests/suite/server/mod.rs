//! The program as it is started: sockets, signals, logs, and the clients that people have.

mod clients;
mod lifecycle;
mod logs;
mod sockets;
mod trace;
