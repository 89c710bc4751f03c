//! The file protocol, and the client that speaks it.

mod evclient;
mod interrupted;
mod legacy_clients;
mod legacy_servers;
mod lines;
mod menu;
