//! The addresses to listen on, as options give them.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::quantities::number;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// One address and port.
    Inet(SocketAddr),
    /// A port of this machine only, over IPv4 and IPv6.
    Localhost(u16),
    /// A port on all interfaces, IPv6 and IPv4.
    Everywhere(u16),
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Localhost(port) => write!(f, "localhost:{port}"),
            Address::Everywhere(port) => write!(f, ":{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Parses `PORT`, `:PORT`, `localhost:PORT`, `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`.
pub(super) fn parse(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return (!path.is_empty()).then(|| Address::Unix(path.into()));
    }
    match text.rsplit_once(':') {
        Some(("", port)) => number(port).map(Address::Everywhere),
        Some((host, port)) if host.eq_ignore_ascii_case("localhost") => number(port).map(Address::Localhost),
        Some(_) => text.parse().ok().map(Address::Inet),
        None => number(text).map(|port| Address::Inet((Ipv4Addr::LOCALHOST, port).into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_addresses_are_parsed_and_others_rejected() {
        let inet = |text: &str| Some(Address::Inet(text.parse().expect("an address")));
        for (text, expected) in [
            ("80", inet("127.0.0.1:80")),
            ("0", inet("127.0.0.1:0")),
            (":80", Some(Address::Everywhere(80))),
            ("10.0.0.1:80", inet("10.0.0.1:80")),
            ("[::1]:80", inet("[::1]:80")),
            ("localhost:80", Some(Address::Localhost(80))),
            ("LocalHost:0", Some(Address::Localhost(0))),
            ("unix:/run/x", Some(Address::Unix("/run/x".into()))),
            ("unix:x:1", Some(Address::Unix("x:1".into()))),
            ("", None),
            (":", None),
            ("unix:", None),
            ("65536", None),
            ("-1", None),
            ("+80", None),
            (":+80", None),
            ("::1:80", None),
            ("localhost", None),
            ("localhost:", None),
            ("localhost:+80", None),
            ("example.org:80", None),
            ("10.0.0.1", None),
            ("OFF", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
