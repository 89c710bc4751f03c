//! The address of the server to watch, as the command line gives it.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;

use evserve::config::DEFAULT_ADMIN;
use socket2::SockAddr;

use super::error::TopError;

/// A server and the addresses that it may have.
#[derive(Clone, Debug)]
pub(super) struct ServerAddress {
    /// The address as messages show it.
    pub(super) name: String,
    /// The value of the field `Host`.
    pub(super) host: String,
    /// The addresses to try in turn; at least one.
    pub(super) candidates: Vec<SockAddr>,
}

/// An address before its host name is resolved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GivenAddress {
    Host(String, u16),
    Addresses { host: String, addresses: Vec<SocketAddr> },
    Unix(Vec<u8>),
}

impl GivenAddress {
    /// Parses `PORT`, `:PORT`, `HOST`, `HOST:PORT`, `IP:PORT`, `[IPv6]:PORT`, `unix:PATH`, or the URL of the page.
    pub(super) fn parse(text: &OsStr) -> Option<GivenAddress> {
        if let Some(path) = text.as_bytes().strip_prefix(b"unix:") {
            return (!path.is_empty()).then(|| GivenAddress::Unix(path.to_owned()));
        }
        let text = text.to_str()?;
        let text = text.strip_prefix("http://").map_or(text, |url| url.strip_suffix('/').unwrap_or(url));
        let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bracketed.unwrap_or(text).parse::<Ipv6Addr>() {
            return Some(GivenAddress::of([(address, parse_port(DEFAULT_ADMIN)?).into()]));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some(parts) => parts,
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => ("127.0.0.1", text),
            None => (text, DEFAULT_ADMIN),
        };
        let port = parse_port(port)?;
        if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
            let addresses =
                vec![(Ipv4Addr::LOCALHOST, port).into(), SocketAddr::from((Ipv6Addr::LOCALHOST, port))];
            return Some(GivenAddress::Addresses { host: format!("localhost:{port}"), addresses });
        }
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return Some(GivenAddress::of([(address.parse::<Ipv6Addr>().ok()?, port).into()]));
        }
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            return Some(GivenAddress::of([(address, port).into()]));
        }
        // The name becomes part of a request, so it must not have spaces or line ends.
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        host.bytes().all(is_of_name).then(|| GivenAddress::Host(host.to_owned(), port))
    }

    fn of(addresses: [SocketAddr; 1]) -> GivenAddress {
        GivenAddress::Addresses { host: addresses[0].to_string(), addresses: addresses.to_vec() }
    }

    /// Looks up the addresses of a host name.
    pub(super) fn resolve(self) -> Result<ServerAddress, TopError> {
        match self {
            GivenAddress::Addresses { host, addresses } => Ok(ServerAddress {
                name: host.clone(),
                host,
                candidates: addresses.into_iter().map(SockAddr::from).collect(),
            }),
            GivenAddress::Host(host, port) => {
                let unresolved = |error| TopError::Unresolved { host: host.clone(), error };
                let found = (&*host, port).to_socket_addrs().map_err(unresolved)?;
                let candidates: Vec<SockAddr> = found.map(SockAddr::from).collect();
                if candidates.is_empty() {
                    return Err(unresolved(std::io::ErrorKind::NotFound.into()));
                }
                let name = format!("{host}:{port}");
                Ok(ServerAddress { host: name.clone(), name, candidates })
            }
            GivenAddress::Unix(path) => {
                let path = OsStr::from_bytes(&path);
                let name = format!("unix:{}", path.to_string_lossy().replace(char::is_control, "?"));
                let address = SockAddr::unix(path)
                    .map_err(|error| TopError::Unresolved { host: name.clone(), error })?;
                Ok(ServerAddress { name, host: "localhost".into(), candidates: vec![address] })
            }
        }
    }
}

/// Parses a port other than 0; `parse` would accept a sign, too.
fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_documented_forms() {
        for (text, host, addresses) in [
            ("80", "127.0.0.1:80", &["127.0.0.1:80"][..]),
            (":80", "localhost:80", &["127.0.0.1:80", "[::1]:80"]),
            ("localhost:80", "localhost:80", &["127.0.0.1:80", "[::1]:80"]),
            ("LocalHost", "localhost:7891", &["127.0.0.1:7891", "[::1]:7891"]),
            ("10.0.0.1", "10.0.0.1:7891", &["10.0.0.1:7891"]),
            ("[::1]:80", "[::1]:80", &["[::1]:80"]),
            ("[::1]", "[::1]:7891", &["[::1]:7891"]),
            ("::1", "[::1]:7891", &["[::1]:7891"]),
            ("http://127.0.0.1:80/", "127.0.0.1:80", &["127.0.0.1:80"]),
        ] {
            let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
            let expected = GivenAddress::Addresses { host: host.into(), addresses };
            assert_eq!(GivenAddress::parse(OsStr::new(text)), Some(expected), "{text}");
        }
        let host = |host: &str, port| Some(GivenAddress::Host(host.into(), port));
        assert_eq!(GivenAddress::parse(OsStr::new("example.org:80")), host("example.org", 80));
        assert_eq!(GivenAddress::parse(OsStr::new("server_1")), host("server_1", 7891));
        assert_eq!(
            GivenAddress::parse(OsStr::from_bytes(b"unix:\xff")),
            Some(GivenAddress::Unix(vec![0xff]))
        );
    }

    #[test]
    fn other_forms_are_rejected() {
        for text in [
            "0",
            "65536",
            "+80",
            "h:",
            "h:x",
            "h:+1",
            "h:0",
            "a b:80",
            "a\r\nb:80",
            "[::1:80",
            "unix:",
            "[x]:80",
        ] {
            assert_eq!(GivenAddress::parse(OsStr::new(text)), None, "{text:?}");
        }
        assert_eq!(GivenAddress::parse(OsStr::from_bytes(b"\xff")), None);
    }
}
