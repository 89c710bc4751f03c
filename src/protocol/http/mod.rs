//! HTTP. Imports go one way: `h1` (the wire format of HTTP/1.1 and 1.0) → `handlers` (requests to responses)
//! → `semantics` (RFC 9110 as values). Handlers and semantics do not depend on the version of HTTP: a second
//! wire format is a folder beside `h1` that imports the same two and never `h1`.

pub(super) mod h1;
mod handlers;
mod semantics;

#[cfg(test)]
mod h2_sketch;
