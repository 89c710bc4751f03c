//! Binds the sockets to listen on, all of them non-blocking.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::limits::LISTEN_BACKLOG;

/// Binds a port on all interfaces, over IPv6 and IPv4.
pub(super) fn everywhere<S>(port: u16, bind: fn(SocketAddr, bool) -> io::Result<S>) -> io::Result<S> {
    bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), false).or_else(|error| {
        if has_ipv6(&error) { Err(error) } else { bind((Ipv4Addr::UNSPECIFIED, port).into(), true) }
    })
}

/// Binds a port on the loopback interface, over IPv4 and, if this machine has it, IPv6.
pub(super) fn localhost<S: AsFd>(
    port: u16,
    bind: fn(SocketAddr, bool) -> io::Result<S>,
) -> io::Result<Vec<S>> {
    // Port 0 takes a port that is free over IPv4, and may be in use over IPv6.
    let mut attempts = if port == 0 { FREE_PORT_ATTEMPTS } else { 1 };
    loop {
        let v4 = bind((Ipv4Addr::LOCALHOST, port).into(), true)?;
        let bound = SockRef::from(&v4).local_addr()?.as_socket().map_or(port, |address| address.port());
        attempts -= 1;
        match bind((Ipv6Addr::LOCALHOST, bound).into(), true) {
            Ok(v6) => return Ok(vec![v4, v6]),
            Err(error) if error.kind() == ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) if has_ipv6(&error) => return Err(error),
            Err(_) => return Ok(vec![v4]),
        }
    }
}

/// The number of free ports that are tried.
const FREE_PORT_ATTEMPTS: usize = 8;

/// Returns whether a bind over IPv6 failed for another reason than that this machine has no IPv6.
fn has_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

/// Binds a listening TCP socket.
pub(super) fn tcp(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = inet(address, only_v6, Type::STREAM, Protocol::TCP)?;
    // A restart does not have to wait for old connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it. Without it, a response could wait for the ACK of the previous one.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Binds a UDP socket.
pub(super) fn udp(address: SocketAddr, only_v6: bool) -> io::Result<UdpSocket> {
    let socket = inet(address, only_v6, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn inet(address: SocketAddr, only_v6: bool, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Binds a unix socket that the owner and the group may use. Replaces a stale one.
pub(super) fn unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let mask = umask(Mode::from_raw_mode(0o117));
    let bound = UnixListener::bind(path);
    umask(mask);
    let listener = bound?;
    listener.set_nonblocking(true)?;
    let file = SocketFile { path: path.to_owned(), inode: path.symlink_metadata()?.ino() };
    Ok((listener, file))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(file) if !file.file_type().is_socket() => {
            Err(io::Error::new(ErrorKind::AlreadyExists, "a file that is not a socket has this name"))
        }
        Ok(_) => match probe(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            // WouldBlock means a full backlog: another server is listening.
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Err(ErrorKind::AddrInUse.into()),
        },
        Err(_) => Ok(()),
    }
}

/// Checks without blocking whether a process listens on the socket.
fn probe(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// The path of a unix socket. It is removed on drop, unless another server has replaced the socket.
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok_and(|file| file.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
