//! Runs the event loop on the operating system's poll, clock and signals.

use std::io::{self, ErrorKind, Write};
use std::net;
use std::os::unix;
use std::rc::Rc;

use mio::{Events, Interest, Poll};
use signal_hook_mio::v1_0::Signals;

use super::EventLoop;
use super::event::{Readiness, Token};
use super::network::{ListeningSocket, SystemListener, SystemNetwork};
use crate::clock::{Instant, Now, SystemClock};
use crate::protocol::Kind;
use crate::services::Services;
use crate::transport::Udp;
use crate::transport::tls::{TlsAcceptor, TlsServer};

const SIGINT: i32 = rustix::process::Signal::INT.as_raw();
const SIGHUP: i32 = rustix::process::Signal::HUP.as_raw();
const SIGTERM: i32 = rustix::process::Signal::TERM.as_raw();
const SIGXFSZ: i32 = rustix::process::Signal::XFSZ.as_raw();

/// The number of events taken from one poll. The next poll returns the rest.
const EVENTS_MAX: usize = 1024;

/// An event loop on the system's network, clock and signals.
pub struct Runner {
    poll: Poll,
    signals: Signals,
    event_loop: EventLoop<SystemNetwork>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// All connections have closed, or the drain timeout has expired.
    Drained,
    /// A second signal, with this number, ended the run at once.
    Forced(i32),
}

impl Runner {
    /// Creates a loop with `services`. From then on the loop handles SIGTERM, SIGINT and SIGHUP.
    pub fn new(services: Services, tls: Option<Rc<TlsServer>>) -> io::Result<Runner> {
        let poll = Poll::new()?;
        // SIGXFSZ is caught so that a write beyond RLIMIT_FSIZE fails instead of ending the program.
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGXFSZ])?;
        poll.registry().register(&mut signals, Token::SIGNALS.into(), Interest::READABLE)?;
        let network = SystemNetwork::new(poll.registry().try_clone()?, tls)?;
        Ok(Runner { poll, signals, event_loop: EventLoop::new(network, services) })
    }

    /// Accepts connections from a bound, non-blocking TCP socket.
    pub fn listen_tcp(
        &mut self,
        socket: net::TcpListener,
        kind: Kind,
        tls: Option<Rc<TlsAcceptor>>,
    ) -> io::Result<()> {
        let socket = ListeningSocket::Tcp(mio::net::TcpListener::from_std(socket));
        self.event_loop.listen(SystemListener { socket, tls }, kind)
    }

    /// Accepts connections from a bound, non-blocking unix socket.
    pub fn listen_unix(
        &mut self,
        socket: unix::net::UnixListener,
        kind: Kind,
        tls: Option<Rc<TlsAcceptor>>,
    ) -> io::Result<()> {
        let socket = ListeningSocket::Unix(mio::net::UnixListener::from_std(socket));
        self.event_loop.listen(SystemListener { socket, tls }, kind)
    }

    /// Replies to datagrams on a bound, non-blocking UDP socket.
    pub fn listen_udp(&mut self, socket: net::UdpSocket, kind: Kind) -> io::Result<()> {
        let port = socket.local_addr()?.port();
        self.event_loop.listen_datagrams(Udp::new(socket)?, port, kind)
    }

    /// Starts to write a trace of every turn to `out`.
    pub fn trace(&mut self, out: Box<dyn Write>) {
        self.event_loop.trace(out);
    }

    /// Returns the services, which hold the statistics.
    pub fn services(&self) -> &Services {
        self.event_loop.services()
    }

    /// Returns the services, which protocols share.
    pub fn services_mut(&mut self) -> &mut Services {
        self.event_loop.services_mut()
    }

    /// Runs turns until a signal ends the loop.
    pub fn run(&mut self) -> io::Result<Shutdown> {
        let ended = self.run_turns();
        self.event_loop.end_access_log();
        ended
    }

    fn run_turns(&mut self) -> io::Result<Shutdown> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut clock = SystemClock::default();
        let mut timeout = self.event_loop.turn(clock.read(), []);
        while !self.event_loop.is_finished() {
            self.event_loop.end_turn(Instant::now());
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = clock.read();
            let signals = mio::Token::from(Token::SIGNALS);
            if events.iter().any(|event| event.token() == signals)
                && let Some(ended) = self.on_signals(now)
            {
                return Ok(ended);
            }
            timeout = self.event_loop.turn(now, events.iter().map(Readiness::from));
        }
        Ok(Shutdown::Drained)
    }

    fn on_signals(&mut self, now: Now) -> Option<Shutdown> {
        for signal in self.signals.pending() {
            match signal {
                SIGHUP => {
                    self.event_loop.reload(now);
                    continue;
                }
                SIGXFSZ => continue,
                _ => {}
            }
            if self.event_loop.is_draining() {
                return Some(Shutdown::Forced(signal));
            }
            log::info!(
                "draining {} connections; a second signal exits at once",
                self.event_loop.connections()
            );
            self.event_loop.drain(now);
        }
        None
    }
}
