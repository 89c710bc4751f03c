//! The listeners of a server: all of them are bound before the log names the first, so a server that cannot start has
//! announced nothing.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;

use rustix::io::Errno;
use socket2::SockRef;

use super::StartError;
use super::bind::{self, SocketFile};
use super::reach::reachable;
use super::tls;
use crate::config::{Address, Config};
use crate::event_loop::Runner;
use crate::protocol::Kind;
use crate::transport::tls::{TlsAcceptor, TlsServer};

/// The listeners that were bound so far.
pub(super) struct Listeners<'a> {
    runner: &'a mut Runner,
    tls: Option<&'a Rc<TlsServer>>,
    socket_files: Vec<SocketFile>,
    /// What the log says about them, in order.
    lines: Vec<String>,
    /// The port of the first listener for HTTPS.
    https_port: Option<u16>,
}

/// What a listener serves.
#[derive(Clone, Copy)]
struct Service {
    option: &'static str,
    kind: Kind,
    /// The scheme of the address in the log.
    scheme: &'static str,
}

impl Service {
    /// Returns the name in the log.
    fn name(&self) -> &'static str {
        self.option.trim_start_matches("--")
    }

    fn is_encrypted(&self) -> bool {
        matches!(self.scheme, "https" | "tls")
    }

    fn url(&self, address: SocketAddr) -> String {
        let end = if self.kind.is_http() { "/" } else { "" };
        format!("{}://{address}{end}", self.scheme)
    }
}

/// Binds the addresses that `config` names, and logs them. Returns the files of the unix sockets.
pub(super) fn listen(
    config: &Config,
    tls: Option<&Rc<TlsServer>>,
    runner: &mut Runner,
) -> Result<Vec<SocketFile>, StartError> {
    let mut listeners =
        Listeners { runner, tls, socket_files: Vec::new(), lines: Vec::new(), https_port: None };
    listeners.bind(config)?;
    if config.tls.redirect {
        let port = listeners.https_port.ok_or_else(|| {
            StartError(
                "--redirect-https needs a port; give --https an address other than a unix socket".into(),
            )
        })?;
        listeners.runner.services_mut().http.https.redirect_port = Some(port);
    }
    listeners.lines.iter().for_each(|line| log::info!("{line}"));
    Ok(listeners.socket_files)
}

impl Listeners<'_> {
    fn bind(&mut self, config: &Config) -> Result<(), StartError> {
        let file = Kind::File(config.dialect);
        for (option, addresses, kind, scheme) in [
            ("--http", &config.http, Kind::Http, "http"),
            ("--https", &config.tls.https, Kind::Http, "https"),
            ("--file", &config.file, file, "tcp"),
            ("--file-tls", &config.tls.file_tls, file, "tls"),
            ("--ack", &config.ack, Kind::Ack, "tcp"),
            ("--ack-udp", &config.ack_udp, Kind::Ack, "udp"),
            ("--admin", &config.admin, Kind::Admin, "http"),
        ] {
            let service = Service { option, kind, scheme };
            for address in addresses {
                let bound = match option {
                    "--ack-udp" => self.listen_datagrams(address, service),
                    _ => self.listen(address, service),
                };
                let Err(cause) = bound else { continue };
                let error = cannot_listen(option, address, &cause);
                // The default listeners are optional, since the user asked only for the site.
                let missing = match option {
                    "--file" if config.file_is_default => "file protocol",
                    "--admin" if config.admin_is_default => "admin interface",
                    _ => return Err(error),
                };
                self.continue_without((missing, option), address, cause.kind(), &error);
            }
        }
        Ok(())
    }

    fn continue_without(
        &mut self,
        (missing, option): (&str, &str),
        address: &Address,
        cause: ErrorKind,
        error: &StartError,
    ) {
        if cause != ErrorKind::AddrInUse {
            return log::warn!("{error}; {option} off disables the {missing}");
        }
        self.lines.push(format!(
            "no {missing}: {address} is in use; {option} PORT gives it another port, {option} off disables it"
        ));
    }

    fn listen(&mut self, address: &Address, service: Service) -> io::Result<()> {
        let sockets = match address {
            Address::Inet(address) => vec![bind::tcp(*address, true)?],
            Address::Localhost(port) => bind::localhost(*port, bind::tcp)?,
            Address::Everywhere(port) => vec![bind::everywhere(*port, bind::tcp)?],
            Address::Unix(path) => return self.listen_unix(path, service),
        };
        let mut local = None;
        for socket in sockets {
            local = Some(self.listen_tcp(socket, service)?);
        }
        if let Some(address) =
            local.filter(|address| service.kind == Kind::Admin && !address.ip().is_loopback())
        {
            log::warn!(
                "every client that reaches {address} can see and close all connections; --admin PORT admits only this machine"
            );
        }
        let Some(address) = local.filter(|_| service.kind == Kind::Http) else { return Ok(()) };
        let (port, option) = (address.port(), service.option);
        if service.is_encrypted() {
            self.https_port.get_or_insert(port);
        }
        if address.ip().is_loopback() {
            self.lines
                .push(format!("only this machine can connect; {option} :{port} opens it to the network"));
        }
        Ok(())
    }

    fn listen_tcp(&mut self, socket: TcpListener, service: Service) -> io::Result<SocketAddr> {
        let address = socket.local_addr()?;
        if !service.kind.is_http() {
            // Accepted connections inherit it. Clients may be idle for an hour; keepalive detects those that
            // have vanished.
            SockRef::from(&socket).set_keepalive(true)?;
        }
        let only_v6 = is_only_v6(&SockRef::from(&socket), address)?;
        self.runner.listen_tcp(socket, service.kind, self.acceptor(service))?;
        self.announce(service, address, only_v6);
        Ok(address)
    }

    fn listen_unix(&mut self, path: &Path, service: Service) -> io::Result<()> {
        let (listener, file) = bind::unix(path)?;
        self.socket_files.push(file);
        self.runner.listen_unix(listener, service.kind, self.acceptor(service))?;
        self.lines.push(format!("listening {} unix:{}", service.name(), path.display()));
        Ok(())
    }

    fn listen_datagrams(&mut self, address: &Address, service: Service) -> io::Result<()> {
        let sockets = match address {
            Address::Inet(address) => vec![bind::udp(*address, true)?],
            Address::Localhost(port) => bind::localhost(*port, bind::udp)?,
            Address::Everywhere(port) => vec![bind::everywhere(*port, bind::udp)?],
            Address::Unix(_) => return Err(ErrorKind::Unsupported.into()),
        };
        for socket in sockets {
            let address = socket.local_addr()?;
            let only_v6 = is_only_v6(&SockRef::from(&socket), address)?;
            self.runner.listen_udp(socket, service.kind)?;
            self.announce(service, address, only_v6);
        }
        Ok(())
    }

    fn acceptor(&self, service: Service) -> Option<Rc<TlsAcceptor>> {
        let server = self.tls.filter(|_| service.is_encrypted())?;
        Some(tls::acceptor(server, service.kind))
    }

    /// Adds the line of a listener, which programs parse, and one with the addresses that people can open.
    fn announce(&mut self, service: Service, address: SocketAddr, only_v6: bool) {
        self.lines.push(format!("listening {} {}", service.name(), service.url(address)));
        let urls: Vec<String> =
            reachable(address, only_v6).into_iter().map(|address| service.url(address)).collect();
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
