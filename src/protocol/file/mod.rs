//! The file protocol: list, get, put and quit. People, netcat and scripts speak it in lines; legacy clients,
//! which are the clients of the teaching notes on sockets, get paced messages.

mod command;
mod interactive_text;
mod legacy;
mod legacy_upload;
mod lines;
mod list;
mod payload;
mod reply;

pub mod vocabulary;

use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::limits::{DIALECT_DETECTION_TIMEOUT, FIRST_MESSAGE_MAX_BYTES};
use crate::observe::{Activity, AtDeadline, ProtocolStatus};
use crate::outbox::Outbox;
use crate::services::{Context, Core};

use super::contract::{Demand, Evictability, Protocol, Step};
use legacy::{Legacy, LegacyCommand};
use lines::LineProtocol;
use vocabulary::{JOINED, LISTED};

/// The dialect that a listener's connections speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Detection from the first message of each connection.
    #[default]
    Auto,
    /// One command per line.
    Lines,
    /// The legacy dialect of teaching notes 000 and 002, which lists all names in one message.
    Joined,
    /// The legacy dialect of teaching note 004, which lists one name per message.
    Listed,
}

impl Dialect {
    /// Returns the dialect with this name.
    pub fn parse(name: &str) -> Option<Dialect> {
        Some(match name {
            "auto" => Dialect::Auto,
            "lines" => Dialect::Lines,
            "joined" => Dialect::Joined,
            "listed" => Dialect::Listed,
            _ => return None,
        })
    }
}

/// The state of one connection.
#[derive(Debug)]
pub enum File {
    /// The dialect is still unknown. The bytes, if any, could be a complete message of the joined dialect.
    Undecided(Vec<u8>),
    /// One command per line.
    Lines(LineProtocol),
    /// Messages that are separated by pauses.
    Legacy(Legacy),
}

/// The protocol's name in logs.
pub const NAME: &str = "file";

/// The reply to a new peer if no file descriptor is left for its connection.
pub const BUSY_REPLY: &[u8] = b"ERR busy too many connections\r\n";

/// The reply to a client that speaks no TLS on a listener with TLS.
pub const PLAIN_REPLY: &[u8] = b"ERR bad-command this port needs TLS: evclient --tls\r\n";

impl File {
    /// Creates the state of a connection that speaks `dialect`.
    pub fn new(dialect: Dialect) -> File {
        match dialect {
            Dialect::Auto => File::Undecided(Vec::new()),
            Dialect::Lines => File::Lines(LineProtocol::default()),
            Dialect::Joined => File::Legacy(Legacy::new(&JOINED)),
            Dialect::Listed => File::Legacy(Legacy::new(&LISTED)),
        }
    }

    /// Decides whether the input begins a line, or could be a legacy message, which has no newline.
    fn decide(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        let whole = LegacyCommand::parse(input).is_some() && input.len() <= FIRST_MESSAGE_MAX_BYTES;
        if whole && memchr::memchr(b'\n', input).is_none() {
            // More bytes would make it a line; silence makes it a legacy message.
            *self = File::Undecided(input.to_vec());
            return Step::NeedInput;
        }
        *self = File::Lines(LineProtocol::default());
        self.on_input(input, out, cx)
    }
}

macro_rules! dispatch {
    ($self:expr, $undecided:expr, $protocol:ident => $call:expr) => {
        match $self {
            File::Undecided(_) => $undecided,
            File::Lines($protocol) => $call,
            File::Legacy($protocol) => $call,
        }
    };
}

impl Protocol for File {
    #[inline(never)]
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        dispatch!(self, self.decide(input, out, cx), protocol => protocol.on_input(input, out, cx))
    }

    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        if let File::Undecided(_) = self {
            *self = File::Lines(LineProtocol::default());
        }
        dispatch!(self, None, protocol => protocol.on_eof(rest, out, cx))
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        let File::Undecided(message) = self else {
            return dispatch!(self, None, protocol => protocol.on_deadline(out, cx));
        };
        let message = std::mem::take(message);
        if message.is_empty() {
            return Some(cx.core.idle_close_reason());
        }
        let mut legacy = Legacy::after(&JOINED, message.len());
        let close = legacy.on_message(&message, out, cx);
        *self = File::Legacy(legacy);
        close
    }

    fn demand(&self) -> Demand {
        dispatch!(self, Demand::Input(0), protocol => protocol.demand())
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        dispatch!(self, None, protocol => protocol.resume(out, cx))
    }

    fn deadline(&self, quiet_since: Option<Instant>, core: &Core) -> Option<Instant> {
        match self {
            File::Undecided(message) if !message.is_empty() => Some(quiet_since? + DIALECT_DETECTION_TIMEOUT),
            File::Undecided(_) => Some(core.idle_deadline(quiet_since? + core.limits.timeouts.file_idle)),
            File::Lines(lines) => lines.deadline(quiet_since, core),
            File::Legacy(legacy) => legacy.deadline(quiet_since, core),
        }
    }

    fn evictability(&self) -> Evictability {
        match self {
            File::Undecided(message) if message.is_empty() => Evictability::Incomplete,
            File::Undecided(_) => Evictability::Never,
            File::Lines(lines) => lines.evictability(),
            File::Legacy(legacy) => legacy.evictability(),
        }
    }

    fn status(&self) -> ProtocolStatus {
        match self {
            File::Undecided(message) if message.is_empty() => {
                ProtocolStatus::new(Activity::Idle, "waits for the first command")
            }
            File::Undecided(_) => ProtocolStatus {
                at_deadline: AtDeadline::Continue,
                ..ProtocolStatus::new(Activity::Request, "waits to see whether the first message is complete")
            },
            File::Lines(lines) => lines.status(),
            File::Legacy(legacy) => legacy.status(),
        }
    }
}
