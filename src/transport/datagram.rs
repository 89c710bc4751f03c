//! A UDP socket of mio's.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;

/// A non-blocking carrier of datagrams. `WouldBlock` promises an event when it can go on.
pub trait DatagramSocket {
    /// Receives the next datagram into `buffer`.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Sends an answer to where a datagram came from.
    fn reply(&mut self, bytes: &[u8], received: &Received) -> io::Result<()>;
}

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its bytes in the buffer.
    pub length: usize,
    /// Whether it had more of them.
    pub is_truncated: bool,
    /// Who has sent it.
    pub peer: SocketAddr,
    /// To whom.
    pub destination: Destination,
}

/// To whom a datagram was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To this address of ours. An answer has to come from there: a client takes none from elsewhere.
    Us(IpAddr),
    /// To everyone who listens: broadcast or multicast.
    Everyone,
    /// That cannot be told here.
    Unknown,
}

/// The system's UDP socket.
pub struct Udp {
    socket: UdpSocket,
    /// The memory of what recvmsg(2) tells besides.
    control: Vec<u8>,
}

impl Udp {
    /// Of a bound, non-blocking socket.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Udp> {
        let control = system::ask_for_destination(&socket)?;
        Ok(Udp { socket: UdpSocket::from_std(socket), control })
    }

    /// For registering it.
    pub fn source(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }
}

impl DatagramSocket for Udp {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        self.socket.try_io(|| system::recv(&self.socket, buffer, &mut self.control))
    }

    fn reply(&mut self, bytes: &[u8], received: &Received) -> io::Result<()> {
        self.socket.try_io(|| system::reply(&self.socket, bytes, received))
    }
}

/// Linux: recvmsg(2) and sendmsg(2) with IP_PKTINFO (ip(7)) or IPV6_PKTINFO (RFC 3542 section 6), so
/// that an answer leaves from the address that was asked, whichever of this machine's that is.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
mod system {
    use super::*;
    use std::io::{IoSlice, IoSliceMut};
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::os::fd::AsRawFd;

    use nix::cmsg_space;
    use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    };

    pub(super) fn ask_for_destination(socket: &std::net::UdpSocket) -> io::Result<Vec<u8>> {
        match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        Ok(cmsg_space!(in6_pktinfo))
    }

    pub(super) fn recv(socket: &UdpSocket, buffer: &mut [u8], control: &mut [u8]) -> io::Result<Received> {
        let mut pieces = [IoSliceMut::new(buffer)];
        let received =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, Some(control), MsgFlags::empty())?;
        let address = received.address.as_ref();
        let v4 = address.and_then(SockaddrStorage::as_sockaddr_in).map(|peer| SocketAddr::V4((*peer).into()));
        let v6 =
            address.and_then(SockaddrStorage::as_sockaddr_in6).map(|peer| SocketAddr::V6((*peer).into()));
        let peer = v4.or(v6).ok_or(io::ErrorKind::InvalidData)?;
        let destination = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(to_v4(&info)),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(to_v6(&info)),
            _ => None,
        });
        let is_truncated = received.flags.contains(MsgFlags::MSG_TRUNC);
        let destination = destination.unwrap_or(Destination::Unknown);
        Ok(Received { length: received.bytes, is_truncated, peer, destination })
    }

    /// Broadcast and multicast stand in the datagram's head as they are; the address from which to answer is
    /// another then.
    fn to_v4(info: &in_pktinfo) -> Destination {
        let address = |address: in_addr| Ipv4Addr::from(address.s_addr.to_ne_bytes());
        match address(info.ipi_spec_dst) {
            ours if ours == address(info.ipi_addr) => Destination::Us(ours.into()),
            _ => Destination::Everyone,
        }
    }

    /// IPv4 through a dual-stack socket comes as mapped addresses.
    fn to_v6(info: &in6_pktinfo) -> Destination {
        let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
        match address.to_ipv4_mapped() {
            Some(v4) if v4.is_multicast() || v4.is_broadcast() => Destination::Everyone,
            None if address.is_multicast() => Destination::Everyone,
            _ => Destination::Us(address.into()),
        }
    }

    pub(super) fn reply(socket: &UdpSocket, bytes: &[u8], received: &Received) -> io::Result<()> {
        let pieces = [IoSlice::new(bytes)];
        let peer = SockaddrStorage::from(received.peer);
        let send = |control: &[ControlMessage<'_>]| {
            sendmsg(socket.as_raw_fd(), &pieces, control, MsgFlags::empty(), Some(&peer))
        };
        // The index of the interface is left to the routes: 0.
        match received.destination {
            Destination::Us(IpAddr::V4(ours)) => {
                let source = in_addr { s_addr: u32::from_ne_bytes(ours.octets()) };
                let info =
                    in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: in_addr { s_addr: 0 } };
                send(&[ControlMessage::Ipv4PacketInfo(&info)])?
            }
            Destination::Us(IpAddr::V6(ours)) => {
                let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: ours.octets() }, ipi6_ifindex: 0 };
                send(&[ControlMessage::Ipv6PacketInfo(&info)])?
            }
            Destination::Everyone | Destination::Unknown => send(&[])?,
        };
        Ok(())
    }
}

/// Elsewhere: recvfrom and sendto. An answer leaves from the address that the routes prefer, and what was
/// sent to everyone cannot be told from the rest.
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
mod system {
    use super::*;

    pub(super) fn ask_for_destination(_socket: &std::net::UdpSocket) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    pub(super) fn recv(socket: &UdpSocket, buffer: &mut [u8], _control: &mut [u8]) -> io::Result<Received> {
        let (length, peer) = socket.recv_from(buffer)?;
        Ok(Received { length, is_truncated: false, peer, destination: Destination::Unknown })
    }

    pub(super) fn reply(socket: &UdpSocket, bytes: &[u8], received: &Received) -> io::Result<()> {
        socket.send_to(bytes, received.peer).map(drop)
    }
}
