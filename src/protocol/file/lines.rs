//! The dialect of lines: a command is a line, a reply is a line, and bytes follow only where their
//! number was said.

use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::outbox::Outbox;
use crate::services::Services;
use crate::store::{Fingerprint, Upload};

use super::command::{Command, Line, take_line};
use super::hash::Hashing;
use super::list::Listing;
use super::payload::Payload;
use super::reply::{Refusal, get, grant, parse_name, refusal, refuse, stat, store, write};
use super::typing::Typing;
use super::words::code;
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
    /// The bytes of an upload.
    Receiving(Payload),
    /// Lines of text. Without an upload it has failed, and they are dropped.
    Typing(Option<Box<Upload>>, Typing),
    /// Its own next turn, to go on with a listing.
    Listing(Listing),
    /// Its own next turn, to go on with a file's hash.
    Hashing(Hashing),
}

/// A command of which the beginning has come.
#[derive(Clone, Copy, Debug)]
struct Begun {
    since: Instant,
    /// Bytes that were looked at: in what drips in, only a new line is a reason to look again.
    seen: usize,
}

const HELP: &str = "L | G name | PUT length name | RESUME length sha-256 name | P name | STAT name | \
    HASH name | REST offset | Q";

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
            Command::Resume(what, name) => self.resume_upload(what, name, out, cx),
            Command::Type(name) => self.type_text(name, out, cx),
            Command::Hash(name) => {
                Hashing::begin(name, cx).map(|hashing| self.state = State::Hashing(hashing))
            }
            Command::Stat(name) => stat(name, cx).map(|known| grant(&known, out)),
            Command::Restart(offset) => {
                self.restart = offset;
                grant(&format!("{offset}"), out);
                Ok(())
            }
            Command::Help => {
                grant(HELP, out);
                Ok(())
            }
            Command::Quit => {
                grant("bye", out);
                return Step::Finish(consumed, CloseReason::Answered);
            }
            Command::Http => {
                refuse(&(code::BAD_COMMAND, "this is not HTTP".into()), out);
                return Step::Finish(consumed, CloseReason::Refused);
            }
            Command::Unknown => Err((code::BAD_COMMAND, "HELP lists the commands".into())),
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
            let why = if length.is_none() { code::BAD_LENGTH } else { code::BAD_NAME };
            refuse(&(why, "PUT takes a length in bytes and a name".into()), out);
            return Step::Finish(consumed, CloseReason::Refused);
        };
        let (payload, outcome) = Payload::put(name, length, out, cx);
        if outcome.is_err_and(|(why, _)| why == code::TOO_LARGE) {
            return Step::Finish(consumed, CloseReason::Refused);
        }
        self.go_on(payload, out, cx);
        Step::after(consumed, self.ending(cx))
    }

    /// Waits for the rest of an upload, unless it is whole.
    fn go_on(&mut self, payload: Payload, out: &mut Outbox, cx: &mut Services) {
        self.state = payload.end(out, cx).map_or(IDLE, State::Receiving);
    }

    fn resume_upload(
        &mut self,
        what: Option<(u64, Fingerprint)>,
        name: &[u8],
        out: &mut Outbox,
        cx: &mut Services,
    ) -> Result<(), Refusal> {
        let payload = Payload::resume(what, name, out, cx)?;
        self.go_on(payload, out, cx);
        Ok(())
    }

    fn on_payload(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        let State::Receiving(mut payload) = std::mem::replace(&mut self.state, IDLE) else {
            return Step::NeedInput;
        };
        let taken = payload.take(input, out);
        self.go_on(payload, out, cx);
        Step::after(taken, self.ending(cx))
    }

    fn type_text(&mut self, name: &[u8], out: &mut Outbox, cx: &Services) -> Result<(), Refusal> {
        let upload = cx.library.create(&parse_name(name)?, None).map_err(refusal)?;
        grant("send lines, end with ##", out);
        self.state = State::Typing(Some(Box::new(upload)), Typing::default());
        Ok(())
    }

    fn on_text(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        let State::Typing(upload, typing) = &mut self.state else { return Step::NeedInput };
        let mut text = Vec::with_capacity(input.len());
        let typed = typing.take(input, &mut text);
        write(upload, &text, out);
        if typed.ended
            && let State::Typing(Some(upload), _) = std::mem::replace(&mut self.state, IDLE)
        {
            store(*upload, out, cx);
        }
        Step::after(typed.taken, self.ending(cx))
    }
}

impl Protocol for Lines {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        match self.state {
            State::Receiving(_) => self.on_payload(input, out, cx),
            State::Typing(..) => self.on_text(input, out, cx),
            State::Command(begun) => match take_line(input, begun.map_or(0, |begun| begun.seen), false) {
                Line::Whole(line, length) => self.on_line(&line, length, out, cx),
                Line::Partial => {
                    let since = begun.map_or(cx.clock.now(), |begun| begun.since);
                    self.state = State::Command(Some(Begun { since, seen: input.len() }));
                    Step::NeedInput
                }
                Line::TooLong => {
                    refuse(&(code::BAD_COMMAND, "the line is too long".into()), out);
                    Step::Finish(0, CloseReason::Refused)
                }
            },
            State::Listing(_) | State::Hashing(_) => Step::NeedInput,
        }
    }

    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, IDLE) {
            State::Typing(Some(upload), typing) if typing.ends_here() => {
                store(*upload, out, cx);
                Some(CloseReason::PeerClosed)
            }
            State::Typing(None, _) => Some(CloseReason::PeerLeft),
            State::Receiving(payload) if !payload.is_wanted() => Some(CloseReason::PeerLeft),
            State::Typing(..) | State::Receiving(_) => {
                refuse(&(code::BAD_LENGTH, "the upload ends in the middle".into()), out);
                Some(CloseReason::PeerLeft)
            }
            _ => match take_line(rest, 0, true) {
                // What it says may be cut short, the name, too.
                Line::Whole(line, _) if Command::parse(&line).stores() => {
                    refuse(&(code::BAD_COMMAND, "the line has no end".into()), out);
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
            State::Receiving(_) => CloseReason::BodyTimeout,
            State::Typing(..) => CloseReason::IdleTimeout,
            producing => {
                self.state = producing;
                return None;
            }
        };
        refuse(&(code::TIMEOUT, "that took too long".into()), out);
        Some(reason)
    }

    fn is_producing(&self) -> bool {
        match &self.state {
            State::Listing(_) | State::Hashing(_) => true,
            State::Receiving(payload) => payload.is_rehashing(),
            _ => false,
        }
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, IDLE) {
            State::Listing(listing) => match listing.advance(out) {
                Ok(Some(rest)) => self.state = State::Listing(rest),
                Ok(None) => {}
                Err(refusal) => refuse(&refusal, out),
            },
            State::Hashing(hashing) => match hashing.advance(out) {
                Ok(Some(rest)) => self.state = State::Hashing(rest),
                Ok(None) => {}
                Err(refusal) => refuse(&refusal, out),
            },
            State::Receiving(mut payload) => {
                payload.rehash(out);
                self.go_on(payload, out, cx);
            }
            other => self.state = other,
        }
        self.ending(cx)
    }

    fn deadline(&self, quiet_since: Option<Instant>, cx: &Services) -> Option<Instant> {
        let timeouts = &cx.limits.timeouts;
        match &self.state {
            State::Command(Some(begun)) => Some(begun.since + timeouts.head),
            State::Command(None) => Some(cx.idle_until(quiet_since? + timeouts.file_idle)),
            State::Receiving(payload) if payload.is_rehashing() => Some(cx.clock.now() + timeouts.idle),
            State::Receiving(_) => Some(quiet_since? + timeouts.body),
            State::Typing(..) => Some(quiet_since? + timeouts.file_idle),
            // The peer is not waited for.
            State::Listing(_) | State::Hashing(_) => Some(cx.clock.now() + timeouts.idle),
        }
    }

    fn appetite(&self) -> usize {
        if let State::Receiving(payload) = &self.state { payload.appetite() } else { 0 }
    }

    fn may_make_room(&self) -> bool {
        matches!(self.state, State::Command(None))
    }
}
