//! The dialect of lines: a command is a line, a reply is a line, and bytes follow only where their
//! number was said.

use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::limits::TURN_READ_BYTES;
use crate::outbox::Outbox;
use crate::services::Services;
use crate::store::Upload;

use super::command::{Command, Line, take_line};
use super::list::Listing;
use super::reply::{Refusal, commit, get, parse_name, refusal, refuse, say, stat, write};
use super::typing::Typing;
use crate::protocol::{Protocol, Step};

/// One connection.
#[derive(Debug)]
pub struct Lines {
    state: State,
    /// Where the next GET starts.
    restart: u64,
}

/// What the connection is waiting for.
#[derive(Debug)]
enum State {
    /// A command, or the rest of one.
    Command(Option<Begun>),
    /// So many bytes of a PUT. Without an upload it was refused, and they are dropped.
    Receiving(Option<Box<Upload>>, u64),
    /// Lines of text. Without an upload it has failed, and they are dropped.
    Typing(Option<Box<Upload>>, Typing),
    /// Its own next turn, to go on with a listing.
    Listing(Listing),
}

/// A command of which the beginning has come.
#[derive(Clone, Copy, Debug)]
struct Begun {
    since: Instant,
    /// Bytes that were looked at: in what drips in, only a new line is a reason to look again.
    seen: usize,
}

const IDLE: State = State::Command(None);

impl Default for Lines {
    fn default() -> Lines {
        Lines { state: IDLE, restart: 0 }
    }
}

impl Lines {
    fn on_line(&mut self, line: &[u8], consumed: usize, out: &mut Outbox, cx: &mut Services) -> Step {
        cx.statistics.requests += 1;
        self.state = IDLE;
        let restart = std::mem::take(&mut self.restart);
        let done = match Command::parse(line) {
            Command::List => self.list(cx),
            Command::Get(name) => get(name, restart, out, cx),
            Command::Put(length, name) => return self.put(length, name, consumed, out, cx),
            Command::Type(name) => self.type_text(name, out, cx),
            Command::Stat(name) => stat(name, cx).map(|reply| say(&reply, out)),
            Command::Restart(offset) => {
                self.restart = offset;
                say(&format!("OK {offset}"), out);
                Ok(())
            }
            Command::Help => {
                say("OK L | G name | PUT length name | P name | STAT name | REST offset | Q", out);
                Ok(())
            }
            Command::Quit => {
                say("OK bye", out);
                return Step::Finish(consumed, CloseReason::Answered);
            }
            Command::Http => {
                refuse(&("bad-command", "this is not HTTP".into()), out);
                return Step::Finish(consumed, CloseReason::Refused);
            }
            Command::Unknown => Err(("bad-command", "HELP lists the commands".into())),
        };
        if let Err(refusal) = done {
            refuse(&refusal, out);
        }
        Step::after(consumed, self.ending(cx))
    }

    /// Between two commands a server that ends says goodbye.
    fn ending(&self, cx: &Services) -> Option<CloseReason> {
        let between = matches!(self.state, State::Command(_));
        (between && cx.draining_since.is_some()).then_some(CloseReason::LastAnswer)
    }

    fn list(&mut self, cx: &Services) -> Result<(), Refusal> {
        self.state = State::Listing(Listing::begin(&cx.library)?);
        Ok(())
    }

    fn put(
        &mut self,
        length: Option<u64>,
        name: &[u8],
        consumed: usize,
        out: &mut Outbox,
        cx: &mut Services,
    ) -> Step {
        // What follows could not be told from commands.
        let (Some(length), false) = (length, name.is_empty()) else {
            let code = if length.is_none() { "bad-length" } else { "bad-name" };
            refuse(&(code, "PUT takes a length in bytes and a name".into()), out);
            return Step::Finish(consumed, CloseReason::Refused);
        };
        let upload =
            parse_name(name).and_then(|name| cx.library.create(&name, Some(length)).map_err(refusal));
        match upload {
            Ok(upload) => self.state = State::Receiving(Some(Box::new(upload)), length),
            Err(refusal) => {
                refuse(&refusal, out);
                if refusal.0 == "too-large" {
                    return Step::Finish(consumed, CloseReason::Refused);
                }
                self.state = State::Receiving(None, length);
            }
        }
        if length == 0 {
            self.received(out);
        }
        Step::after(consumed, self.ending(cx))
    }

    /// The last byte of a PUT has come.
    fn received(&mut self, out: &mut Outbox) {
        if let State::Receiving(Some(upload), _) = std::mem::replace(&mut self.state, IDLE) {
            commit(*upload, out);
        }
    }

    fn on_payload(&mut self, input: &[u8], out: &mut Outbox, cx: &Services) -> Step {
        let State::Receiving(upload, left) = &mut self.state else { return Step::NeedInput };
        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
        write(upload, &input[..taken], out);
        *left -= taken as u64;
        if *left == 0 {
            self.received(out);
        }
        Step::after(taken, self.ending(cx))
    }

    fn type_text(&mut self, name: &[u8], out: &mut Outbox, cx: &Services) -> Result<(), Refusal> {
        let upload = cx.library.create(&parse_name(name)?, None).map_err(refusal)?;
        say("OK send lines, end with ##", out);
        self.state = State::Typing(Some(Box::new(upload)), Typing::default());
        Ok(())
    }

    fn on_text(&mut self, input: &[u8], out: &mut Outbox, cx: &Services) -> Step {
        let State::Typing(upload, typing) = &mut self.state else { return Step::NeedInput };
        let mut text = Vec::with_capacity(input.len());
        let typed = typing.take(input, &mut text);
        write(upload, &text, out);
        if typed.ended
            && let State::Typing(Some(upload), _) = std::mem::replace(&mut self.state, IDLE)
        {
            commit(*upload, out);
        }
        Step::after(typed.taken, self.ending(cx))
    }
}

impl Protocol for Lines {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        match self.state {
            State::Receiving(..) => self.on_payload(input, out, cx),
            State::Typing(..) => self.on_text(input, out, cx),
            State::Command(begun) => match take_line(input, begun.map_or(0, |begun| begun.seen), false) {
                Line::Whole(line, length) => self.on_line(&line, length, out, cx),
                Line::Partial => {
                    let since = begun.map_or(cx.clock.now(), |begun| begun.since);
                    self.state = State::Command(Some(Begun { since, seen: input.len() }));
                    Step::NeedInput
                }
                Line::TooLong => {
                    refuse(&("bad-command", "the line is too long".into()), out);
                    Step::Finish(0, CloseReason::Refused)
                }
            },
            State::Listing(_) => Step::NeedInput,
        }
    }

    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match self.state {
            // Dropped, it was never there.
            State::Receiving(..) | State::Typing(..) => Some(CloseReason::PeerLeft),
            _ => match take_line(rest, 0, true) {
                // What it says may be cut short, the name, too.
                Line::Whole(line, _)
                    if matches!(Command::parse(&line), Command::Put(..) | Command::Type(_)) =>
                {
                    refuse(&("bad-command", "the line has no end".into()), out);
                    Some(CloseReason::PeerLeft)
                }
                Line::Whole(line, length) => {
                    self.on_line(&line, length, out, cx);
                    (!self.is_producing()).then_some(CloseReason::PeerClosed)
                }
                _ => Some(CloseReason::PeerClosed),
            },
        }
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        let reason = match std::mem::replace(&mut self.state, IDLE) {
            State::Command(None) => return Some(cx.idle_ending()),
            State::Command(Some(_)) => CloseReason::HeadTimeout,
            State::Receiving(..) => CloseReason::BodyTimeout,
            State::Typing(..) => CloseReason::IdleTimeout,
            producing => {
                self.state = producing;
                return None;
            }
        };
        refuse(&("timeout", "that took too long".into()), out);
        Some(reason)
    }

    fn is_producing(&self) -> bool {
        matches!(self.state, State::Listing(_))
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, IDLE) {
            State::Listing(listing) => match listing.advance(out) {
                Ok(Some(rest)) => self.state = State::Listing(rest),
                Ok(None) => {}
                Err(refusal) => refuse(&refusal, out),
            },
            other => self.state = other,
        }
        self.ending(cx)
    }

    fn deadline(&self, quiet_since: Option<Instant>, cx: &Services) -> Option<Instant> {
        let timeouts = &cx.limits.timeouts;
        match self.state {
            State::Command(Some(begun)) => Some(begun.since + timeouts.head),
            State::Command(None) => Some(cx.idle_until(quiet_since? + timeouts.file_idle)),
            State::Receiving(..) => Some(quiet_since? + timeouts.body),
            State::Typing(..) => Some(quiet_since? + timeouts.file_idle),
            // The peer is not waited for.
            State::Listing(_) => Some(cx.clock.now() + timeouts.idle),
        }
    }

    fn appetite(&self) -> usize {
        match self.state {
            State::Receiving(_, left) => left.min(TURN_READ_BYTES as u64) as usize,
            _ => 0,
        }
    }

    fn may_make_room(&self) -> bool {
        matches!(self.state, State::Command(None))
    }
}
