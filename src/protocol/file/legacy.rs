//! The dialects of legacy clients, which are the clients of the teaching notes on sockets. They send no
//! newlines and take the bytes of each receive call for one message, so pauses must separate messages.

use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::limits::{JOINED_LIST_MAX_BYTES, LISTED_ITEMS_MAX, LISTING_SLICE_ENTRIES};
use crate::observe::{Activity, ProtocolStatus};
use crate::outbox::Outbox;
use crate::protocol::contract::{Demand, Evictability, Protocol, Step};
use crate::services::{Context, Core};
use crate::store::{Item, Items, LibraryError, Name};

use super::legacy_upload::LegacyUpload;
use super::vocabulary::{END, Vocabulary};

/// The state of one connection.
#[derive(Debug)]
pub struct Legacy {
    vocabulary: &'static Vocabulary,
    state: State,
    /// The number of input bytes to skip, because they were handled when the dialect was detected.
    skip: usize,
    /// Whether a message was received.
    has_begun: bool,
}

/// What the connection is waiting for.
#[derive(Debug)]
enum State {
    Command,
    /// The bytes of an upload and the `##` that ends it.
    Receiving(Box<LegacyUpload>),
    /// The connection's next turn, to continue reading the library.
    Reading(Items, Vec<Name>),
    /// The connection's next turn, to continue writing the names.
    Writing(std::vec::IntoIter<Name>),
}

/// A command of these dialects, which is one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LegacyCommand<'a> {
    List,
    Get(&'a [u8]),
    Put(&'a [u8]),
    Quit,
}

impl<'a> LegacyCommand<'a> {
    /// Parses a message. The name is the part after the last space.
    pub(super) fn parse(message: &'a [u8]) -> Option<LegacyCommand<'a>> {
        let name = || message.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        match message {
            b"L" => Some(LegacyCommand::List),
            b"Q" => Some(LegacyCommand::Quit),
            [b'G', b' ', _, ..] => Some(LegacyCommand::Get(name())),
            [b'P', b' ', _, ..] => Some(LegacyCommand::Put(name())),
            _ => None,
        }
    }
}

impl Legacy {
    pub fn new(vocabulary: &'static Vocabulary) -> Legacy {
        Legacy { vocabulary, state: State::Command, skip: 0, has_begun: false }
    }

    /// Creates a connection whose first `seen` bytes were handled but are still in the input.
    pub fn after(vocabulary: &'static Vocabulary, seen: usize) -> Legacy {
        Legacy { skip: seen, ..Legacy::new(vocabulary) }
    }

    /// Executes a message. Returns why the connection closes, if it does.
    pub fn on_message(
        &mut self,
        message: &[u8],
        out: &mut Outbox,
        cx: &mut Context<'_>,
    ) -> Option<CloseReason> {
        cx.statistics.requests += 1;
        cx.core.inspector.note_request(cx.connection, message);
        self.has_begun = true;
        match LegacyCommand::parse(message) {
            Some(LegacyCommand::List) => match cx.core.library.list() {
                Ok(items) => self.state = State::Reading(items, Vec::new()),
                Err(error) => self.refuse(&error, self.vocabulary.empty, out),
            },
            Some(LegacyCommand::Get(name)) => self.get(name, out, cx),
            Some(LegacyCommand::Put(name)) => self.put(name, out, cx),
            Some(LegacyCommand::Quit) => return Some(CloseReason::CloseRequested),
            // The servers of the teaching notes do not reply to unknown messages.
            None => {}
        }
        self.close_reason(cx)
    }

    fn close_reason(&self, cx: &Context<'_>) -> Option<CloseReason> {
        let between = matches!(self.state, State::Command);
        (between && cx.core.is_draining()).then_some(CloseReason::ServerClosed)
    }

    fn get(&self, name: &[u8], out: &mut Outbox, cx: &Context<'_>) {
        let found =
            Name::parse(name).ok_or(LibraryError::NotFound).and_then(|name| cx.core.library.read(&name));
        match found {
            Ok((file, item)) => {
                say("OK", out);
                out.pause(cx.core.limits.pace);
                if item.length > 0 {
                    out.send_file(file, 0..item.length);
                    out.pause(cx.core.limits.pace);
                }
                out.write(|bytes| bytes.extend_from_slice(END));
            }
            Err(error) => self.refuse(&error, self.vocabulary.not_found, out),
        }
    }

    fn put(&mut self, name: &[u8], out: &mut Outbox, cx: &Context<'_>) {
        let upload = Name::parse(name)
            .ok_or(LibraryError::ReadOnly)
            .and_then(|name| cx.core.library.create(&name, None));
        match upload {
            Ok(upload) => {
                say(self.vocabulary.upload, out);
                self.state =
                    State::Receiving(Box::new(LegacyUpload::new(upload, cx.core.clock.now.monotonic)));
            }
            Err(LibraryError::Exists) => say(self.vocabulary.exists, out),
            Err(error) => self.refuse(&error, self.vocabulary.cannot_store, out),
        }
    }

    fn refuse(&self, error: &LibraryError, word: &str, out: &mut Outbox) {
        if let LibraryError::Failed(error) = error {
            log::error!("library error: {error}");
        }
        say(word, out);
    }

    fn read_slice(&mut self, mut items: Items, mut names: Vec<Name>, out: &mut Outbox, cx: &Context<'_>) {
        let slice = match items.next(LISTING_SLICE_ENTRIES) {
            Ok(slice) => slice,
            Err(error) => return self.refuse(&error, self.vocabulary.empty, out),
        };
        let mut is_last = slice.is_empty();
        if fill(&mut names, slice, LISTED_ITEMS_MAX) {
            log::warn!(
                "a listing is full: it has {LISTED_ITEMS_MAX} files, and the others are missing from it"
            );
            is_last = true;
        }
        if !is_last {
            self.state = State::Reading(items, names);
            return;
        }
        names.sort();
        if names.is_empty() {
            return say(self.vocabulary.empty, out);
        }
        say("OK", out);
        out.pause(cx.core.limits.pace);
        if self.vocabulary.joined {
            return say(&joined(&names), out);
        }
        self.write_slice(names.into_iter(), out, cx);
    }

    fn write_slice(&mut self, mut names: std::vec::IntoIter<Name>, out: &mut Outbox, cx: &Context<'_>) {
        for name in names.by_ref().take(LISTING_SLICE_ENTRIES) {
            say(name.as_str(), out);
            out.pause(cx.core.limits.pace);
        }
        match names.len() {
            0 => out.write(|bytes| bytes.extend_from_slice(END)),
            _ => self.state = State::Writing(names),
        }
    }
}

/// Adds a slice to the names. Returns whether there are more than `most`; then only that number is kept.
fn fill(names: &mut Vec<Name>, slice: Vec<Item>, most: usize) -> bool {
    names.extend(slice.into_iter().map(|item| item.name));
    let is_full = names.len() > most;
    names.truncate(most);
    is_full
}

/// Joins the names, with a `#` after each, up to the size that a legacy client reads at once.
fn joined(names: &[Name]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        if text.len() + name.as_str().len() + 1 > JOINED_LIST_MAX_BYTES {
            log::warn!(
                "a joined listing is full: {} of {} files are missing from it",
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

impl Protocol for Legacy {
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        if self.skip > 0 {
            return Step::Consumed(std::mem::take(&mut self.skip).min(input.len()));
        }
        let State::Receiving(receiving) = &mut self.state else {
            let close = self.on_message(input, out, cx);
            return Step::after(input.len(), close).with_demand(self.demand());
        };
        if receiving.take(input, cx.core.clock.now.monotonic)
            && let State::Receiving(receiving) = std::mem::replace(&mut self.state, State::Command)
        {
            receiving.store(cx);
        }
        Step::after(input.len(), self.close_reason(cx))
    }

    fn on_eof(&mut self, _rest: &[u8], _out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Command => Some(CloseReason::PeerClosed),
            // EOF confirms the `##`, as silence would.
            State::Receiving(receiving) if receiving.may_have_ended() => {
                receiving.store(cx);
                Some(CloseReason::PeerClosed)
            }
            State::Receiving(_) => Some(CloseReason::PeerLeft),
            producing => {
                self.state = producing;
                None
            }
        }
    }

    fn on_deadline(&mut self, _out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Command => Some(cx.core.idle_close_reason()),
            State::Receiving(receiving) if receiving.may_have_ended() => {
                receiving.store(cx);
                self.close_reason(cx)
            }
            State::Receiving(_) => Some(CloseReason::BodyTimeout),
            producing => {
                self.state = producing;
                None
            }
        }
    }

    fn demand(&self) -> Demand {
        match self.state {
            State::Reading(..) | State::Writing(_) => Demand::Turn,
            State::Command | State::Receiving(_) => Demand::Input(0),
        }
    }

    fn resume(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Reading(items, names) => self.read_slice(items, names, out, cx),
            State::Writing(names) => self.write_slice(names, out, cx),
            other => self.state = other,
        }
        self.close_reason(cx)
    }

    fn deadline(&self, quiet_since: Option<Instant>, core: &Core) -> Option<Instant> {
        let timeouts = &core.limits.timeouts;
        match &self.state {
            State::Command => Some(core.idle_deadline(quiet_since? + timeouts.file_idle)),
            State::Receiving(receiving) => Some(receiving.deadline(timeouts.body)),
            State::Reading(..) | State::Writing(_) => Some(core.clock.now.monotonic + timeouts.idle),
        }
    }

    fn evictability(&self) -> Evictability {
        match self.state {
            State::Command if self.has_begun => Evictability::Session,
            State::Command => Evictability::Incomplete,
            _ => Evictability::Never,
        }
    }

    fn status(&self) -> ProtocolStatus {
        let (activity, why) = match &self.state {
            State::Command => (Activity::Idle, "waits for a message with a command"),
            State::Receiving(_) => {
                (Activity::Body, "waits for the rest of an upload, or for the ## that ends it")
            }
            State::Reading(..) | State::Writing(_) => {
                (Activity::Responding, "continues a listing in the next turn")
            }
        };
        ProtocolStatus {
            version: Some(if self.vocabulary.joined { "joined" } else { "listed" }),
            ..ProtocolStatus::new(activity, why)
        }
    }
}

fn say(text: &str, out: &mut Outbox) {
    out.write(|bytes| bytes.extend_from_slice(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;
    use crate::clock::Now;
    use crate::limits::{Limits, OUTBOX_PAUSES_MAX};
    use crate::peer::Peer;
    use crate::protocol::file::vocabulary::LISTED;
    use crate::services::Services;
    use crate::site::Rules;
    use crate::store::{Library, LibraryRules, MemoryStore};

    #[test]
    fn a_long_listing_is_queued_in_parts() {
        let folder = tempfile::tempdir().expect("a folder");
        let names: Vec<String> = (0..1500).map(|number| format!("file {number:04}")).collect();
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "").expect("a file"));
        let library = Library::open(folder.path(), LibraryRules::default()).expect("a library");
        let site = Box::new(MemoryStore::default());
        let mut services = Services::new(site, Rules::default(), library, Limits::default(), Now::read());
        let (mut legacy, mut out) = (Legacy::new(&LISTED), Outbox::default());
        let mut messages = Vec::new();
        legacy.on_input(b"L", &mut out, &mut services.context(Peer::Unix));
        while legacy.demand() == Demand::Turn || !out.is_empty() {
            while legacy.demand() == Demand::Turn && !out.is_full() {
                legacy.resume(&mut out, &mut services.context(Peer::Unix));
            }
            // A part, and one less than the queue that is not yet full.
            assert!(out.capacity() < 4 * OUTBOX_PAUSES_MAX * 64, "{} bytes", out.capacity());
            let mut pieces = [IoSlice::new(&[]); 1];
            let (count, _) = out.gather(&mut pieces, usize::MAX);
            assert_eq!(count, 1);
            messages.push(String::from_utf8(pieces[0].to_vec()).expect("text"));
            out.advance(pieces[0].len());
            out.end_pause();
        }
        assert_eq!((messages.remove(0), messages.pop()), ("OK".to_owned(), Some("##".to_owned())));
        assert_eq!(messages, names);
    }

    #[test]
    fn a_listing_holds_at_most_the_limit() {
        let slice = |texts: &[&str]| -> Vec<Item> {
            let names = texts.iter().filter_map(|text| Name::parse(text.as_bytes()));
            names.map(|name| Item { name, length: 0, modified: std::time::UNIX_EPOCH }).collect()
        };
        let mut names = Vec::new();
        assert!(!fill(&mut names, slice(&["a", "b"]), 4));
        assert!(!fill(&mut names, slice(&["c", "d"]), 4));
        assert_eq!(names.len(), 4);
        assert!(fill(&mut names, slice(&["e", "f"]), 4));
        assert_eq!(joined(&names), "a#b#c#d#");
    }
}
