//! The library, over HTTP and the file protocol. To add a file, declare it here.

mod duplicates;
mod forms;
mod http;
mod model;
mod operations;
mod over_tls;
mod repeated;
mod resuming;
mod trouble;
