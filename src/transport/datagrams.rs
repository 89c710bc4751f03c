//! A UDP socket of mio's.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;

/// A non-blocking carrier of datagrams. `WouldBlock` promises an event when it can go on.
pub trait Datagrams {
    /// Receives the next datagram into `buffer`.
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Sends an answer to where a datagram came from.
    fn answer(&mut self, bytes: &[u8], received: &Received) -> io::Result<()>;
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
    /// To which of our addresses, where that can be told. An answer has to come from there: a client
    /// takes none from elsewhere.
    pub local: Option<IpAddr>,
}

/// The system's UDP socket.
pub struct Udp {
    socket: UdpSocket,
}

impl Udp {
    /// Of a bound, non-blocking socket.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Udp> {
        system::ask_for_local(&socket)?;
        Ok(Udp { socket: UdpSocket::from_std(socket) })
    }

    /// For registering it.
    pub fn source(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }
}

impl Datagrams for Udp {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        self.socket.try_io(|| system::recv(&self.socket, buffer))
    }

    fn answer(&mut self, bytes: &[u8], received: &Received) -> io::Result<()> {
        self.socket.try_io(|| system::answer(&self.socket, bytes, received))
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

    pub fn ask_for_local(socket: &std::net::UdpSocket) -> io::Result<()> {
        match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        Ok(())
    }

    pub fn recv(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
        let mut pieces = [IoSliceMut::new(buffer)];
        let mut control = cmsg_space!(in6_pktinfo);
        let received = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut pieces,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        let address = received.address.as_ref();
        let v4 = address.and_then(SockaddrStorage::as_sockaddr_in).map(|peer| SocketAddr::V4((*peer).into()));
        let v6 =
            address.and_then(SockaddrStorage::as_sockaddr_in6).map(|peer| SocketAddr::V6((*peer).into()));
        let peer = v4.or(v6).ok_or(io::ErrorKind::InvalidData)?;
        let local = received.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::from(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some(IpAddr::from(Ipv6Addr::from(info.ipi6_addr.s6_addr)))
            }
            _ => None,
        });
        let is_truncated = received.flags.contains(MsgFlags::MSG_TRUNC);
        Ok(Received { length: received.bytes, is_truncated, peer, local })
    }

    pub fn answer(socket: &UdpSocket, bytes: &[u8], received: &Received) -> io::Result<()> {
        let pieces = [IoSlice::new(bytes)];
        let peer = SockaddrStorage::from(received.peer);
        let send = |control: &[ControlMessage<'_>]| {
            sendmsg(socket.as_raw_fd(), &pieces, control, MsgFlags::empty(), Some(&peer))
        };
        // The index of the interface is left to the routes: 0.
        match received.local.filter(|local| !local.is_multicast()) {
            Some(IpAddr::V4(local)) => {
                let spec_dst = in_addr { s_addr: u32::from_ne_bytes(local.octets()) };
                let info =
                    in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: spec_dst, ipi_addr: in_addr { s_addr: 0 } };
                send(&[ControlMessage::Ipv4PacketInfo(&info)])?
            }
            Some(IpAddr::V6(local)) => {
                let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: local.octets() }, ipi6_ifindex: 0 };
                send(&[ControlMessage::Ipv6PacketInfo(&info)])?
            }
            None => send(&[])?,
        };
        Ok(())
    }
}

/// Elsewhere: recvfrom and sendto. An answer leaves from the address that the routes prefer, and a
/// datagram that fills the buffer counts as whole.
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
mod system {
    use super::*;

    pub fn ask_for_local(_socket: &std::net::UdpSocket) -> io::Result<()> {
        Ok(())
    }

    pub fn recv(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
        let (length, peer) = socket.recv_from(buffer)?;
        Ok(Received { length, is_truncated: false, peer, local: None })
    }

    pub fn answer(socket: &UdpSocket, bytes: &[u8], received: &Received) -> io::Result<()> {
        socket.send_to(bytes, received.peer).map(drop)
    }
}
