//! The running program: sockets, signals, logs and common clients. To add a file, declare it here.

mod capacity;
mod clients;
mod files;
mod lifecycle;
mod logs;
mod sockets;
mod startup;
mod trace;
