//! The integration tests, as one program: protocols as bytes, a simulated network, real sockets,
//! real clients, and the shape of the code itself.

#![allow(clippy::unwrap_used)]

mod ack;
mod attacks;
mod caching;
mod clients;
mod conversation;
mod datagrams;
mod evclient;
mod file_protocol;
mod forms;
mod hot_path;
mod http;
mod lab;
mod library;
mod lifecycle;
mod listing;
mod logs;
mod manual;
mod model;
mod process;
mod reading;
mod resuming;
mod session;
mod simulation;
mod sockets;
mod static_files;
mod tidy;
mod trace;
mod trouble;
mod watching;
