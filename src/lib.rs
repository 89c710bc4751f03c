//! evserve: a file server with a single thread and a single event loop.
//!
//! # The tour of one request
//!
//! A client connects. An event of the listener makes the [event loop](event_loop) accept the connection and
//! add it to the slab. When the request arrives, an event carries the connection's token. In its turn, the
//! connection receives into a buffer that all connections share, and offers the bytes to its [protocol]. The
//! protocol parses them, opens a file of the [store], and writes the response into the connection's [outbox].
//! The connection sends the segments of the outbox through its [transport] immediately; what the socket does
//! not accept waits for the next event. The [limits] are in one module.
//!
//! # Modules, from the outside in
//!
//! [config] → [server] → [event_loop] → {[protocol], [transport]} → {[outbox], [services]} → {[site],
//! [observe]} → {[store], [peer]} → {[clock], [limits], [close_reason]}. Imports only follow these arrows.

pub mod clock;
pub mod close_reason;
pub mod config;
pub mod event_loop;
pub mod limits;
#[allow(missing_docs)] // Internal; public for the tests.
pub mod observe;
pub mod outbox;
pub mod peer;
pub mod protocol;
pub mod server;
pub mod services;
#[allow(missing_docs)] // Internal; public for the tests.
pub mod site;
#[allow(missing_docs)] // Internal; public for the tests.
pub mod store;
pub mod transport;
