//! evserve: a server of files in one thread and one loop.
//!
//! # The tour of one request
//!
//! A peer connects. The listener's event makes the [loop](event_loop) accept it and put a
//! connection into its slab. The request arrives, and with it an event, whose token names the
//! connection; in its turn the connection receives into a buffer that all connections share, and
//! offers the bytes to its [protocol]. The protocol parses them, opens a file of the
//! [store], and writes the answer into the connection's [outbox]. The connection
//! sends the outbox's segments through its [transport], at once, and keeps what the socket does not
//! take for the next event. What limits all of this stands in [limits].
//!
//! # Modules, from the outside in
//!
//! [config] → [server] → [event_loop] → {[protocol], [transport]} → {[outbox], [services]} → {[site],
//! [observe]} → {[store], [clock], [peer], [limits], [close_reason]}. Imports go one way along these
//! arrows.

pub mod clock;
pub mod close_reason;
pub mod config;
pub mod event_loop;
pub mod limits;
pub mod observe;
pub mod outbox;
pub mod peer;
pub mod protocol;
pub mod server;
pub mod services;
pub mod site;
pub mod store;
pub mod transport;
