//! The file protocol and its client, evclient. To add a file, declare it here.

mod batches;
mod evclient;
mod interrupted;
mod legacy_clients;
mod legacy_servers;
mod lines;
mod menu;
mod streams;
mod targets;
mod tls;
