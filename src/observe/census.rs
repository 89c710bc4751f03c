//! A census: what every connection of the loop does and waits for, at the end of one turn.

use std::fmt;

use super::Statistics;
use crate::clock::{Instant, Now};
use crate::peer::Peer;

/// What a connection does, or waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// The handshake of TLS is in progress.
    Handshake,
    /// No request is in progress.
    Idle,
    /// A part of a request head or of a command was received.
    Request,
    /// A request body or an upload is being received.
    Body,
    /// The server has work to do, and continues in the next turn.
    Responding,
    /// The peer has to receive output before the server sends more.
    Sending,
    /// The disk reads a part of a file.
    Disk,
    /// A pause separates two messages to a legacy client.
    Pause,
    /// The next part of a live response is not due yet.
    Streaming,
    /// The last output is being sent.
    Finishing,
    /// All was sent; input is dropped until the peer closes.
    Lingering,
}

impl Activity {
    /// All activities, in the order of their declaration.
    pub const ALL: [Activity; 11] = [
        Activity::Handshake,
        Activity::Idle,
        Activity::Request,
        Activity::Body,
        Activity::Responding,
        Activity::Sending,
        Activity::Disk,
        Activity::Pause,
        Activity::Streaming,
        Activity::Finishing,
        Activity::Lingering,
    ];

    /// Returns the name, and the letter that stands for it in a map of the slab.
    pub fn name(self) -> (&'static str, char) {
        match self {
            Activity::Handshake => ("handshake", 'n'),
            Activity::Idle => ("idle", 'i'),
            Activity::Request => ("request", 'q'),
            Activity::Body => ("body", 'b'),
            Activity::Responding => ("responding", 'r'),
            Activity::Sending => ("sending", 's'),
            Activity::Disk => ("disk", 'd'),
            Activity::Pause => ("pause", 'p'),
            Activity::Streaming => ("streaming", 'e'),
            Activity::Finishing => ("finishing", 'f'),
            Activity::Lingering => ("lingering", 'l'),
        }
    }
}

/// What a protocol says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolStatus {
    pub activity: Activity,
    /// Why the connection waits: the rest of a sentence that begins with the connection.
    pub why: &'static str,
    /// The version or dialect of the protocol, if it is known.
    pub version: Option<&'static str>,
    pub at_deadline: AtDeadline,
}

impl ProtocolStatus {
    /// Describes a connection that is closed at its deadline.
    pub fn new(activity: Activity, why: &'static str) -> ProtocolStatus {
        ProtocolStatus { activity, why, version: None, at_deadline: AtDeadline::Close }
    }
}

/// What happens at the deadline of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtDeadline {
    /// It is closed.
    Close,
    /// It continues.
    Continue,
    /// Nothing: it does not wait for it.
    Nothing,
}

/// The state of one connection.
#[derive(Clone, Debug)]
pub struct ConnectionStatus {
    /// The number by which logs name the connection.
    pub id: usize,
    /// The key in the slab.
    pub slot: usize,
    pub protocol: &'static str,
    pub version: Option<&'static str>,
    pub is_encrypted: bool,
    pub peer: Peer,
    pub activity: Activity,
    pub accepted: Instant,
    pub last_activity: Instant,
    pub received: u64,
    pub sent: u64,
    /// Bytes of output that were not sent.
    pub queued: u64,
    /// Bytes that were received and not consumed.
    pub unread: usize,
    pub requests: u32,
    pub deadline: Instant,
    pub at_deadline: AtDeadline,
    pub why: &'static str,
}

/// The sentence that says why a connection waits, as of a time.
pub struct Why<'a>(pub &'a ConnectionStatus, pub Instant);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Why(status, now) = self;
        let seconds = (status.deadline - *now).as_secs_f64();
        f.write_str(status.why)?;
        match status.at_deadline {
            AtDeadline::Close => write!(f, "; closes in {seconds:.1} s"),
            AtDeadline::Continue => write!(f, "; continues in {seconds:.3} s"),
            AtDeadline::Nothing => Ok(()),
        }
    }
}

/// The state of the loop at the end of a turn.
#[derive(Debug)]
pub struct Census {
    /// The number of the turn.
    pub turn: u64,
    pub now: Now,
    /// The number of connections by protocol, in the order of the list of protocols.
    pub open: Vec<(&'static str, usize)>,
    /// The number of connections by activity, in the order of [`Activity::ALL`].
    pub activities: [usize; Activity::ALL.len()],
    pub timers: Timers,
    pub slots: SlotMap,
    /// The counters, without those of the admin interface.
    pub statistics: Statistics,
    pub services: ServiceCounts,
    /// Whether `connections` was asked for.
    pub has_connections: bool,
    pub connections: Vec<ConnectionStatus>,
}

/// The slab, with a character per key in each text.
#[derive(Debug, Default)]
pub struct SlotMap {
    /// The letter of the protocol, a capital one with TLS; `l` is a listener, `u` a datagram socket, `.` is free.
    pub protocols: String,
    /// The letter of the activity; `.` is no connection.
    pub activities: String,
}

impl SlotMap {
    /// Adds the free keys before `key`, of which `next` is the first, and sets `next` to the one after `key`.
    pub fn skip_to(&mut self, key: usize, next: &mut usize) {
        (*next..key).for_each(|_| self.push('.', '.'));
        *next = key + 1;
    }

    /// Adds a key.
    pub fn push(&mut self, protocol: char, activity: char) {
        self.protocols.push(protocol);
        self.activities.push(activity);
    }
}

/// What the services hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceCounts {
    /// Entries of the caches of site and library, and their bytes of memory.
    pub cached_files: usize,
    pub cached_bytes: usize,
    pub cached_bytes_max: usize,
    pub cache_hits: u64,
    pub cache_misses: u64,
    /// Files and folders that are watched for changes.
    pub watches: usize,
    /// Descriptors of uploads, large files and listings.
    pub open_files: usize,
    pub open_files_max: usize,
}

/// The deadlines of all sources.
#[derive(Debug, Default)]
pub struct Timers {
    pub count: usize,
    pub next: Option<Instant>,
    /// How many are due within the times of [`Timers::WITHIN`], each without those before, and how many are later.
    pub due: [usize; Timers::WITHIN.len() + 1],
}

impl Timers {
    /// Seconds.
    pub const WITHIN: [u64; 3] = [1, 10, 60];

    /// Counts a deadline.
    pub fn add(&mut self, deadline: Instant, now: Instant) {
        let left = (deadline - now).as_secs_f64();
        let index = Timers::WITHIN.iter().position(|within| left <= *within as f64);
        self.due[index.unwrap_or(Timers::WITHIN.len())] += 1;
        self.count += 1;
        self.next = Some(self.next.map_or(deadline, |next| next.min(deadline)));
    }
}
