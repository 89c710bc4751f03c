//! Every limit of the server, with its reason. Users or the system can set [`Limits`] and its [`Timeouts`];
//! the rest are constants.

mod settings;

use std::time::Duration;

pub use settings::{Limits, Timeouts};

/// The maximum size of a request head. It is enough for the cookies that browsers and proxies send (nginx: 4
/// × 8 KiB); a larger head gets 431.
pub const HEAD_MAX_BYTES: usize = 16 * 1024;

/// The maximum length of a request target. RFC 9112 section 3 recommends support for at least 8,000 bytes; a
/// longer target gets 414.
pub const TARGET_MAX_BYTES: usize = 8 * 1024;

/// The maximum number of field lines in a head, as in Apache; more of them get 431.
pub const FIELDS_MAX: usize = 100;

/// The maximum number of bytes in empty lines before a request. RFC 9112 section 2.2 asks servers to ignore
/// at least one empty line.
pub const BLANK_MAX_BYTES: usize = 64;

/// The maximum size of a discarded body that is read to keep the connection. Beyond it, a new connection is
/// cheaper for both sides.
pub const DISCARDED_BODY_MAX_BYTES: u64 = 64 * 1024;

/// How long a discarded body may pause before its request is answered anyway: the client may be waiting for
/// the response.
pub const ANSWER_AFTER_PAUSE: Duration = Duration::from_millis(300);

/// The maximum length of a chunk's size line with its extensions (RFC 9112 section 7.1.1 asks for a limit).
pub const CHUNK_LINE_MAX_BYTES: usize = 1024;

/// The maximum size of the trailer section of a chunked body.
pub const TRAILER_MAX_BYTES: usize = 8 * 1024;

/// The maximum number of unread bytes of a connection: one complete head, so that every allowed head can be
/// assembled.
pub const INBOX_MAX_BYTES: usize = HEAD_MAX_BYTES;

/// The minimum number of unread bytes of a connection that are kept outside of the heap between turns. Fewer
/// take less memory in the heap, where ten thousand connections may leave 10 MB.
pub const PARKED_MIN_BYTES: usize = 1024;

/// The high-water mark of a connection: with this much output in memory, it processes no further request.
pub const OUTBOX_MAX_BYTES: usize = 256 * 1024;

/// Bytes that a connection may read in a turn. The budgets of a turn are large enough that system calls do
/// not dominate the cost, and small enough that ten thousand other connections do not wait long for one.
pub const TURN_READ_BYTES: usize = 64 * 1024;
/// Bytes that a connection may write in a turn; see [`TURN_READ_BYTES`].
pub const TURN_WRITE_BYTES: usize = 256 * 1024;
/// Bytes that a connection may write in a turn in the middle of a large response, while others are served small ones: a
/// small request waits for a few of these pieces. With four streams of a gigabyte, the p99 of small requests is a ninth
/// of that with [`TURN_WRITE_BYTES`].
pub const TURN_WRITE_SHARED_BYTES: usize = 64 * 1024;
/// How long after a small response the budget of large ones stays small.
pub const SHARED_FOR: Duration = Duration::from_millis(10);
/// Requests that a connection may process in a turn; see [`TURN_READ_BYTES`].
pub const TURN_REQUESTS: usize = 64;

/// The minimum number of bulk connections driven in a turn, that is, connections that have used up their
/// budget of an earlier turn. Further ones wait, so that a small request next to hundreds of large transfers
/// waits for only a few of them.
pub const TURN_BULK: usize = 2;

/// For each group of this many other sources in a turn, one more bulk connection is driven. It takes about as
/// long as the group, with 64 KiB received, hashed and written, so that neither kind starves the other.
pub const REQUESTS_PER_BULK: usize = 16;

/// Connections that a listener accepts in a turn, so that a flood of them does not starve the other sources.
pub const TURN_ACCEPTS: usize = 32;

/// Descriptors that neither connections nor their files may use: for the standard streams, listeners, the
/// poll, log files, and files that are closed again within a turn.
pub const RESERVED_DESCRIPTORS: usize = 64 + ADMIN_CONNECTIONS_MAX;

/// The minimum part of the other descriptors that connections leave to uploads, large files and listings: one
/// of this number.
pub const DESCRIPTORS_PER_FILE: usize = 8;

/// The requested listen backlog; the kernel caps it at `net.core.somaxconn` (4096 by default).
pub const LISTEN_BACKLOG: i32 = 4096;

/// The number of addresses that the log names for a listener on all interfaces. Machines with containers have dozens,
/// and a longer line would not be read.
pub const REACHABLE_ADDRESSES_MAX: usize = 8;

/// How long a listener waits after a failed accept before it retries. Edge-triggered polling does not report
/// the backlog again.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The minimum time between two scans for connections that can be evicted. Together with the next limit it
/// keeps a flood of connections from using all CPU time for scans.
pub const EVICTION_SCAN_PAUSE: Duration = Duration::from_millis(10);

/// The time between two scans for connections that can be evicted, per open connection: ten times as long as
/// a scan takes, at most [`ACCEPT_RETRY`].
pub const EVICTION_SCAN_COST: Duration = Duration::from_nanos(2500);

/// How long a closing connection reads and drops input, so that a reset does not destroy the last response in
/// flight (RFC 9112 section 9.6). While a discarded upload continues, [`LINGER_TIMEOUT`] applies instead.
pub const LINGER_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a closing connection reads and discards an upload at most.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that TCP sends without waiting for an ACK, its initial window (RFC 6928). A connection that closes
/// after sending more than that lingers, even if its peer asked for the close.
pub const SENT_AT_ONCE_BYTES: usize = 14 * 1024;

/// The number of turns that are recorded, for the inspector.
pub const TURNS_RECORDED: usize = 256;

/// The maximum number of turns in a frame of the inspector's live view.
pub const FRAME_TURNS_MAX: u64 = 128;

/// A turn that works for this time or longer is a stall: other connections notice the wait.
pub const STALL: Duration = Duration::from_millis(50);

/// How often a stall is logged at most.
pub const STALL_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The number of stalls that the inspector shows.
pub const STALLS_KEPT: usize = 16;

/// The minimum time between two frames of the inspector's live view.
pub const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// What a census of the slab takes per source, so that frames use at most a hundredth of the time.
pub const CENSUS_COST: Duration = Duration::from_nanos(60);

/// How long the last request of each connection is noted after a client last asked for the connections or got a frame.
pub const WATCHED_FOR: Duration = Duration::from_secs(10);

/// Bytes of the last request of a connection that are kept for the inspector.
pub const LAST_REQUEST_MAX_BYTES: usize = 200;

/// The maximum number of viewers of the inspector's live view. They stay connected, so they leave places of
/// [`ADMIN_CONNECTIONS_MAX`] to health checks and scrapes of the metrics.
pub const VIEWERS_MAX: usize = 12;

/// The number of connections to the admin listener. They have places and descriptors of their own, so that the
/// inspector answers when the server is full.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;

/// Bytes of the access log that wait for the end of the turn, or for a file that accepts no data. They hold
/// some three thousand lines; a pipe that stalls for longer loses lines, which are counted.
pub const ACCESS_LOG_BUFFER_BYTES: usize = 256 * 1024;

/// Lines of the access log that wait until their responses are sent: about one for each connection at the default of
/// `--max-connections`. Beyond it, lines are written before their responses are sent.
pub const ACCESS_LINES_MAX: usize = 16 * 1024;

/// The memory of these lines. Most take 300 bytes, but the request line and the fields of one may take 96 KiB.
pub const ACCESS_LINES_BYTES: usize = 8 << 20;

/// How long log lines that a file did not accept wait before the write is retried.
pub const LOG_RETRY: Duration = Duration::from_millis(100);

/// How long an idle connection stays open after draining begins, so that a request in flight still arrives
/// and is answered.
pub const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// The size up to which a file is read into memory when it is opened. Larger files stay on disk and are sent
/// by sendfile(2).
pub const MEMORY_BODY_MAX_BYTES: u64 = 128 * 1024;

/// The size up to which a body or part is copied next to its head, and a complete response next to others, so
/// that all are sent in one piece. Such a copy is cheaper than a second element of a gathered write, and
/// reading the bytes from a file is cheaper than sendfile(2).
pub const COPIED_BODY_MAX_BYTES: u64 = 16 * 1024;

/// The size up to which a file is not compressed for a client that also accepts it uncompressed: the coding
/// would save no packet.
pub const COMPRESSED_FILE_MIN_BYTES: u64 = 1024;

/// The largest file that is compressed. A larger one would occupy a core for a second, and its compressed
/// form would evict all else from the cache.
pub const COMPRESSED_FILE_MAX_BYTES: u64 = 16 << 20;

/// The maximum number of files that are compressed at once. Each holds 300 KiB of zlib state and its output
/// so far.
pub const COMPRESSIONS_MAX: usize = 8;

/// Bytes that are compressed in a turn: about a millisecond's work.
pub const COMPRESSION_SLICE_BYTES: usize = 64 * 1024;

/// The number of entries up to which a listing is sorted. A larger folder is listed in file system order, so
/// that its names need not be held in memory.
pub const SORTED_ENTRIES_MAX: usize = 10_000;

/// Entries on a page of a listing. An HTML page without `?page=` is the first one: programs read it, so it holds
/// as much as a browser can show.
pub const PAGE_ENTRIES: usize = 10_000;

/// Entries that are read and written in a turn: about a millisecond's work.
pub const LISTING_SLICE_ENTRIES: usize = 256;

/// The maximum length of a line of the file protocol.
pub const COMMAND_MAX_BYTES: usize = 4 * 1024;

/// A lone `##` ends the upload of a legacy client at once if no byte arrived for this long before it.
pub const TERMINATOR_QUIET_BEFORE: Duration = Duration::from_millis(50);

/// Any other trailing `##` ends the upload of a legacy client if no byte arrives for this long after it.
pub const TERMINATOR_QUIET_AFTER: Duration = Duration::from_millis(250);

/// A first message that could belong to the joined dialect is taken for one if no byte arrives for this long
/// after it.
pub const DIALECT_DETECTION_TIMEOUT: Duration = Duration::from_millis(200);

/// The maximum length of a first message in the joined dialect: as many bytes as legacy servers receive at
/// once.
pub const FIRST_MESSAGE_MAX_BYTES: usize = 1024;

/// The maximum length of a listing in the joined dialect: as many bytes as legacy clients receive at once.
pub const JOINED_LIST_MAX_BYTES: usize = 4096;

/// How long to wait before checking again whether a peer has acknowledged all output.
pub const ACKNOWLEDGED_RETRY: Duration = Duration::from_millis(5);

/// From this number of queued pauses on, the next output has to wait. Legacy clients take a message at a time, so the
/// bytes alone would not bound what is queued for them.
pub const OUTBOX_PAUSES_MAX: usize = 256;

/// The maximum number of files in one LIST. The reply begins with their number, so all names are held until
/// the last one is known.
pub const LISTED_ITEMS_MAX: usize = 100_000;

/// How long to wait for the disk before trying again to send a part of a file that was not in memory. The kernel reads
/// about a megabyte ahead meanwhile.
pub const DISK_RETRY: Duration = Duration::from_millis(1);

/// The assumed resolution of file times. File systems count in timer ticks of at most 10 ms, so two changes within one
/// tick look alike.
pub const FILE_TIME_RESOLUTION: Duration = Duration::from_millis(30);

/// How often a request checks whether another folder has taken the path of the site or the library.
pub const FOLDER_CHECK: Duration = Duration::from_millis(500);

/// How often the library is searched for expired partial uploads.
pub const PARTIAL_SWEEP: Duration = Duration::from_secs(60);

/// Bytes of a stored file that are read and hashed in a turn: about a millisecond's work.
pub const REHASH_SLICE_BYTES: usize = 1 << 20;

/// The maximum number of stored files that are hashed at once, for HASH or to compare them with uploads. Each has
/// a descriptor open; further requests wait.
pub const DIGEST_JOBS_MAX: usize = 8;

/// The highest number that is inserted into the name of an upload whose name is taken. Each try is a system
/// call; all of them take about a millisecond.
pub const DUPLICATES_MAX: usize = 1000;

/// The maximum number of files, with the name of an upload and numbered ones, whose digests are compared with
/// it. All of them fit into the cache of digests.
pub const COMPARED_DUPLICATES_MAX: usize = 16;

/// How long a stored file continues to be hashed after its digest was last asked for. Connections that wait
/// for it ask in every turn in which they are driven.
pub const DIGEST_ABANDONED: Duration = Duration::from_secs(5);

/// How long the digest of a file is kept that changed just before it was hashed: long enough for the connections
/// that wait for it, since the next change may not show in the file's times.
pub const RACY_DIGEST: Duration = Duration::from_secs(1);

/// The maximum number of cached digests of stored files: enough for the uploads of which a client may not
/// have received the response.
pub const DIGESTS_MAX: usize = 256;

/// The maximum size of the header fields of one part of a form.
pub const PART_HEAD_MAX_BYTES: usize = 2 * 1024;

/// The maximum number of files in one form. If they are small, all of them may arrive in one turn, and each
/// takes about 40 us.
pub const FORM_FILES_MAX: usize = 256;

/// Bytes by which a form may exceed the size limit of an upload, for part headers and other fields.
pub const FORM_EXTRA_BYTES: u64 = 64 * 1024;

/// How often an acknowledgement may contain the message, so that the reply to a full inbox fits into the
/// outbox.
pub const TEMPLATE_MESSAGES_MAX: usize = OUTBOX_MAX_BYTES / INBOX_MAX_BYTES;

/// The maximum size of a reply to a datagram, as a multiple of the datagram's size; [`AMPLIFICATION_BYTES`]
/// are allowed in addition. QUIC has the same bound (RFC 9000 section 8.1).
pub const AMPLIFICATION_FACTOR: usize = 3;

/// The number of bytes allowed in a reply to a datagram beyond [`AMPLIFICATION_FACTOR`]: room for a short
/// sentence.
pub const AMPLIFICATION_BYTES: usize = 64;

/// The maximum payload of a datagram over IPv4: 65,535 bytes without the IP and UDP headers.
pub const DATAGRAM_MAX_BYTES: usize = 65_507;

/// The default number of datagrams per second that are answered for one peer.
pub const UDP_RATE: u32 = 200;

/// The maximum number of peers whose datagrams are counted. If this many peers got a reply within the last
/// second, other peers get none.
pub const RATED_PEERS_MAX: usize = 4096;

/// The maximum number of sessions. A new session evicts the least recently used one, whose client then counts
/// as a new visitor.
pub const SESSIONS_MAX: usize = 10_000;

/// How long a session is kept without a visit.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);

/// The time that the TLS handshakes of one turn may take: the established connections wait meanwhile. The last
/// handshake of a turn may exceed it.
pub const TURN_HANDSHAKE_TIME: Duration = Duration::from_millis(1);

/// What a TLS handshake takes without the signature: key exchange and key derivation.
pub const TLS_HANDSHAKE_COST: Duration = Duration::from_micros(60);

/// How often a connection may receive within a turn while its handshake makes no progress.
pub const TLS_HANDSHAKE_READS: usize = 16;

/// The maximum number of received bytes that a TLS connection keeps: a handshake message, which rustls accepts up to 64
/// KiB, and a record.
pub const TLS_INPUT_MAX_BYTES: usize = 80 * 1024;

/// How many bytes are encrypted at once. They exist twice until the socket accepts their records.
pub const TLS_SEND_BYTES: usize = 32 * 1024;

/// The content of a TLS record that fits into one packet, of 1,500 bytes with IPv6 and TCP timestamps.
pub const TLS_FIRST_RECORD_BYTES: usize = 1370;

/// How many bytes of a response are sent in small records: about what TCP sends before the first acknowledgement
/// (RFC 6928).
pub const TLS_FIRST_BYTES: usize = 10 * TLS_FIRST_RECORD_BYTES;

/// How often the files of certificates are checked for changes, while clients connect.
pub const TLS_CERTIFICATE_CHECK: Duration = Duration::from_secs(1);

/// The validity of a self-signed certificate. Browsers accept at most 398 days.
pub const SELF_SIGNED_VALIDITY: Duration = Duration::from_secs(397 * 24 * 3600);

/// The maximum number of ranges in one response. A request for more gets the complete file (RFC 9110 section
/// 14.2).
pub const RANGES_MAX: usize = 16;

// Limits that depend on each other.
const _: () = {
    // The request line and at least one field fit into a head, and a head into the unread input.
    assert!(TARGET_MAX_BYTES < HEAD_MAX_BYTES && BLANK_MAX_BYTES < HEAD_MAX_BYTES);
    // An HTTP connection keeps their lengths in few bytes.
    assert!(BLANK_MAX_BYTES <= u8::MAX as usize && HEAD_MAX_BYTES <= u16::MAX as usize);
    assert!(HEAD_MAX_BYTES <= INBOX_MAX_BYTES && PARKED_MIN_BYTES <= INBOX_MAX_BYTES);
    // One recv can receive a complete head or a command line of maximum length.
    assert!(INBOX_MAX_BYTES <= TURN_READ_BYTES && COMMAND_MAX_BYTES < INBOX_MAX_BYTES);
    assert!(FIRST_MESSAGE_MAX_BYTES <= COMMAND_MAX_BYTES && PART_HEAD_MAX_BYTES <= HEAD_MAX_BYTES);
    // Copied bodies are smaller than bodies in memory, which are smaller than a full outbox.
    assert!(COPIED_BODY_MAX_BYTES < MEMORY_BODY_MAX_BYTES);
    assert!(MEMORY_BODY_MAX_BYTES < OUTBOX_MAX_BYTES as u64);
    // A full outbox can be sent in one turn while no others are served, and a discarded body read in one turn.
    assert!(OUTBOX_MAX_BYTES <= TURN_WRITE_BYTES && DISCARDED_BODY_MAX_BYTES <= TURN_READ_BYTES as u64);
    assert!(COMPRESSED_FILE_MIN_BYTES < COMPRESSED_FILE_MAX_BYTES);
    assert!(LISTING_SLICE_ENTRIES <= PAGE_ENTRIES && PAGE_ENTRIES <= SORTED_ENTRIES_MAX);
    assert!(JOINED_LIST_MAX_BYTES < OUTBOX_MAX_BYTES && DATAGRAM_MAX_BYTES < OUTBOX_MAX_BYTES);
    // If upload data ends in `##`, the pause before a lone `##` does not itself end the upload.
    assert!(TERMINATOR_QUIET_BEFORE.as_millis() < TERMINATOR_QUIET_AFTER.as_millis());
    assert!(COMPARED_DUPLICATES_MAX < DIGESTS_MAX && VIEWERS_MAX < ADMIN_CONNECTIONS_MAX);
    assert!(LINGER_IDLE_TIMEOUT.as_millis() < LINGER_TIMEOUT.as_millis());
    assert!(TURN_ACCEPTS <= LISTEN_BACKLOG as usize);
    assert!(EVICTION_SCAN_PAUSE.as_millis() < ACCEPT_RETRY.as_millis());
};
