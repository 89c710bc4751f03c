//! UDP sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;

/// A non-blocking datagram socket. After `WouldBlock`, an event reports when the call can be repeated.
pub trait DatagramSocket {
    /// Receives the next datagram into `buffer`.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Sends a reply to the sender of a received datagram.
    fn reply(&mut self, bytes: &[u8], received: &Received) -> io::Result<()>;
}

/// A received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The number of its bytes in the buffer.
    pub length: usize,
    /// Whether the datagram was longer than the buffer.
    pub is_truncated: bool,
    /// The address of the sender.
    pub peer: SocketAddr,
    /// The address that the datagram was sent to.
    pub destination: Destination,
}

/// The destination of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// One of this machine's addresses. The reply must come from it, because clients accept none from
    /// elsewhere.
    Us(IpAddr),
    /// A broadcast or multicast address.
    Everyone,
    /// Unknown, because the system does not report it.
    Unknown,
}

/// A UDP socket of the operating system.
pub struct Udp {
    socket: UdpSocket,
    /// The buffer for the control messages of recvmsg(2).
    control: Vec<u8>,
}

impl Udp {
    /// Wraps a bound, non-blocking socket.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Udp> {
        let control = system::ask_for_destination(&socket)?;
        Ok(Udp { socket: UdpSocket::from_std(socket), control })
    }

    /// Returns the socket, to register it with a poll.
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

/// Linux: recvmsg(2) and sendmsg(2) with IP_PKTINFO (ip(7)) or IPV6_PKTINFO (RFC 3542 section 6), so that a
/// reply leaves from the address that the datagram was sent to.
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

    /// For a broadcast or multicast datagram, the address in its header (`ipi_addr`) differs from the local
    /// address to reply from (`ipi_spec_dst`).
    fn to_v4(info: &in_pktinfo) -> Destination {
        let address = |address: in_addr| Ipv4Addr::from(address.s_addr.to_ne_bytes());
        match address(info.ipi_spec_dst) {
            ours if ours == address(info.ipi_addr) => Destination::Us(ours.into()),
            _ => Destination::Everyone,
        }
    }

    /// On a dual-stack socket, IPv4 datagrams have mapped addresses.
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
        // With interface index 0, the routing table chooses the interface.
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

/// Elsewhere: recvfrom and sendto. The routing table chooses the address that a reply leaves from, and
/// broadcasts cannot be distinguished from other datagrams.
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
