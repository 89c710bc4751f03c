//! Sockets to listen on, bound and non-blocking.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::limits::LISTEN_BACKLOG;

/// Binds a port of every interface, IPv6 and IPv4.
pub(super) fn everywhere<S>(port: u16, bind: fn(SocketAddr, bool) -> io::Result<S>) -> io::Result<S> {
    bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), false).or_else(|error| match error.kind() {
        ErrorKind::AddrInUse | ErrorKind::PermissionDenied => Err(error),
        // No IPv6 on this machine.
        _ => bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), true),
    })
}

/// Binds a TCP socket that listens.
pub(super) fn tcp(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = inet(address, only_v6, Type::STREAM, Protocol::TCP)?;
    // So that a restart need not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Connections inherit it: no answer waits for the acknowledgement of the one before.
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

/// Binds a unix socket for the owner and the group. A stale one is replaced.
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
            Err(io::Error::new(ErrorKind::AlreadyExists, "something that is no socket has this name"))
        }
        Ok(_) => match probe(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            // A full backlog is somebody's.
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Err(ErrorKind::AddrInUse.into()),
        },
        Err(_) => Ok(()),
    }
}

/// Tries whether somebody listens, without waiting for it.
fn probe(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// A unix socket's name, which is removed in the end, unless another server has taken it over.
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
