//! The line dialect: commands and replies are lines, and raw bytes follow only after their number was
//! announced.

use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::observe::{Activity, ProtocolStatus};
use crate::outbox::Outbox;
use crate::services::{Context, Core};
use crate::store::{Name, Sha256Digest, Upload, UploadKey};

use super::command::{Command, Line, take_line};
use super::interactive_text::InteractiveText;
use super::list::ListReply;
use super::payload::{Payload, Resumed, continue_resume, resume};
use super::reply::{ErrorReply, get, library_error, ok, parse_name, refuse, stat, store};
use super::vocabulary::code;
use crate::protocol::contract::{Demand, Evictability, Protocol, Step};

/// The state of one connection.
#[derive(Debug)]
pub struct LineProtocol {
    state: State,
    /// The offset at which the next GET starts.
    restart: u64,
    /// Whether a command was received.
    has_begun: bool,
}

/// What the connection is waiting for.
#[derive(Debug)]
enum State {
    /// A command, or the rest of one.
    Command(Option<PartialLine>),
    /// The bytes of an upload.
    Receiving(Payload),
    /// Lines of text for an upload. `None` means that the upload failed, and the lines are dropped.
    Typing(Option<Box<Upload>>, InteractiveText),
    /// The connection's next turn, to find out whether the upload of a RESUME is already stored.
    Resuming(Box<UploadKey>),
    /// The connection's next turn, to continue a listing.
    Listing(ListReply),
    /// The connection's next turn, to ask again for the digest of a file that is being hashed.
    Hashing(Name),
}

/// A command whose line is incomplete.
#[derive(Clone, Copy, Debug)]
struct PartialLine {
    since: Instant,
    /// The number of bytes already scanned for the end of the line.
    seen: usize,
}

const HELP: &str = "L | G name | PUT length name | RESUME length sha-256 name | P name | STAT name | \
    HASH name | REST offset | Q";

const IDLE: State = State::Command(None);

impl Default for LineProtocol {
    fn default() -> LineProtocol {
        LineProtocol { state: IDLE, restart: 0, has_begun: false }
    }
}

impl LineProtocol {
    fn on_line(&mut self, line: &[u8], consumed: usize, out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        cx.statistics.requests += 1;
        cx.core.inspector.note_request(cx.connection, line);
        self.state = IDLE;
        self.has_begun = true;
        let restart = std::mem::take(&mut self.restart);
        let done = match Command::parse(line) {
            Command::List => self.list(cx),
            Command::Get(name) => get(name, restart, out, cx),
            Command::Put(length, name) => return self.put(length, name, consumed, out, cx),
            Command::Resume(what, name) => self.resume_upload(what, name, out, cx),
            Command::Type(name) => self.type_text(name, out, cx),
            Command::Hash(name) => parse_name(name).and_then(|name| self.hash(name, out, cx)),
            Command::Stat(name) => stat(name, cx).map(|known| ok(&known, out)),
            Command::Restart(offset) => {
                self.restart = offset;
                ok(&format!("{offset}"), out);
                Ok(())
            }
            Command::Help => {
                ok(HELP, out);
                Ok(())
            }
            Command::Quit => {
                ok("bye", out);
                return Step::Finish(consumed, CloseReason::CloseRequested);
            }
            Command::Http => {
                refuse(&ErrorReply::new(code::BAD_COMMAND, "this is not HTTP"), out);
                return Step::Finish(consumed, CloseReason::Rejected);
            }
            Command::Unknown => Err(ErrorReply::new(code::BAD_COMMAND, "HELP lists the commands")),
        };
        if let Err(error) = done {
            refuse(&error, out);
        }
        Step::after(consumed, self.close_reason(cx))
    }

    /// Returns the reason to close the connection between two commands, if the server drains.
    fn close_reason(&self, cx: &Context<'_>) -> Option<CloseReason> {
        let between = matches!(self.state, State::Command(_));
        (between && cx.core.is_draining()).then_some(CloseReason::ServerClosed)
    }

    fn list(&mut self, cx: &Context<'_>) -> Result<(), ErrorReply> {
        self.state = State::Listing(ListReply::begin(&cx.core.library)?);
        Ok(())
    }

    /// Replies with the digest of a file, as soon as it is known.
    fn hash(&mut self, name: Name, out: &mut Outbox, cx: &mut Context<'_>) -> Result<(), ErrorReply> {
        match cx.core.library.digest(&name, cx.core.clock.now.monotonic).map_err(library_error)? {
            Some(digest) => ok(&digest.to_string(), out),
            None => self.state = State::Hashing(name),
        }
        Ok(())
    }

    fn put(
        &mut self,
        length: Option<u64>,
        name: &[u8],
        consumed: usize,
        out: &mut Outbox,
        cx: &mut Context<'_>,
    ) -> Step {
        // After a malformed PUT the payload cannot be distinguished from commands, so the connection closes.
        let (Some(length), false) = (length, name.is_empty()) else {
            let why = if length.is_none() { code::BAD_LENGTH } else { code::BAD_NAME };
            refuse(&ErrorReply::new(why, "PUT takes a length in bytes and a name"), out);
            return Step::Finish(consumed, CloseReason::Rejected);
        };
        let (payload, outcome) = Payload::put(name, length, out, cx);
        if outcome.is_err_and(|error| error.code == code::TOO_LARGE) {
            return Step::Finish(consumed, CloseReason::Rejected);
        }
        self.store_or_wait(payload, out, cx);
        Step::after(consumed, self.close_reason(cx))
    }

    /// Stores an upload if it is complete, and waits for the rest of it otherwise.
    fn store_or_wait(&mut self, payload: Payload, out: &mut Outbox, cx: &mut Context<'_>) {
        self.state = payload.end(out, cx).map_or(IDLE, State::Receiving);
    }

    fn resume_upload(
        &mut self,
        what: Option<(u64, Sha256Digest)>,
        name: &[u8],
        out: &mut Outbox,
        cx: &mut Context<'_>,
    ) -> Result<(), ErrorReply> {
        let resumed = resume(what, name, out, cx)?;
        self.on_resumed(resumed, out, cx);
        Ok(())
    }

    fn on_resumed(&mut self, resumed: Resumed, out: &mut Outbox, cx: &mut Context<'_>) {
        match resumed {
            Resumed::Payload(payload) => self.store_or_wait(payload, out, cx),
            Resumed::Complete => {}
            Resumed::Pending(key) => self.state = State::Resuming(Box::new(key)),
        }
    }

    fn on_payload(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        let State::Receiving(mut payload) = std::mem::replace(&mut self.state, IDLE) else {
            return Step::NeedInput;
        };
        let (taken, close) = payload.take(input, out);
        if let Some(reason) = close {
            return Step::Finish(taken, reason);
        }
        self.store_or_wait(payload, out, cx);
        Step::after(taken, self.close_reason(cx))
    }

    fn type_text(&mut self, name: &[u8], out: &mut Outbox, cx: &Context<'_>) -> Result<(), ErrorReply> {
        let upload = cx.core.library.create(&parse_name(name)?, None).map_err(library_error)?;
        ok("send lines, end with ##", out);
        self.state = State::Typing(Some(Box::new(upload)), InteractiveText::default());
        Ok(())
    }

    fn on_text(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        let State::Typing(upload, typing) = &mut self.state else { return Step::NeedInput };
        let mut text = Vec::with_capacity(input.len());
        let typed = typing.take(input, &mut text);
        if let Some(open) = upload
            && let Err(error) = open.write(&text)
        {
            refuse(&library_error(error), out);
            *upload = None;
        }
        if typed.ended
            && let State::Typing(Some(upload), _) = std::mem::replace(&mut self.state, IDLE)
        {
            store(*upload, out, cx);
        }
        Step::after(typed.taken, self.close_reason(cx))
    }
}

/// How a TLS client begins (RFC 8446 section 5.1). It may contain no newline, and the client waits for a reply.
const CLIENT_HELLO: &[u8] = &[22, 3];

impl Protocol for LineProtocol {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        let step = match self.state {
            State::Receiving(_) => self.on_payload(input, out, cx),
            State::Typing(..) => self.on_text(input, out, cx),
            State::Command(_) if !self.has_begun && input.starts_with(CLIENT_HELLO) => {
                refuse(&ErrorReply::new(code::BAD_COMMAND, "this port speaks no TLS"), out);
                Step::Finish(0, CloseReason::Rejected)
            }
            State::Command(begun) => match take_line(input, begun.map_or(0, |begun| begun.seen), false) {
                Line::Whole(line, length) => self.on_line(&line, length, out, cx),
                Line::Partial => {
                    let since = begun.map_or(cx.core.clock.now.monotonic, |begun| begun.since);
                    self.state = State::Command(Some(PartialLine { since, seen: input.len() }));
                    Step::NeedInput
                }
                Line::TooLong => {
                    refuse(&ErrorReply::new(code::BAD_COMMAND, "the line is too long"), out);
                    Step::Finish(0, CloseReason::Rejected)
                }
            },
            State::Listing(_) | State::Hashing(_) | State::Resuming(_) => Step::NeedInput,
        };
        step.with_demand(self.demand())
    }

    fn on_eof(&mut self, rest: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, IDLE) {
            State::Typing(Some(upload), typing) if typing.ends_here() => {
                store(*upload, out, cx);
                Some(CloseReason::PeerClosed)
            }
            State::Typing(None, _) => Some(CloseReason::PeerLeft),
            State::Receiving(payload) if !payload.is_wanted() => Some(CloseReason::PeerLeft),
            State::Typing(..) | State::Receiving(_) => {
                refuse(&ErrorReply::new(code::BAD_LENGTH, "the upload ended early"), out);
                Some(CloseReason::PeerLeft)
            }
            _ => match take_line(rest, 0, true) {
                // The line may be cut short, and the name with it.
                Line::Whole(line, _) if Command::parse(&line).stores() => {
                    refuse(&ErrorReply::new(code::BAD_COMMAND, "the last line has no newline"), out);
                    Some(CloseReason::PeerLeft)
                }
                Line::Whole(line, length) => {
                    self.on_line(&line, length, out, cx);
                    (self.demand() != Demand::Turn).then_some(CloseReason::PeerClosed)
                }
                _ => Some(CloseReason::PeerClosed),
            },
        }
    }

    fn on_deadline(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        let reason = match std::mem::replace(&mut self.state, IDLE) {
            State::Command(None) => return Some(cx.core.idle_close_reason()),
            State::Command(Some(_)) => CloseReason::HeadTimeout,
            State::Receiving(_) => CloseReason::BodyTimeout,
            State::Typing(..) => CloseReason::IdleTimeout,
            producing => {
                self.state = producing;
                return None;
            }
        };
        refuse(&ErrorReply::new(code::TIMEOUT, "timed out"), out);
        Some(reason)
    }

    fn demand(&self) -> Demand {
        match &self.state {
            State::Listing(_) | State::Hashing(_) | State::Resuming(_) => Demand::Turn,
            State::Receiving(payload) if payload.is_rehashing() => Demand::Turn,
            State::Receiving(payload) => Demand::Input(payload.expected()),
            State::Command(_) | State::Typing(..) => Demand::Input(0),
        }
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, IDLE) {
            State::Listing(listing) => match listing.advance(out) {
                Ok(Some(rest)) => self.state = State::Listing(rest),
                Ok(None) => {}
                Err(error) => refuse(&error, out),
            },
            State::Hashing(name) => {
                if let Err(error) = self.hash(name, out, cx) {
                    refuse(&error, out);
                }
            }
            State::Receiving(mut payload) => {
                if let Some(reason) = payload.rehash(out) {
                    return Some(reason);
                }
                self.store_or_wait(payload, out, cx);
            }
            State::Resuming(key) => match continue_resume(*key, out, cx) {
                Ok(resumed) => self.on_resumed(resumed, out, cx),
                Err(error) => refuse(&error, out),
            },
            other => self.state = other,
        }
        self.close_reason(cx)
    }

    fn deadline(&self, quiet_since: Option<Instant>, core: &Core) -> Option<Instant> {
        let timeouts = &core.limits.timeouts;
        match &self.state {
            State::Command(Some(begun)) => Some(begun.since + timeouts.head),
            State::Command(None) => Some(core.idle_deadline(quiet_since? + timeouts.file_idle)),
            State::Receiving(payload) if payload.is_rehashing() => {
                Some(core.clock.now.monotonic + timeouts.idle)
            }
            State::Receiving(_) => Some(quiet_since? + timeouts.body),
            State::Typing(..) => Some(quiet_since? + timeouts.file_idle),
            // These states do not wait for the peer, so their deadline never passes.
            State::Listing(_) | State::Hashing(_) | State::Resuming(_) => {
                Some(core.clock.now.monotonic + timeouts.idle)
            }
        }
    }

    fn evictability(&self) -> Evictability {
        match self.state {
            State::Command(_) if self.has_begun => Evictability::Session,
            State::Command(_) => Evictability::Incomplete,
            _ => Evictability::Never,
        }
    }

    fn status(&self) -> ProtocolStatus {
        let (activity, why) = match &self.state {
            State::Command(None) => (Activity::Idle, "waits for a command"),
            State::Command(Some(_)) => (Activity::Request, "waits for the rest of a command line"),
            State::Receiving(payload) if payload.is_rehashing() => {
                (Activity::Responding, "hashes the part of an upload that is already stored")
            }
            State::Receiving(_) => (Activity::Body, "waits for the rest of an upload"),
            State::Typing(..) => {
                (Activity::Body, "waits for the next line of a text, or for the line that ends it")
            }
            State::Listing(_) => (Activity::Responding, "continues a listing in the next turn"),
            State::Hashing(_) | State::Resuming(_) => {
                (Activity::Responding, "waits until a stored file is hashed")
            }
        };
        ProtocolStatus { version: Some("lines"), ..ProtocolStatus::new(activity, why) }
    }
}
