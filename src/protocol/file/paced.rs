//! The dialects of the documents' own clients, which send no newlines and tell messages apart by
//! their receive calls: pauses keep them apart.

use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::limits::{JOINED_LIST_MAX_BYTES, LISTED_ITEMS_MAX, LISTING_SLICE_ENTRIES};
use crate::outbox::Outbox;
use crate::protocol::{Protocol, Step};
use crate::services::Services;
use crate::store::{Items, LibraryError, Name};

use super::receiving::Receiving;
use super::words::{END, Words};

/// One connection.
#[derive(Debug)]
pub struct Paced {
    words: &'static Words,
    state: State,
    /// Bytes of the input that were taken before it was known what they are.
    skip: usize,
}

/// What the connection is waiting for.
#[derive(Debug)]
enum State {
    Command,
    /// The bytes of an upload and the `##` that ends it.
    Receiving(Box<Receiving>),
    /// Its own next turn, to go on reading the library.
    Reading(Items, Vec<Name>),
}

/// A command of these dialects, which is a whole message.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    List,
    Get(&'a [u8]),
    Put(&'a [u8]),
    Quit,
}

impl<'a> Message<'a> {
    /// Reads a message. The name is what follows the last space.
    pub fn parse(message: &'a [u8]) -> Option<Message<'a>> {
        let name = || message.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        match message {
            b"L" => Some(Message::List),
            b"Q" => Some(Message::Quit),
            [b'G', b' ', _, ..] => Some(Message::Get(name())),
            [b'P', b' ', _, ..] => Some(Message::Put(name())),
            _ => None,
        }
    }
}

impl Paced {
    /// A connection in which nothing was said.
    pub fn new(words: &'static Words) -> Paced {
        Paced { words, state: State::Command, skip: 0 }
    }

    /// A connection whose first message was seen, but not taken.
    pub fn after(words: &'static Words, seen: usize) -> Paced {
        Paced { skip: seen, ..Paced::new(words) }
    }

    /// Carries out a message. Returns why the connection ends, if it does.
    pub fn on_message(&mut self, message: &[u8], out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        cx.statistics.requests += 1;
        match Message::parse(message) {
            Some(Message::List) => match cx.library.list() {
                Ok(items) => self.state = State::Reading(items, Vec::new()),
                Err(error) => self.refuse(&error, self.words.empty, out),
            },
            Some(Message::Get(name)) => self.get(name, out, cx),
            Some(Message::Put(name)) => self.put(name, out, cx),
            Some(Message::Quit) => return Some(CloseReason::Answered),
            // The documents' servers say nothing to what they do not know.
            None => {}
        }
        self.ending(cx)
    }

    fn ending(&self, cx: &Services) -> Option<CloseReason> {
        let between = matches!(self.state, State::Command);
        (between && cx.draining_since.is_some()).then_some(CloseReason::LastAnswer)
    }

    fn get(&self, name: &[u8], out: &mut Outbox, cx: &Services) {
        let found = Name::parse(name).ok_or(LibraryError::NotFound).and_then(|name| cx.library.read(&name));
        match found {
            Ok((file, item)) => {
                say("OK", out);
                out.pause(cx.limits.pace);
                if item.length > 0 {
                    out.send_file(file, 0..item.length);
                    out.pause(cx.limits.pace);
                }
                out.write(|bytes| bytes.extend_from_slice(END));
            }
            Err(error) => self.refuse(&error, self.words.not_found, out),
        }
    }

    fn put(&mut self, name: &[u8], out: &mut Outbox, cx: &Services) {
        let upload =
            Name::parse(name).ok_or(LibraryError::ReadOnly).and_then(|name| cx.library.create(&name, None));
        match upload {
            Ok(upload) => {
                say(self.words.upload, out);
                self.state = State::Receiving(Box::new(Receiving::new(upload, cx.clock.now())));
            }
            Err(LibraryError::Exists) => say(self.words.exists, out),
            Err(error) => self.refuse(&error, self.words.cannot_store, out),
        }
    }

    fn refuse(&self, error: &LibraryError, word: &str, out: &mut Outbox) {
        if let LibraryError::Failed(error) = error {
            log::error!("the library failed: {error}");
        }
        say(word, out);
    }

    fn read_slice(&mut self, mut items: Items, mut names: Vec<Name>, out: &mut Outbox, cx: &Services) {
        let slice = match items.next(LISTING_SLICE_ENTRIES) {
            Ok(slice) => slice,
            Err(error) => return self.refuse(&error, self.words.empty, out),
        };
        let last = slice.is_empty() || names.len() > LISTED_ITEMS_MAX;
        names.extend(slice.into_iter().map(|item| item.name));
        if !last {
            self.state = State::Reading(items, names);
            return;
        }
        names.sort();
        if names.is_empty() {
            return say(self.words.empty, out);
        }
        say("OK", out);
        out.pause(cx.limits.pace);
        if self.words.joined {
            return say(&joined(&names), out);
        }
        for name in names {
            say(name.as_str(), out);
            out.pause(cx.limits.pace);
        }
        out.write(|bytes| bytes.extend_from_slice(END));
    }
}

/// All names, a `#` behind each, as far as they fit into what the client reads at once.
fn joined(names: &[Name]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        if text.len() + name.as_str().len() + 1 > JOINED_LIST_MAX_BYTES {
            log::warn!(
                "{} of {} files are not in a joined listing, which is full",
                names.len() - index,
                names.len()
            );
            break;
        }
        text.push_str(name.as_str());
        text.push('#');
    }
    text
}

impl Protocol for Paced {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Services) -> Step {
        if self.skip > 0 {
            return Step::Consumed(std::mem::take(&mut self.skip).min(input.len()));
        }
        let State::Receiving(receiving) = &mut self.state else {
            let ending = self.on_message(input, out, cx);
            return Step::after(input.len(), ending);
        };
        if receiving.take(input, cx.clock.now())
            && let State::Receiving(receiving) = std::mem::replace(&mut self.state, State::Command)
        {
            receiving.store(cx);
        }
        Step::after(input.len(), self.ending(cx))
    }

    fn on_eof(&mut self, _rest: &[u8], _out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Command => Some(CloseReason::PeerClosed),
            // No silence is surer.
            State::Receiving(receiving) if receiving.may_have_ended() => {
                receiving.store(cx);
                Some(CloseReason::PeerClosed)
            }
            State::Receiving(_) => Some(CloseReason::PeerLeft),
            reading => {
                self.state = reading;
                None
            }
        }
    }

    fn on_deadline(&mut self, _out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Command => Some(cx.idle_ending()),
            State::Receiving(receiving) if receiving.may_have_ended() => {
                receiving.store(cx);
                self.ending(cx)
            }
            State::Receiving(_) => Some(CloseReason::BodyTimeout),
            reading => {
                self.state = reading;
                None
            }
        }
    }

    fn is_producing(&self) -> bool {
        matches!(self.state, State::Reading(..))
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Services) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Reading(items, names) => self.read_slice(items, names, out, cx),
            other => self.state = other,
        }
        self.ending(cx)
    }

    fn deadline(&self, quiet_since: Option<Instant>, cx: &Services) -> Option<Instant> {
        let timeouts = &cx.limits.timeouts;
        match &self.state {
            State::Command => Some(cx.idle_until(quiet_since? + timeouts.file_idle)),
            State::Receiving(receiving) => Some(receiving.deadline(timeouts.body)),
            State::Reading(..) => Some(cx.clock.now() + timeouts.idle),
        }
    }

    fn appetite(&self) -> usize {
        0
    }

    fn may_make_room(&self) -> bool {
        matches!(self.state, State::Command)
    }
}

fn say(text: &str, out: &mut Outbox) {
    out.write(|bytes| bytes.extend_from_slice(text.as_bytes()));
}
