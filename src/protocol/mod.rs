//! Protocols: bytes in, bytes out. They know no socket, no poll and no clock but the one that is
//! lent to them, so each can be driven byte by byte under a virtual time.

pub mod ack;
pub mod file;
pub mod http;

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

pub use crate::close_reason::CloseReason;
use crate::outbox::Outbox;
use crate::services::Services;
use ack::Ack;
pub use file::Dialect;
use file::File;
use http::Http;

/// One connection's side of a conversation.
pub trait Protocol {
    /// Takes a prefix of `input`, which is not empty. After [`Step::NeedInput`] it is called again
    /// with the same bytes and more. It is called only while the outbox has room and
    /// nothing is being produced.
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step;

    /// The peer has ended its output; `rest` is what `on_input` wanted more behind. `None` if an
    /// answer is under way: it is called again, without a rest, when that is done.
    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Services) -> Option<CloseReason>;

    /// The deadline has passed. `None` if the conversation goes on, with a later deadline.
    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason>;

    /// Whether it has an answer under way that takes more than a turn. Until that is done it takes no
    /// input, and is resumed once a turn while the outbox has room.
    fn is_producing(&self) -> bool {
        false
    }

    /// Goes on with that answer. Returns why the conversation ends behind it, if it does.
    fn resume(&mut self, _out: &mut Outbox, _cx: &mut Services) -> Option<CloseReason> {
        None
    }

    /// When the protocol's patience with its peer ends. `quiet_since` is when bytes last moved on
    /// the connection, in either direction; `None` while output is queued, when only what does not
    /// depend on that has a deadline.
    fn deadline(&self, quiet_since: Option<Instant>, cx: &Services) -> Option<Instant>;

    /// How many bytes are sure to come that it would take at once, as of a body. One recv asks for
    /// so many more than the inbox has room for.
    fn appetite(&self) -> usize {
        0
    }

    /// Whether the connection has served and waits for what is next, so that it may be closed to
    /// make room for another.
    fn may_make_room(&self) -> bool;
}

/// What a protocol did with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It took so many bytes, at least one.
    Consumed(usize),
    /// It needs more than these bytes to go on.
    NeedInput,
    /// It took so many bytes and is done: send what is queued, then close.
    Finish(usize, CloseReason),
}

impl Step {
    /// So many bytes were taken, and behind the answer the conversation ends, if it does.
    pub fn after(consumed: usize, ending: Option<CloseReason>) -> Step {
        match ending {
            Some(reason) => Step::Finish(consumed, reason),
            None => Step::Consumed(consumed),
        }
    }

    /// Why the conversation ends, if it does.
    pub fn ending(self) -> Option<CloseReason> {
        match self {
            Step::Finish(_, reason) => Some(reason),
            Step::Consumed(_) | Step::NeedInput => None,
        }
    }
}

/// What a listener's connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP/1.1 and 1.0.
    Http,
    /// The file protocol.
    File(Dialect),
    /// Acknowledging.
    Ack,
}

impl Kind {
    /// The protocol's state for a new connection.
    pub fn start(self, now: Instant) -> AnyProtocol {
        match self {
            Kind::Http => AnyProtocol::Http(Http::new(now)),
            Kind::File(dialect) => AnyProtocol::File(Box::new(File::new(dialect))),
            Kind::Ack => AnyProtocol::Ack(Ack::default()),
        }
    }

    /// Answers a datagram with `reply`, which is empty before. Returns whether there is an answer.
    pub fn on_datagram(
        self,
        datagram: &[u8],
        peer: SocketAddr,
        reply: &mut Vec<u8>,
        cx: &mut Services,
    ) -> bool {
        match self {
            Kind::Ack => ack::on_datagram(datagram, peer, reply, cx),
            Kind::Http | Kind::File(_) => false,
        }
    }

    /// What a peer is told for whom no descriptor is left.
    pub fn busy_reply(self) -> &'static [u8] {
        match self {
            Kind::Http => http::BUSY_REPLY,
            Kind::File(_) => file::BUSY_REPLY,
            Kind::Ack => b"",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Http => http::NAME,
            Kind::File(_) => file::NAME,
            Kind::Ack => ack::NAME,
        })
    }
}

/// Any of the protocols: the one place that tells them apart.
#[derive(Debug)]
pub enum AnyProtocol {
    /// HTTP/1.1 and 1.0.
    Http(Http),
    /// The file protocol. Apart, so that connections of HTTP, of which there are most, stay small.
    File(Box<File>),
    /// Acknowledging.
    Ack(Ack),
}

impl AnyProtocol {
    /// Its name, as that of its listener.
    pub fn name(&self) -> &'static str {
        match self {
            AnyProtocol::Http(_) => http::NAME,
            AnyProtocol::File(_) => file::NAME,
            AnyProtocol::Ack(_) => ack::NAME,
        }
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
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        dispatch!(self, protocol => protocol.on_input(input, out, cx))
    }

    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        dispatch!(self, protocol => protocol.on_eof(rest, out, cx))
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        dispatch!(self, protocol => protocol.on_deadline(out, cx))
    }

    fn is_producing(&self) -> bool {
        dispatch!(self, protocol => protocol.is_producing())
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        dispatch!(self, protocol => protocol.resume(out, cx))
    }

    fn deadline(&self, quiet_since: Option<Instant>, cx: &Services) -> Option<Instant> {
        dispatch!(self, protocol => protocol.deadline(quiet_since, cx))
    }

    fn appetite(&self) -> usize {
        dispatch!(self, protocol => protocol.appetite())
    }

    fn may_make_room(&self) -> bool {
        dispatch!(self, protocol => protocol.may_make_room())
    }
}
