//! The file protocol: list, get, put and quit, in lines for people, netcat and scripts, or paced for
//! the documents' own clients.

mod command;
mod hash;
mod lines;
mod list;
mod paced;
mod payload;
mod receiving;
mod reply;
mod typing;
pub mod words;

use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::limits::{FIRST_MESSAGE_MAX_BYTES, UNDECIDED_SILENCE};
use crate::outbox::Outbox;
use crate::services::Services;

use super::{Protocol, Step};
use lines::Lines;
use paced::{Message, Paced};
use words::{JOINED, LISTED};

/// How a listener's connections speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As their first message shows.
    #[default]
    Auto,
    /// A line a command.
    Lines,
    /// As documents 000 and 002.
    Joined,
    /// As document 004.
    Listed,
}

impl Dialect {
    /// The dialect of this name.
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

/// One connection.
#[derive(Debug)]
pub enum File {
    /// Nothing tells yet how it speaks. What has come could be a whole message of a joined dialect,
    /// if it is one.
    Undecided(Vec<u8>),
    /// A line a command.
    Lines(Lines),
    /// Messages told apart by pauses.
    Paced(Paced),
}

/// What it is called in logs.
pub const NAME: &str = "file";

/// What a peer gets for whom no descriptor is left.
pub const BUSY_REPLY: &[u8] = b"ERR busy there are too many connections\r\n";

impl File {
    /// A connection in this dialect.
    pub fn new(dialect: Dialect) -> File {
        match dialect {
            Dialect::Auto => File::Undecided(Vec::new()),
            Dialect::Lines => File::Lines(Lines::default()),
            Dialect::Joined => File::Paced(Paced::new(&JOINED)),
            Dialect::Listed => File::Paced(Paced::new(&LISTED)),
        }
    }

    /// Looks whether what has come is the beginning of a line or a message without one.
    fn decide(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        let whole = Message::parse(input).is_some() && input.len() <= FIRST_MESSAGE_MAX_BYTES;
        if whole && memchr::memchr(b'\n', input).is_none() {
            // It may go on, or silence follows.
            *self = File::Undecided(input.to_vec());
            return Step::NeedInput;
        }
        *self = File::Lines(Lines::default());
        self.on_input(input, out, cx)
    }
}

macro_rules! dispatch {
    ($self:expr, $undecided:expr, $protocol:ident => $call:expr) => {
        match $self {
            File::Undecided(_) => $undecided,
            File::Lines($protocol) => $call,
            File::Paced($protocol) => $call,
        }
    };
}

impl Protocol for File {
    #[inline(never)]
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        dispatch!(self, self.decide(input, out, cx), protocol => protocol.on_input(input, out, cx))
    }

    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        if let File::Undecided(_) = self {
            *self = File::Lines(Lines::default());
        }
        dispatch!(self, None, protocol => protocol.on_eof(rest, out, cx))
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        let File::Undecided(message) = self else {
            return dispatch!(self, None, protocol => protocol.on_deadline(out, cx));
        };
        let message = std::mem::take(message);
        if message.is_empty() {
            return Some(cx.idle_ending());
        }
        let mut paced = Paced::after(&JOINED, message.len());
        let ending = paced.on_message(&message, out, cx);
        *self = File::Paced(paced);
        ending
    }

    fn is_producing(&self) -> bool {
        dispatch!(self, false, protocol => protocol.is_producing())
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        dispatch!(self, None, protocol => protocol.resume(out, cx))
    }

    fn deadline(&self, quiet_since: Option<Instant>, cx: &Services) -> Option<Instant> {
        match self {
            File::Undecided(message) if !message.is_empty() => Some(quiet_since? + UNDECIDED_SILENCE),
            File::Undecided(_) => Some(cx.idle_until(quiet_since? + cx.limits.timeouts.file_idle)),
            File::Lines(lines) => lines.deadline(quiet_since, cx),
            File::Paced(paced) => paced.deadline(quiet_since, cx),
        }
    }

    fn appetite(&self) -> usize {
        dispatch!(self, 0, protocol => protocol.appetite())
    }

    fn may_make_room(&self) -> bool {
        dispatch!(self, true, protocol => protocol.may_make_room())
    }
}
