//! The server's address.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use evserve::transport::tls::TlsClient;

use super::failure::Failure;
use super::stream::Stream;

/// An address as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host and a port, not resolved yet.
    Host(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

const DEFAULT_PORT: u16 = 8888;

/// The timeout of a connect, for each address of a host name.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout of the reply to a datagram.
const DATAGRAM_TIMEOUT: Duration = Duration::from_secs(5);

impl Address {
    /// Parses `HOST:PORT`, `HOST`, `PORT` (on this machine), or `unix:PATH`.
    pub(crate) fn parse(text: &OsStr) -> Option<Address> {
        if let Some(path) = text.as_bytes().strip_prefix(b"unix:") {
            return (!path.is_empty()).then(|| Address::Unix(OsStr::from_bytes(path).into()));
        }
        let text = text.to_str().filter(|text| !text.is_empty())?;
        let port = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0);
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return port(text).map(|port| Address::Host(format!("127.0.0.1:{port}")));
        }
        if text.ends_with(']') || !text.contains(':') {
            return Some(Address::Host(format!("{text}:{DEFAULT_PORT}")));
        }
        let (host, number) = text.rsplit_once(':')?;
        let is_whole = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
        (is_whole && port(number).is_some()).then(|| Address::Host(text.to_owned()))
    }

    /// Connects to the Unix socket, or to the first address of the host that accepts.
    pub(crate) fn connect(&self, tls: Option<&TlsClient>) -> Result<Stream, Failure> {
        let begin = |connected: OwnedFd| match tls {
            None => Stream::new(connected),
            Some(client) => Stream::secure(connected, client, self.server_name()),
        };
        let stream = match self {
            Address::Unix(path) => UnixStream::connect(path).and_then(|stream| begin(stream.into())),
            Address::Host(host) => connect(host).and_then(|stream| begin(stream.into())),
        };
        stream.map_err(|error| Failure::Connection(format!("cannot connect to {self}: {error}")))
    }

    /// Returns the name that the certificate of the server has to have: the host without port, brackets and zone.
    fn server_name(&self) -> &str {
        let Address::Host(address) = self else { return "localhost" };
        let host = address.rsplit_once(':').map_or(&**address, |(host, _)| host);
        match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.split('%').next().unwrap_or(v6),
            None => host,
        }
    }

    /// Returns a UDP socket connected to the server.
    pub(crate) fn datagrams(&self) -> Result<UdpSocket, Failure> {
        let socket = match self {
            Address::Unix(_) => Err(io::Error::other("datagrams need HOST:PORT")),
            Address::Host(host) => datagrams(host),
        };
        socket.map_err(|error| Failure::Connection(format!("cannot send to {self}: {error}")))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Host(host) => f.write_str(host),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn no_address() -> io::Error {
    io::Error::other("the name has no address")
}

fn connect(host: &str) -> io::Result<TcpStream> {
    let mut last = no_address();
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return stream.set_nodelay(true).map(|()| stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn datagrams(host: &str) -> io::Result<UdpSocket> {
    let address = host.to_socket_addrs()?.next().ok_or_else(no_address)?;
    let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(DATAGRAM_TIMEOUT))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_parsed_with_defaults() {
        for (text, address) in [
            ("8888", Some("127.0.0.1:8888")),
            ("host", Some("host:8888")),
            ("host:1", Some("host:1")),
            ("[::1]", Some("[::1]:8888")),
            ("[::1]:70", Some("[::1]:70")),
            ("::1", None),
            ("host:", None),
            ("host:0", None),
            ("host:x", None),
            (":1", None),
            ("0", None),
            ("99999", None),
            ("", None),
            ("unix:/run/x y", Some("unix:/run/x y")),
            ("unix:", None),
        ] {
            let parsed = Address::parse(text.as_ref()).map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), address, "{text}");
        }
    }

    #[test]
    fn certificates_are_for_the_host_alone() {
        for (text, name) in [
            ("8888", "127.0.0.1"),
            ("files.lan", "files.lan"),
            ("files.lan:1", "files.lan"),
            ("[::1]", "::1"),
            ("[fe80::1%eth0]:70", "fe80::1"),
            ("unix:/run/x", "localhost"),
        ] {
            let parsed = Address::parse(text.as_ref());
            assert_eq!(parsed.as_ref().map(Address::server_name), Some(name), "{text}");
        }
    }
}
