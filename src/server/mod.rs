//! The composition root: opens the site, raises the limits, binds the listeners, builds the loop.

mod bind;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::TcpListener;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use crate::clock::Now;
use crate::config::{Address, Config};
use crate::event_loop::{Ended, Runner};
use crate::limits::{Limits, RESERVED_DESCRIPTORS};
use crate::observe::{AccessLog, DatagramCounts, LineLog, LogFile};
use crate::protocol::Kind;
use crate::services::{AckServices, LibrarySite, RateLimiter, Services};
use crate::site::{Rules, Site};
use crate::store::{Bounds, DiskStore, Library, Opened, Store};
use bind::SocketFile;

/// A server whose listeners are bound.
pub struct Server {
    runner: Runner,
    /// Unix sockets, which disappear with the server.
    socket_files: Vec<SocketFile>,
}

/// Why a server could not start: one line that names what and says what to do.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Opens and binds all that `config` names.
    pub fn start(config: &Config, events: LineLog) -> Result<Server, StartError> {
        let asked_for = [&config.http, &config.ack, &config.ack_udp];
        if asked_for.iter().all(|addresses| addresses.is_empty())
            && (config.file.is_empty() || config.file_is_default)
        {
            return Err(StartError("there is nothing to listen on; give --http an address".into()));
        }
        let site = DiskStore::new(&config.html).map_err(|error| {
            let folder = config.html.display();
            StartError(format!(
                "cannot open the site {folder}: {error}; give --html a folder that can be read"
            ))
        })?;
        let limits = within_descriptors(config.limits.clone());
        if config.rules.spa && !matches!(site.open(b"/index.html"), Ok(Opened::File(_))) {
            let folder = config.html.display();
            return Err(StartError(format!(
                "--spa answers with index.html, which is not in {folder}; make one, or leave --spa out"
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
            let out = LogFile::stdout()
                .map_err(|error| StartError(format!("cannot print the trace: {error}; leave --trace out")))?;
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
                // The site is what was asked for.
                Err(error) if config.file_is_default => log::warn!("{error}, or --file off"),
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

    /// Serves until a signal ends it.
    pub fn run(&mut self) -> io::Result<Ended> {
        let ended = self.runner.run();
        let statistics = &self.runner.services().core.statistics;
        log::info!("answered {} requests on {} connections", statistics.requests, statistics.accepted);
        let DatagramCounts { received, answered, truncated, unsent } = statistics.datagrams;
        if received > 0 {
            log::info!(
                "answered {answered} of {received} datagrams; {truncated} were truncated, {unsent} answers could not be sent"
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
            // Connections inherit it: a client may sit at its prompt for an hour, and be gone.
            SockRef::from(&socket).set_keepalive(true)?;
        }
        self.runner.listen_tcp(socket, kind)?;
        match kind {
            Kind::Http => log::info!("listening {kind} http://{address}/"),
            Kind::File(_) | Kind::Ack => log::info!("listening {kind} tcp://{address}"),
        }
        if kind == Kind::Http && address.ip().is_loopback() {
            log::info!(
                "only this machine can connect to it; --http :{} opens it to the network",
                address.port()
            );
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

/// Opens the library. Without a folder of its own it is the site, which is only read.
fn library(config: &Config) -> Result<Library, StartError> {
    let folder = config.files.as_ref().unwrap_or(&config.html);
    Library::open(folder, config.library.clone()).map_err(|error| {
        let folder = folder.display();
        StartError(format!(
            "cannot open the library {folder}: {error}; give --files a folder that can be read"
        ))
    })
}

/// The library over HTTP, if it is not the site.
fn library_site(config: &Config, library: &Library, descriptors: usize) -> Option<LibrarySite> {
    config.files.as_ref()?;
    let types = config.rules.types.clone();
    let rules = Rules { compress: config.rules.compress, types, ..Rules::of_uploads() };
    let site = Site::new(Box::new(library.files()), rules, Bounds::within(descriptors));
    Some(LibrarySite { site, allow_delete: config.allow_delete, hosts: config.hosts.clone() })
}

fn access_log(config: &Config) -> Result<Option<AccessLog>, StartError> {
    let Some((path, format)) = &config.access_log else { return Ok(None) };
    match LogFile::append_to(path) {
        Ok(file) => Ok(Some(AccessLog::new(file, *format))),
        Err(error) => {
            let path = path.display();
            Err(StartError(format!(
                "cannot open the access log {path}: {error}; give --access-log another path"
            )))
        }
    }
}

/// Raises RLIMIT_NOFILE to its hard limit and cuts the connections to what it leaves for them.
fn within_descriptors(mut limits: Limits) -> Limits {
    let now = getrlimit(Resource::Nofile);
    let raise = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum: now.maximum });
    // Older macOS has a limit of its own (OPEN_MAX) behind an infinite one.
    if let Err(error) =
        raise(now.maximum).or_else(|_| raise(Some(now.maximum.unwrap_or(u64::MAX).min(10_240))))
    {
        log::warn!("cannot raise RLIMIT_NOFILE: {error}");
    }
    let Some(descriptors) = getrlimit(Resource::Nofile).current else { return limits };
    // Of a very small limit the connections get half, whatever else runs short then.
    let left = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(descriptors / 2).max(1);
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    if left < limits.max_connections {
        log::warn!(
            "RLIMIT_NOFILE is {descriptors}: at most {left} connections at once (ulimit -n raises it)"
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
            "it is in use".to_owned(),
            format!("stop the other server, or choose another address with {option}"),
        ),
        _ if Errno::from_io_error(error) == Some(Errno::MFILE) => {
            (error.to_string(), "raise the limit of descriptors (ulimit -n)".to_owned())
        }
        ErrorKind::PermissionDenied => (
            error.to_string(),
            "ports below 1024 need CAP_NET_BIND_SERVICE, a unix socket a folder you may write to".to_owned(),
        ),
        _ => (error.to_string(), format!("choose another address with {option}")),
    };
    StartError(format!("cannot listen on {name}: {what}; {todo}"))
}
