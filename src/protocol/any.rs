//! The list of all protocols and the dispatch to them. No other module distinguishes protocols.

use std::fmt;
use std::net::SocketAddr;

use super::ack::{self, Ack};
use super::contract::{Demand, Evictability, Protocol, Step};
use super::file::{self, Dialect, File};
use super::http::h1::{self, Http1};
use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::observe::ProtocolStatus;
use crate::outbox::Outbox;
use crate::services::{Context, Core, Services};

/// The names of the protocols in logs, and the letters that stand for them in the inspector.
pub const PROTOCOLS: [(&str, char); 4] =
    [(h1::NAME, 'h'), (file::NAME, 'f'), (ack::NAME, 'a'), (ADMIN_NAME, 'd')];

const ADMIN_NAME: &str = "admin";

/// The protocol that a listener's connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP/1.1 and 1.0.
    Http,
    /// The file protocol.
    File(Dialect),
    /// The acknowledging protocol.
    Ack,
    /// HTTP for the admin interface.
    Admin,
}

impl Kind {
    /// Creates the state of a connection that was accepted at `now`.
    pub fn start(self, now: Instant) -> AnyProtocol {
        match self {
            Kind::Http => AnyProtocol::Http(Http1::new(now)),
            Kind::File(dialect) => AnyProtocol::File(Box::new(File::new(dialect))),
            Kind::Ack => AnyProtocol::Ack(Ack::default()),
            Kind::Admin => AnyProtocol::Http(Http1::for_admin(now)),
        }
    }

    /// Returns whether the connections are those of the admin interface.
    pub fn is_admin(self) -> bool {
        self == Kind::Admin
    }

    /// Returns whether the connections speak HTTP.
    pub fn is_http(self) -> bool {
        matches!(self, Kind::Http | Kind::Admin)
    }

    /// Writes the reply to a datagram into `reply`, which is empty before. Returns whether to send it.
    pub fn on_datagram(
        self,
        datagram: &[u8],
        peer: SocketAddr,
        reply: &mut Vec<u8>,
        services: &mut Services,
    ) -> bool {
        match self {
            Kind::Ack => ack::on_datagram(datagram, peer, reply, services),
            Kind::Http | Kind::File(_) | Kind::Admin => false,
        }
    }

    /// Returns the bytes that a new peer receives if no file descriptor is left for its connection.
    pub fn busy_reply(self) -> &'static [u8] {
        match self {
            Kind::Http | Kind::Admin => h1::BUSY_REPLY,
            Kind::File(_) => file::BUSY_REPLY,
            Kind::Ack => b"",
        }
    }

    /// Returns the bytes that a peer receives on a listener with TLS if it speaks none.
    pub fn plain_reply(self) -> &'static [u8] {
        match self {
            Kind::Http | Kind::Admin => h1::PLAIN_REPLY,
            Kind::File(_) => file::PLAIN_REPLY,
            Kind::Ack => b"",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Http => h1::NAME,
            Kind::File(_) => file::NAME,
            Kind::Ack => ack::NAME,
            Kind::Admin => ADMIN_NAME,
        })
    }
}

/// The state of one connection, in any of the protocols.
#[derive(Debug)]
pub enum AnyProtocol {
    /// HTTP/1.1 and 1.0, for the site or for the admin interface.
    Http(Http1),
    /// The file protocol. It is boxed to keep HTTP connections, the most common ones, small.
    File(Box<File>),
    /// The acknowledging protocol.
    Ack(Ack),
}

impl AnyProtocol {
    /// Returns the protocol's name, as [`Kind`] displays it.
    pub fn name(&self) -> &'static str {
        PROTOCOLS[self.index()].0
    }

    /// Returns the index in [`PROTOCOLS`].
    pub fn index(&self) -> usize {
        match self {
            AnyProtocol::Http(http) if http.is_for_admin() => 3,
            AnyProtocol::Http(_) => 0,
            AnyProtocol::File(_) => 1,
            AnyProtocol::Ack(_) => 2,
        }
    }

    /// Returns whether the connection is one to the admin interface.
    pub fn is_for_admin(&self) -> bool {
        matches!(self, AnyProtocol::Http(http) if http.is_for_admin())
    }
}

macro_rules! dispatch {
    ($self:expr, $protocol:ident => $call:expr) => {
        match $self {
            AnyProtocol::Http($protocol) => $call,
            AnyProtocol::File($protocol) => $call,
            AnyProtocol::Ack($protocol) => $call,
        }
    };
}

impl Protocol for AnyProtocol {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        dispatch!(self, protocol => protocol.on_input(input, out, cx))
    }

    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        dispatch!(self, protocol => protocol.on_eof(rest, out, cx))
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        dispatch!(self, protocol => protocol.on_deadline(out, cx))
    }

    fn demand(&self) -> Demand {
        dispatch!(self, protocol => protocol.demand())
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        dispatch!(self, protocol => protocol.resume(out, cx))
    }

    fn deadline(&self, quiet_since: Option<Instant>, core: &Core) -> Option<Instant> {
        dispatch!(self, protocol => protocol.deadline(quiet_since, core))
    }

    fn evictability(&self) -> Evictability {
        dispatch!(self, protocol => protocol.evictability())
    }

    fn status(&self) -> ProtocolStatus {
        dispatch!(self, protocol => protocol.status())
    }
}
