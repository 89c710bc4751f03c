//! Every limit of the server, each with its reason. What a user can set stands in
//! [`Timeouts`] and [`Limits`]; the rest are constants.

use std::time::Duration;

/// Bytes of one request head. As much as browsers and proxies send with their cookies (nginx:
/// 4 × 8 KiB); beyond it the answer is 431.
pub const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Bytes of a request-target. RFC 9112 section 3 wants at least 8,000 supported; beyond it 414.
pub const TARGET_MAX_BYTES: usize = 8 * 1024;

/// Field lines of one head, as many as Apache takes; beyond it 431.
pub const FIELDS_MAX: usize = 100;

/// Bytes of empty lines before a request. RFC 9112 section 2.2 asks to ignore "at least one" CRLF.
pub const BLANK_MAX_BYTES: usize = 64;

/// Bytes of a body nobody asked for that are read to keep the connection. Beyond it a new
/// connection is cheaper for both sides.
pub const DISCARDED_BODY_MAX_BYTES: u64 = 64 * 1024;

/// How long an unwanted body may pause before its request is answered all the same: its sender may
/// be waiting to hear.
pub const ANSWER_AFTER_PAUSE: Duration = Duration::from_millis(300);

/// Bytes of one chunk's size line with its extensions (RFC 9112 section 7.1.1 asks for a bound).
pub const CHUNK_LINE_MAX_BYTES: usize = 1024;

/// Bytes of a chunked body's trailer section.
pub const TRAILER_MAX_BYTES: usize = 8 * 1024;

/// Unread input that a connection may hold: one whole head, so that any head that is allowed can
/// be put together.
pub const INBOX_MAX_BYTES: usize = HEAD_MAX_BYTES;

/// Output in memory at which a connection takes no further request, its high-water mark.
pub const OUTBOX_MAX_BYTES: usize = 256 * 1024;

/// A connection's share of a turn. Large enough that system calls are not what it costs, small
/// enough that ten thousand others do not wait for one.
pub const TURN_READ_BYTES: usize = 64 * 1024;
/// See [`TURN_READ_BYTES`].
pub const TURN_WRITE_BYTES: usize = 256 * 1024;
/// See [`TURN_READ_BYTES`].
pub const TURN_REQUESTS: usize = 64;

/// Connections at least that go on in a turn after they used up their share of an earlier one. The
/// others of them wait, so that a small request beside hundreds of large transfers waits for a few
/// of them only.
pub const TURN_BULK: usize = 2;

/// For so many others in a turn one such connection more goes on: it takes about as long as they do,
/// 64 KiB received, hashed and written, so that neither kind starves the other.
pub const REQUESTS_PER_BULK: usize = 16;

/// Connections that one listener accepts in a turn, so that a flood of them leaves the others
/// their turns.
pub const TURN_ACCEPTS: usize = 32;

/// Descriptors kept from connections: the standard streams, listeners, the poll, log files, files
/// that are being opened.
pub const RESERVED_DESCRIPTORS: u64 = 64;

/// The listen backlog asked for; the kernel cuts it to `net.core.somaxconn` (4096 by default).
pub const LISTEN_BACKLOG: i32 = 4096;

/// How long a listener that could not accept waits before it tries again by itself. Edge-triggered
/// polling will not remind it.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How long input is read and dropped after the last answer, so that a reset does not destroy
/// that answer under way (RFC 9112 section 9.6).
pub const LINGER_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long at most if the input is an upload that nobody wants, and goes on.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of output that are surely on their way at once, an initial window of TCP (RFC 6928). A
/// connection that closes behind more than that lingers even if its peer asked for the close.
pub const SENT_AT_ONCE_BYTES: usize = 14 * 1024;

/// Bytes of access log that wait for the end of the turn, or for a file that takes none. It holds
/// some three thousand lines; a pipe that stalls for longer loses lines, which are counted.
pub const ACCESS_LOG_BUFFER_BYTES: usize = 256 * 1024;

/// How long lines of a log wait until a file that did not take them is tried again.
pub const LOG_RETRY: Duration = Duration::from_millis(100);

/// How long an idle connection stays when draining begins: a request that was already under way
/// arrives within it and is answered.
pub const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// Bodies up to this size are read into memory when they are opened; larger ones stay on the
/// disk, and go from file to socket by sendfile(2).
pub const MEMORY_BODY_MAX_BYTES: u64 = 128 * 1024;

/// Bodies and parts up to this size are copied beside their head, and whole answers beside others, so
/// that all leave in one piece: copying so little is cheaper than a second element of a gathered
/// write, and reading it from a file cheaper than sendfile(2).
pub const COPIED_BODY_MAX_BYTES: u64 = 16 * 1024;

/// The smallest file that is compressed when a client would take it as it is, too: below it the
/// coding saves no packet.
pub const COMPRESSED_FILE_MIN_BYTES: u64 = 1024;

/// The largest file that is compressed: more would hold a core for a second, and what comes of it
/// would drive out all else from the cache.
pub const COMPRESSED_FILE_MAX_BYTES: u64 = 16 << 20;

/// Files that are compressed at once; each holds 300 KiB of zlib's and what has come of it so far.
pub const COMPRESSIONS_MAX: usize = 8;

/// Bytes that are compressed in a turn: a millisecond.
pub const COMPRESSION_SLICE_BYTES: usize = 64 * 1024;

/// Entries of a folder that are sorted. What is larger comes as the file system has it, so that its
/// names need not be held in memory.
pub const SORTED_ENTRIES_MAX: usize = 10_000;

/// Entries on a page of a listing.
pub const PAGE_ENTRIES: usize = 1000;

/// Entries that are read and written in a turn: a millisecond.
pub const LISTING_SLICE_ENTRIES: usize = 256;

/// Bytes of a line of the file protocol.
pub const COMMAND_MAX_BYTES: usize = 4 * 1024;

/// How long nothing may come before a `##` that ends an upload of the documents' clients by itself.
pub const TERMINATOR_QUIET_BEFORE: Duration = Duration::from_millis(50);

/// How long nothing may come behind any other `##` until it is taken for the end.
pub const TERMINATOR_QUIET_AFTER: Duration = Duration::from_millis(250);

/// How long nothing may come behind a first message that could be one of the joined dialect.
pub const DIALECT_DETECTION_TIMEOUT: Duration = Duration::from_millis(200);

/// Bytes of such a message, as many as the documents' servers receive at once.
pub const FIRST_MESSAGE_MAX_BYTES: usize = 1024;

/// Bytes of a listing in the joined dialect, as many as the documents' clients receive at once.
pub const JOINED_LIST_MAX_BYTES: usize = 4096;

/// How long to wait until a peer is asked again whether it has acknowledged everything.
pub const ACKNOWLEDGED_RETRY: Duration = Duration::from_millis(5);

/// Files that one LIST names: it says first how many, so they are held until all are known.
pub const LISTED_ITEMS_MAX: usize = 100_000;

/// How often partial uploads are looked through for those that are too old.
pub const PARTIAL_SWEEP: Duration = Duration::from_secs(60);

/// Bytes of the beginning of an upload that are read again in a turn, to be hashed: a millisecond.
pub const REHASH_SLICE_BYTES: usize = 1 << 20;

/// Bytes of the fields of one part of a form.
pub const PART_HEAD_MAX_BYTES: usize = 2 * 1024;

/// Files of one form. If they are small, all of them may come in one turn, and each takes about 40 us.
pub const FORM_FILES_MAX: usize = 256;

/// Bytes that a form may have besides its files.
pub const FORM_EXTRA_BYTES: u64 = 64 * 1024;

/// How often a message may stand in its acknowledgement, so that a reply to a full inbox fits into
/// the outbox.
pub const TEMPLATE_MESSAGES_MAX: usize = OUTBOX_MAX_BYTES / INBOX_MAX_BYTES;

/// A reply to a datagram has at most so many times its bytes ...
pub const AMPLIFICATION_FACTOR: usize = 3;

/// ... and so many more: QUIC's bound (RFC 9000 section 8.1), and room for a short sentence.
pub const AMPLIFICATION_BYTES: usize = 64;

/// Bytes of one datagram over IPv4, which has 65,535 with its own head and that of UDP.
pub const DATAGRAM_MAX_BYTES: usize = 65_507;

/// Datagrams of one peer that are answered in a second, if nothing else is asked for.
pub const UDP_RATE: u32 = 200;

/// Peers whose datagrams are counted. While so many had an answer within one second, no others get
/// one.
pub const RATED_PEERS_MAX: usize = 4096;

/// Sessions that are remembered; whose was left alone for longest is a new visitor.
pub const SESSIONS_MAX: usize = 10_000;

/// How long a session may be left alone.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);

/// Ranges of one answer. More are refused by sending the whole file (RFC 9110 section 14.2).
pub const RANGES_MAX: usize = 16;

// Limits that depend on each other.
const _: () = {
    // The request line and at least one field fit into a head, and a head into the unread input.
    assert!(TARGET_MAX_BYTES < HEAD_MAX_BYTES && BLANK_MAX_BYTES < HEAD_MAX_BYTES);
    assert!(HEAD_MAX_BYTES <= INBOX_MAX_BYTES);
    // A whole head, or as many bytes as a command line may have, comes with one recv.
    assert!(INBOX_MAX_BYTES <= TURN_READ_BYTES && COMMAND_MAX_BYTES < INBOX_MAX_BYTES);
    assert!(FIRST_MESSAGE_MAX_BYTES <= COMMAND_MAX_BYTES && PART_HEAD_MAX_BYTES <= HEAD_MAX_BYTES);
    // What is copied is small beside what is kept in memory, and that beside what is queued.
    assert!(COPIED_BODY_MAX_BYTES < MEMORY_BODY_MAX_BYTES);
    assert!(MEMORY_BODY_MAX_BYTES < OUTBOX_MAX_BYTES as u64);
    // A full outbox leaves in one turn, and a discarded body is read in one.
    assert!(OUTBOX_MAX_BYTES <= TURN_WRITE_BYTES && DISCARDED_BODY_MAX_BYTES <= TURN_READ_BYTES as u64);
    assert!(COMPRESSED_FILE_MIN_BYTES < COMPRESSED_FILE_MAX_BYTES);
    assert!(LISTING_SLICE_ENTRIES <= PAGE_ENTRIES && PAGE_ENTRIES <= SORTED_ENTRIES_MAX);
    assert!(JOINED_LIST_MAX_BYTES < OUTBOX_MAX_BYTES && DATAGRAM_MAX_BYTES < OUTBOX_MAX_BYTES);
    // A legacy client that is sure to have ended is not taken for one that pauses.
    assert!(TERMINATOR_QUIET_BEFORE.as_millis() < TERMINATOR_QUIET_AFTER.as_millis());
    assert!(LINGER_IDLE_TIMEOUT.as_millis() < LINGER_TIMEOUT.as_millis());
    assert!(TURN_ACCEPTS <= LISTEN_BACKLOG as usize);
};

/// What a user can set of the limits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one peer address; 0 is no limit.
    pub max_per_client: usize,
    /// The pause between two messages to the documents' clients.
    pub pace: Duration,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Between two requests of a connection.
    pub idle: Duration,
    /// For a whole request head, from its first byte; the first one counts from the accept.
    pub head: Duration,
    /// Between two commands of a file connection.
    pub file_idle: Duration,
    /// Without a byte of an incoming body.
    pub body: Duration,
    /// Without progress of the output.
    pub write: Duration,
    /// For all connections to end after SIGTERM.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 16_000,
            max_per_client: 0,
            pace: Duration::from_millis(100),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            file_idle: Duration::from_secs(3600),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}
