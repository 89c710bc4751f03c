//! The server's address.

use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use super::failure::Failure;

/// A host and a port, not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(String);

const DEFAULT_PORT: u16 = 8888;

/// The timeout of a connect, for each address of a host name.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout of each read and write.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The timeout of the reply to a datagram.
const DATAGRAM_TIMEOUT: Duration = Duration::from_secs(5);

impl Address {
    /// Parses `HOST:PORT`, `HOST`, or `PORT` (on this machine).
    pub(crate) fn parse(text: &str) -> Option<Address> {
        let port = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0);
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return port(text).map(|port| Address(format!("127.0.0.1:{port}")));
        }
        if text.ends_with(']') || !text.contains(':') {
            return Some(Address(format!("{text}:{DEFAULT_PORT}")));
        }
        let (host, number) = text.rsplit_once(':')?;
        let is_whole = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
        (is_whole && port(number).is_some()).then(|| Address(text.to_owned()))
    }

    /// Connects to the first address of the host that accepts.
    pub(crate) fn connect(&self) -> Result<TcpStream, Failure> {
        let failure = |error| Failure::Connection(format!("cannot connect to {}: {error}", self.0));
        let mut last = None;
        for address in self.0.to_socket_addrs().map_err(failure)? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(TIMEOUT)).map_err(failure)?;
                    stream.set_write_timeout(Some(TIMEOUT)).map_err(failure)?;
                    stream.set_nodelay(true).map_err(failure)?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(Failure::Connection(format!("{} has no address", self.0)), failure))
    }

    /// Returns a UDP socket connected to the server.
    pub(crate) fn datagrams(&self) -> Result<UdpSocket, Failure> {
        let failure = |error| Failure::Connection(format!("cannot send to {}: {error}", self.0));
        let address = self.0.to_socket_addrs().map_err(failure)?.next();
        let address = address.ok_or_else(|| Failure::Connection(format!("{} has no address", self.0)))?;
        let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(own).map_err(failure)?;
        socket.connect(address).map_err(failure)?;
        socket.set_read_timeout(Some(DATAGRAM_TIMEOUT)).map_err(failure)?;
        Ok(socket)
    }
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
        ] {
            assert_eq!(Address::parse(text).map(|address| address.0).as_deref(), address, "{text}");
        }
    }
}
