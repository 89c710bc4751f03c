//! The composition root: opens the site, raises the limits, creates the event loop and binds the listeners.

mod bind;
mod listeners;
mod reach;
mod tls;

use std::fmt;
use std::io;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clock::Now;
use crate::config::Config;
use crate::event_loop::{Runner, Shutdown};
use crate::limits::{DESCRIPTORS_PER_FILE, Limits, RESERVED_DESCRIPTORS};
use crate::observe::{AccessLog, DatagramCounts, LineLog, LogFile, LogTarget};
use crate::services::{AckServices, AdminServices, AdminToken, LibrarySite, RateLimiter, Services};
use crate::site::{Rules, Site};
use crate::store::{Bounds, Descriptors, DiskStore, Library, Opened, Store};
use bind::SocketFile;

/// A server whose listeners are bound.
pub struct Server {
    runner: Runner,
    /// The paths of the unix sockets, which are removed together with the server.
    _socket_files: Vec<SocketFile>,
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
        let tls = &config.tls;
        let addresses = [&config.http, &config.ack, &config.ack_udp, &tls.https, &tls.file_tls];
        // The default listeners of the file protocol and of the admin interface do not make a server.
        if addresses.iter().all(|list| list.is_empty()) && (config.file.is_empty() || config.file_is_default)
        {
            return Err(StartError("no listener is configured; give --http an address".into()));
        }
        let limits = within_descriptors(config.limits.clone());
        let descriptors = Descriptors::new(limits.max_files);
        let site = DiskStore::new(&config.html).map_err(|error| {
            let folder = config.html.display();
            StartError(format!("cannot open the site {folder}: {error}; give --html a readable folder"))
        })?;
        let site = site.within(descriptors.clone());
        if config.rules.spa && !matches!(site.open(b"/index.html"), Ok(Opened::File(_))) {
            let folder = config.html.display();
            return Err(StartError(format!(
                "--spa serves index.html, but {folder} has none; create it, or remove --spa"
            )));
        }
        let library = library(config)?.within(descriptors);
        let mut services = Services::new(Box::new(site), config.rules.clone(), library, limits, Now::read());
        services.http.library = library_site(config, &services.core.library, services.core.limits.max_files);
        services.http.hosts = config.hosts.clone();
        services.http.access_log = access_log(config)?;
        services.admin = admin(config)?;
        services.http.https.hsts = config.tls.hsts.map(|time| format!("max-age={}", time.as_secs()));
        services.core.event_log = Some(events);
        services.ack =
            AckServices { reply: config.ack_reply.clone(), rate_limiter: RateLimiter::new(config.udp_rate) };
        let tls = tls::server(config, Now::read())?;
        let mut runner = Runner::new(services, tls.clone())
            .map_err(|error| StartError(format!("cannot set up the event loop: {error}")))?;
        if config.trace {
            let out = LogFile::of(&LogTarget::Stdout).map_err(|error| {
                StartError(format!(
                    "cannot write the trace to standard output: {error}; redirect it, or remove --trace"
                ))
            })?;
            runner.trace(Box::new(LineLog::new(out)));
        }
        let socket_files = listeners::listen(config, tls.as_ref(), &mut runner)?;
        if let Some(folder) = &config.files {
            log_unlisted(folder, &runner.services().core.library);
        }
        Ok(Server { runner, _socket_files: socket_files })
    }

    /// Serves until a signal ends the loop, then logs a summary.
    pub fn run(&mut self) -> io::Result<Shutdown> {
        let ended = self.runner.run();
        let statistics = &self.runner.services().statistics;
        log::info!("answered {} requests on {} connections", statistics.requests, statistics.accepted);
        let DatagramCounts { received, answered, truncated, unsent } = statistics.datagrams;
        if received > 0 {
            log::info!(
                "answered {answered} of {received} datagrams; {truncated} were truncated, {unsent} replies could not be sent"
            );
        }
        ended
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

/// Logs what is in the library's folder and not in the library: the user may miss it.
fn log_unlisted(folder: &Path, library: &Library) {
    let folder = folder.display();
    match library.unlisted() {
        Ok(unlisted) if unlisted.total() == 0 => {}
        Ok(unlisted) => log::info!(
            "the library shows only regular files with plain names; not shown in {folder}: {} ({unlisted})",
            unlisted.total()
        ),
        Err(error) => log::warn!("cannot read the library {folder}: {error}"),
    }
}

/// Builds the site that serves the library over HTTP, or `None` without `--files`.
fn library_site(config: &Config, library: &Library, descriptors: usize) -> Option<LibrarySite> {
    config.files.as_ref()?;
    let types = config.rules.types.clone();
    let rules = Rules { compress: config.rules.compress, types, ..Rules::of_uploads() };
    let site = Site::new(Box::new(library.files()), rules, Bounds::within(descriptors));
    Some(LibrarySite { site, allow_delete: config.allow_delete })
}

/// Builds the services of the admin interface, or `None` with `--admin off`.
fn admin(config: &Config) -> Result<Option<Box<AdminServices>>, StartError> {
    if config.admin.is_empty() {
        return Ok(None);
    }
    let token = AdminToken::new()
        .map_err(|error| StartError(format!("cannot get random numbers for the admin interface: {error}")))?;
    Ok(Some(Box::new(AdminServices::new(token, config.hosts.clone()))))
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

/// Raises RLIMIT_NOFILE to its hard limit, and sets the limits that depend on it.
fn within_descriptors(limits: Limits) -> Limits {
    let now = getrlimit(Resource::Nofile);
    let raise = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum: now.maximum });
    // Older macOS reports an infinite hard limit but enforces OPEN_MAX (10,240).
    if let Err(error) =
        raise(now.maximum).or_else(|_| raise(Some(now.maximum.unwrap_or(u64::MAX).min(10_240))))
    {
        log::warn!("cannot raise RLIMIT_NOFILE: {error}");
    }
    match getrlimit(Resource::Nofile).current {
        Some(descriptors) => share_descriptors(limits, usize::try_from(descriptors).unwrap_or(usize::MAX)),
        None => Limits { max_files: usize::MAX, ..limits },
    }
}

/// Shares `descriptors` out to connections and to files. A connection can always be accepted: its uploads and
/// large files take descriptors only from the share of the files.
fn share_descriptors(mut limits: Limits, descriptors: usize) -> Limits {
    // If the limit is very small, half of it is shared out, although the rest may then run short.
    let left = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(descriptors / 2).max(2);
    let most = left - (left / DESCRIPTORS_PER_FILE).max(1);
    if most < limits.max_connections {
        limits.max_connections = most;
        log::warn!(
            "RLIMIT_NOFILE is {descriptors}: at most {most} concurrent connections, and {} uploads and \
             large files; ulimit -n raises the limit",
            left - most
        );
    }
    limits.max_files = left - limits.max_connections;
    limits
}
