//! HTTP. Imports go one way: `h1` (the wire of HTTP/1.1 and 1.0) → `handlers` (what a request comes to) →
//! `semantics` (RFC 9110 as values). Neither handlers nor semantics know a version: a second wire is a
//! folder beside `h1`, which imports the same two and not `h1`.

pub(super) mod h1;
mod handlers;
mod semantics;

#[cfg(test)]
mod h2_sketch;
