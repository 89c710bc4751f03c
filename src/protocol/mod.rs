//! Protocols: what the loop asks of one ([`Protocol`]), and those that there are.

mod ack;
mod any;
mod contract;
pub mod file;
mod http;

pub use any::{AnyProtocol, Kind};
pub use contract::{Demand, Protocol, Step};
pub use file::Dialect;
