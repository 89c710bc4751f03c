//! The composition root: opens the site, raises the limits, creates the event loop and binds the listeners.

mod bind;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::TcpListener;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use crate::clock::Now;
use crate::config::{Address, Config};
use crate::event_loop::{Runner, Shutdown};
use crate::limits::{Limits, RESERVED_DESCRIPTORS};
use crate::observe::{AccessLog, DatagramCounts, LineLog, LogFile, LogTarget};
use crate::protocol::Kind;
use crate::services::{AckServices, LibrarySite, RateLimiter, Services};
use crate::site::{Rules, Site};
use crate::store::{Bounds, DiskStore, Library, Opened, Store};
use bind::SocketFile;

/// A server whose listeners are bound.
pub struct Server {
    runner: Runner,
    /// The paths of the unix sockets, which are removed together with the server.
    socket_files: Vec<SocketFile>,
}

/// Why a server could not start: one line that names the problem and says what to do.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Opens the files and binds the addresses that `config` names. `events` is the log of events.
    pub fn start(config: &Config, events: LineLog) -> Result<Server, StartError> {
        let addresses = [&config.http, &config.ack, &config.ack_udp];
        if addresses.iter().all(|list| list.is_empty()) && (config.file.is_empty() || config.file_is_default)
        {
            return Err(StartError("no listener is configured; give --http an address".into()));
        }
        let site = DiskStore::new(&config.html).map_err(|error| {
            let folder = config.html.display();
            StartError(format!("cannot open the site {folder}: {error}; give --html a readable folder"))
        })?;
        let limits = within_descriptors(config.limits.clone());
        if config.rules.spa && !matches!(site.open(b"/index.html"), Ok(Opened::File(_))) {
            let folder = config.html.display();
            return Err(StartError(format!(
                "--spa serves index.html, but {folder} has none; create it, or remove --spa"
            )));
        }
        let mut services =
            Services::new(Box::new(site), config.rules.clone(), library(config)?, limits, Now::read());
        services.http.library =
            library_site(config, &services.core.library, services.core.limits.max_connections);
        services.http.access_log = access_log(config)?;
        services.core.event_log = Some(events);
        services.ack =
            AckServices { reply: config.ack_reply.clone(), rate_limiter: RateLimiter::new(config.udp_rate) };
        let mut runner = Runner::new(services)
            .map_err(|error| StartError(format!("cannot set up the event loop: {error}")))?;
        if config.trace {
            let out = LogFile::of(&LogTarget::Stdout).map_err(|error| {
                StartError(format!(
                    "cannot write the trace to standard output: {error}; redirect it, or remove --trace"
                ))
            })?;
            runner.trace(Box::new(LineLog::new(out)));
        }
        let mut server = Server { runner, socket_files: Vec::new() };
        server.listen_to(config)?;
        Ok(server)
    }

    fn listen_to(&mut self, config: &Config) -> Result<(), StartError> {
        for address in &config.http {
            self.listen(address, Kind::Http).map_err(|error| cannot_listen("--http", address, &error))?;
        }
        for address in &config.file {
            match self
                .listen(address, Kind::File(config.dialect))
                .map_err(|error| cannot_listen("--file", address, &error))
            {
                // The default listener of the file protocol is optional, since the user asked only for the
                // site.
                Err(error) if config.file_is_default => {
                    log::warn!("{error}; --file off disables the file protocol")
                }
                listening => listening?,
            }
        }
        for address in &config.ack {
            self.listen(address, Kind::Ack).map_err(|error| cannot_listen("--ack", address, &error))?;
        }
        for address in &config.ack_udp {
            self.listen_datagrams(address, Kind::Ack)
                .map_err(|error| cannot_listen("--ack-udp", address, &error))?;
        }
        Ok(())
    }

    /// Serves until a signal ends the loop, then logs a summary.
    pub fn run(&mut self) -> io::Result<Shutdown> {
        let ended = self.runner.run();
        let statistics = &self.runner.services().core.statistics;
        log::info!("answered {} requests on {} connections", statistics.requests, statistics.accepted);
        let DatagramCounts { received, answered, truncated, unsent } = statistics.datagrams;
        if received > 0 {
            log::info!(
                "answered {answered} of {received} datagrams; {truncated} were truncated, {unsent} replies could not be sent"
            );
        }
        ended
    }

    fn listen(&mut self, address: &Address, kind: Kind) -> io::Result<()> {
        match address {
            Address::Inet(address) => self.listen_tcp(bind::tcp(*address, true)?, kind),
            Address::Everywhere(port) => self.listen_tcp(bind::everywhere(*port, bind::tcp)?, kind),
            Address::Unix(path) => {
                let (listener, file) = bind::unix(path)?;
                self.socket_files.push(file);
                self.runner.listen_unix(listener, kind)?;
                log::info!("listening {kind} unix:{}", path.display());
                Ok(())
            }
        }
    }

    fn listen_tcp(&mut self, socket: TcpListener, kind: Kind) -> io::Result<()> {
        let address = socket.local_addr()?;
        if matches!(kind, Kind::File(_) | Kind::Ack) {
            // Accepted connections inherit it. Clients may be idle for an hour; keepalive detects those that
            // have vanished.
            SockRef::from(&socket).set_keepalive(true)?;
        }
        self.runner.listen_tcp(socket, kind)?;
        match kind {
            Kind::Http => log::info!("listening {kind} http://{address}/"),
            Kind::File(_) | Kind::Ack => log::info!("listening {kind} tcp://{address}"),
        }
        if kind == Kind::Http && address.ip().is_loopback() {
            log::info!("only this machine can connect; --http :{} opens it to the network", address.port());
        }
        Ok(())
    }

    fn listen_datagrams(&mut self, address: &Address, kind: Kind) -> io::Result<()> {
        let socket = match address {
            Address::Inet(address) => bind::udp(*address, true)?,
            Address::Everywhere(port) => bind::everywhere(*port, bind::udp)?,
            Address::Unix(_) => return Err(ErrorKind::Unsupported.into()),
        };
        let address = socket.local_addr()?;
        self.runner.listen_udp(socket, kind)?;
        log::info!("listening {kind}-udp udp://{address}");
        Ok(())
    }
}

/// Opens the library. Without `--files` it is the site's folder, read-only.
fn library(config: &Config) -> Result<Library, StartError> {
    let folder = config.files.as_ref().unwrap_or(&config.html);
    Library::open(folder, config.library.clone()).map_err(|error| {
        let folder = folder.display();
        StartError(format!("cannot open the library {folder}: {error}; give --files a readable folder"))
    })
}

/// Builds the site that serves the library over HTTP, or `None` without `--files`.
fn library_site(config: &Config, library: &Library, descriptors: usize) -> Option<LibrarySite> {
    config.files.as_ref()?;
    let types = config.rules.types.clone();
    let rules = Rules { compress: config.rules.compress, types, ..Rules::of_uploads() };
    let site = Site::new(Box::new(library.files()), rules, Bounds::within(descriptors));
    Some(LibrarySite { site, allow_delete: config.allow_delete, hosts: config.hosts.clone() })
}

fn access_log(config: &Config) -> Result<Option<AccessLog>, StartError> {
    let Some((target, format)) = &config.access_log else { return Ok(None) };
    match LogFile::of(target) {
        Ok(file) => Ok(Some(AccessLog::new(file, *format))),
        Err(error) => Err(StartError(format!(
            "cannot open the access log {target}: {error}; give --access-log another path"
        ))),
    }
}

/// Raises RLIMIT_NOFILE to its hard limit, and lowers `max_connections` to fit.
fn within_descriptors(mut limits: Limits) -> Limits {
    let now = getrlimit(Resource::Nofile);
    let raise = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum: now.maximum });
    // Older macOS reports an infinite hard limit but enforces OPEN_MAX (10,240).
    if let Err(error) =
        raise(now.maximum).or_else(|_| raise(Some(now.maximum.unwrap_or(u64::MAX).min(10_240))))
    {
        log::warn!("cannot raise RLIMIT_NOFILE: {error}");
    }
    let Some(descriptors) = getrlimit(Resource::Nofile).current else { return limits };
    // If the limit is very small, connections get half of it, although the rest may then run short.
    let left = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(descriptors / 2).max(1);
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    if left < limits.max_connections {
        log::warn!(
            "RLIMIT_NOFILE is {descriptors}: at most {left} concurrent connections; ulimit -n raises the limit"
        );
        limits.max_connections = left;
    }
    limits
}

fn cannot_listen(option: &str, address: &Address, error: &io::Error) -> StartError {
    let name = match address {
        Address::Inet(address) => address.to_string(),
        Address::Everywhere(port) => format!(":{port}"),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
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
    StartError(format!("cannot listen on {name}: {what}; {todo}"))
}
