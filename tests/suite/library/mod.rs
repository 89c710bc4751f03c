//! The library, through both of its protocols. To add a file, declare it here.

mod forms;
mod http;
mod model;
mod resuming;
mod trouble;
mod wishes;
