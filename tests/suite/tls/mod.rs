//! HTTPS with real sockets and common clients. To add a file, declare it here; certificates come from
//! `certificates.rs`, a running server with clients from `server.rs`.

mod acme;
mod certificates;
mod client_certificates;
mod clients;
mod draining;
mod faulty_files;
mod handshakes;
mod names;
mod redirect;
mod rejected;
mod renewal;
mod same;
mod scan;
mod self_signed;
mod server;
