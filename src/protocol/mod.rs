//! The protocols that the server speaks, and the trait [`Protocol`] through which the event loop drives them.

mod ack;
mod any;
mod contract;
#[allow(missing_docs)] // Internal; public for the tests.
pub mod file;
mod http;

pub use any::{AnyProtocol, Kind, PROTOCOLS};
pub use contract::{Demand, Evictability, Protocol, Step};
pub use file::Dialect;
