//! The library, through both of its protocols.

mod forms;
mod http;
mod model;
mod resuming;
mod trouble;
mod wishes;
