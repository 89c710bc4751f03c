//! The listeners of a server: all of them are bound before the log names the first, so a server that cannot start has
//! announced nothing.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use rustix::io::Errno;
use socket2::SockRef;

use super::StartError;
use super::bind::{self, SocketFile};
use super::reach::reachable;
use crate::config::{Address, Config};
use crate::event_loop::Runner;
use crate::protocol::Kind;

/// The listeners that were bound so far.
pub(super) struct Listeners<'a> {
    runner: &'a mut Runner,
    socket_files: Vec<SocketFile>,
    /// What the log says about them, in order.
    lines: Vec<String>,
}

/// Binds the addresses that `config` names, and logs them. Returns the files of the unix sockets.
pub(super) fn listen(config: &Config, runner: &mut Runner) -> Result<Vec<SocketFile>, StartError> {
    let mut listeners = Listeners { runner, socket_files: Vec::new(), lines: Vec::new() };
    listeners.bind(config)?;
    listeners.lines.iter().for_each(|line| log::info!("{line}"));
    Ok(listeners.socket_files)
}

impl Listeners<'_> {
    fn bind(&mut self, config: &Config) -> Result<(), StartError> {
        for (option, addresses, kind) in [
            ("--http", &config.http, Kind::Http),
            ("--file", &config.file, Kind::File(config.dialect)),
            ("--ack", &config.ack, Kind::Ack),
            ("--ack-udp", &config.ack_udp, Kind::Ack),
        ] {
            for address in addresses {
                let bound = match option {
                    "--ack-udp" => self.listen_datagrams(address, kind),
                    _ => self.listen(address, kind),
                };
                let Err(cause) = bound else { continue };
                let error = cannot_listen(option, address, &cause);
                // The default listener of the file protocol is optional, since the user asked only for the site.
                if option != "--file" || !config.file_is_default {
                    return Err(error);
                }
                self.continue_without_file(address, cause.kind(), &error);
            }
        }
        Ok(())
    }

    fn continue_without_file(&mut self, address: &Address, cause: ErrorKind, error: &StartError) {
        if cause != ErrorKind::AddrInUse {
            return log::warn!("{error}; --file off disables the file protocol");
        }
        self.lines.push(format!(
            "no file protocol: {address} is in use; --file PORT gives it another port, --file off disables it"
        ));
    }

    fn listen(&mut self, address: &Address, kind: Kind) -> io::Result<()> {
        let sockets = match address {
            Address::Inet(address) => vec![bind::tcp(*address, true)?],
            Address::Localhost(port) => bind::localhost(*port, bind::tcp)?,
            Address::Everywhere(port) => vec![bind::everywhere(*port, bind::tcp)?],
            Address::Unix(path) => return self.listen_unix(path, kind),
        };
        let mut local = None;
        for socket in sockets {
            local = Some(self.listen_tcp(socket, kind)?);
        }
        if let Some(address) = local.filter(|address| kind == Kind::Http && address.ip().is_loopback()) {
            let port = address.port();
            self.lines.push(format!("only this machine can connect; --http :{port} opens it to the network"));
        }
        Ok(())
    }

    fn listen_tcp(&mut self, socket: TcpListener, kind: Kind) -> io::Result<SocketAddr> {
        let address = socket.local_addr()?;
        if matches!(kind, Kind::File(_) | Kind::Ack) {
            // Accepted connections inherit it. Clients may be idle for an hour; keepalive detects those that
            // have vanished.
            SockRef::from(&socket).set_keepalive(true)?;
        }
        let only_v6 = is_only_v6(&SockRef::from(&socket), address)?;
        self.runner.listen_tcp(socket, kind)?;
        let url = match kind {
            Kind::Http => |address| format!("http://{address}/"),
            Kind::File(_) | Kind::Ack => |address| format!("tcp://{address}"),
        };
        self.announce(&kind.to_string(), address, only_v6, url);
        Ok(address)
    }

    fn listen_unix(&mut self, path: &Path, kind: Kind) -> io::Result<()> {
        let (listener, file) = bind::unix(path)?;
        self.socket_files.push(file);
        self.runner.listen_unix(listener, kind)?;
        self.lines.push(format!("listening {kind} unix:{}", path.display()));
        Ok(())
    }

    fn listen_datagrams(&mut self, address: &Address, kind: Kind) -> io::Result<()> {
        let sockets = match address {
            Address::Inet(address) => vec![bind::udp(*address, true)?],
            Address::Localhost(port) => bind::localhost(*port, bind::udp)?,
            Address::Everywhere(port) => vec![bind::everywhere(*port, bind::udp)?],
            Address::Unix(_) => return Err(ErrorKind::Unsupported.into()),
        };
        for socket in sockets {
            let address = socket.local_addr()?;
            let only_v6 = is_only_v6(&SockRef::from(&socket), address)?;
            self.runner.listen_udp(socket, kind)?;
            self.announce(&format!("{kind}-udp"), address, only_v6, |address| format!("udp://{address}"));
        }
        Ok(())
    }

    /// Adds the line of a listener, which programs parse, and one with the addresses that people can open.
    fn announce(&mut self, name: &str, address: SocketAddr, only_v6: bool, url: fn(SocketAddr) -> String) {
        self.lines.push(format!("listening {name} {}", url(address)));
        let urls: Vec<String> = reachable(address, only_v6).into_iter().map(url).collect();
        if !urls.is_empty() {
            self.lines.push(format!("reachable at {}", urls.join(" ")));
        }
    }
}

fn is_only_v6(socket: &SockRef<'_>, address: SocketAddr) -> io::Result<bool> {
    if address.is_ipv6() { socket.only_v6() } else { Ok(false) }
}

fn cannot_listen(option: &str, address: &Address, error: &io::Error) -> StartError {
    let (what, todo) = match error.kind() {
        ErrorKind::AddrInUse => (
            "the address is in use".to_owned(),
            format!("stop the other server, or choose another address with {option}"),
        ),
        _ if Errno::from_io_error(error) == Some(Errno::MFILE) => {
            (error.to_string(), "raise the file descriptor limit (ulimit -n)".to_owned())
        }
        ErrorKind::PermissionDenied => (
            error.to_string(),
            "ports below 1024 need CAP_NET_BIND_SERVICE; a unix socket needs a writable folder".to_owned(),
        ),
        _ => (error.to_string(), format!("choose another address with {option}")),
    };
    StartError(format!("cannot listen on {address}: {what}; {todo}"))
}
