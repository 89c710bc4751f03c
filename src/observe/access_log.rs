//! The access log: one line per response, completed when the response was sent or cut off. Lines are collected in a
//! bounded buffer, which is written once per turn, or when it is full.

use std::collections::HashMap;
use std::io;

use super::access_format::{AccessRecord, Format, SentResponse};
use super::access_lines::{BegunLines, QueuedBytes};
use super::log_file::{LogFile, Reopened};
use crate::clock::{Clock, Instant};
use crate::close_reason::CloseReason;
use crate::limits::{ACCESS_LINES_BYTES, ACCESS_LINES_MAX, ACCESS_LOG_BUFFER_BYTES};

#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    file: LogFile,
    /// Complete lines that are not written yet.
    buffer: Vec<u8>,
    /// The lines begun for the connection that is driven.
    begun: BegunLines,
    /// The lines begun in earlier turns for connections that are still sending, by the number of the connection.
    waiting: HashMap<usize, BegunLines>,
    /// The number of the waiting lines.
    waiting_count: usize,
    /// The bytes of memory that the waiting lines need.
    waiting_bytes: usize,
    /// The formatted time, cached for one second, and that second of Unix time.
    time: String,
    second: u64,
    /// The number of lines dropped since the last report, because the buffer was full or a write failed.
    dropped: u64,
    buffer_start: BufferStart,
}

/// What the buffer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BufferStart {
    /// A line, or the rest of the line in the middle of which the file ends.
    Next,
    /// A line, while the file ends in the middle of one whose rest was dropped.
    AfterTornLine,
}

impl AccessLog {
    pub fn new(file: LogFile, format: Format) -> AccessLog {
        let buffer = Vec::with_capacity(ACCESS_LOG_BUFFER_BYTES);
        AccessLog {
            format,
            file,
            buffer,
            begun: BegunLines::default(),
            waiting: HashMap::new(),
            waiting_count: 0,
            waiting_bytes: 0,
            time: String::new(),
            second: u64::MAX,
            dropped: 0,
            buffer_start: BufferStart::Next,
        }
    }

    /// Begins the line of a response, of which `queued` was queued. The line is completed when the connection was
    /// driven and the response was sent; see [`AccessLog::complete_sent`].
    pub fn begin(&mut self, record: &AccessRecord<'_>, queued: QueuedBytes, clock: &Clock) {
        self.show_time(clock);
        let (format, time) = (self.format, &self.time);
        self.begun.begin(record.begun, queued, |text| format.begin(text, record, time));
    }

    /// Adds bytes to the partial response of `connection`.
    pub fn extend(&mut self, connection: usize, more: QueuedBytes) {
        if !self.begun.is_empty() {
            self.begun.extend(more);
        } else if let Some(lines) = self.waiting.get_mut(&connection) {
            lines.extend(more);
        }
    }

    /// Completes the lines of `connection` whose responses were sent, after it was driven. The others wait. The last
    /// `unsent` bytes of the output were not sent. `close` is why the connection closes after them, if it does.
    pub fn complete_sent(
        &mut self,
        connection: usize,
        unsent: u64,
        close: Option<CloseReason>,
        now: Instant,
    ) {
        if self.begun.is_empty() && self.waiting.get(&connection).is_none_or(|lines| lines.sent(unsent) == 0)
        {
            return;
        }
        let mut lines = self.take_lines(connection);
        let count = lines.sent(unsent);
        self.complete(connection, &mut lines, count, close, now);
        if !lines.is_empty() && !self.keep(connection, &mut lines) {
            self.complete_cut(connection, &mut lines, unsent, None, now);
        }
        self.begun = lines;
    }

    /// Completes all lines of `connection`, which closes or has closed for the reason `close`. The last `unsent`
    /// bytes of the output are never sent.
    pub fn complete_all(&mut self, connection: usize, unsent: u64, close: Option<CloseReason>, now: Instant) {
        if self.begun.is_empty() && self.waiting.is_empty() {
            return;
        }
        let mut lines = self.take_lines(connection);
        self.complete_cut(connection, &mut lines, unsent, close, now);
        self.begun = lines;
    }

    /// Subtracts the last `unsent` bytes of the output of `connection`, which are dropped.
    pub fn cut(&mut self, connection: usize, unsent: u64) {
        let earlier = self.begun.cut(unsent);
        if let Some(lines) = self.waiting.get_mut(&connection) {
            lines.cut(earlier);
        }
    }

    /// Returns the lines begun for `connection`, which is driven or closed, and removes them.
    fn take_lines(&mut self, connection: usize) -> BegunLines {
        let mut begun = std::mem::take(&mut self.begun);
        if let Some(mut lines) = self.waiting.remove(&connection) {
            self.waiting_count -= lines.count();
            self.waiting_bytes -= lines.size();
            lines.append(&mut begun);
            // The memory of `begun` is used again.
            begun.append(&mut lines);
        }
        begun
    }

    /// Moves `lines` to the waiting ones until more of their responses is sent. Returns false, and moves nothing, if
    /// there is no room.
    fn keep(&mut self, connection: usize, lines: &mut BegunLines) -> bool {
        let (count, bytes) = (self.waiting_count + lines.count(), self.waiting_bytes + lines.size());
        let fits = count <= ACCESS_LINES_MAX && bytes <= ACCESS_LINES_BYTES;
        if fits {
            (self.waiting_count, self.waiting_bytes) = (count, bytes);
            self.waiting.insert(connection, lines.take());
        }
        fits
    }

    /// Completes and removes all lines. The last `unsent` bytes of the output do not count.
    fn complete_cut(
        &mut self,
        connection: usize,
        lines: &mut BegunLines,
        unsent: u64,
        close: Option<CloseReason>,
        now: Instant,
    ) {
        lines.cut(unsent);
        self.complete(connection, lines, lines.count(), close, now);
    }

    /// Completes and removes the first `count` lines. Those that are cut, and the last one of all, have the reason
    /// `close`.
    fn complete(
        &mut self,
        connection: usize,
        lines: &mut BegunLines,
        count: usize,
        close: Option<CloseReason>,
        now: Instant,
    ) {
        let last = lines.count();
        for (number, (line, text)) in (1..=count).zip(lines.iter()) {
            let sent = SentResponse {
                bytes: line.queued.body,
                duration: now - line.request_begun,
                connection,
                close: close.filter(|_| line.is_cut || number == last),
            };
            self.add(text, &sent);
        }
        lines.remove(count);
    }

    /// Adds a complete line to the buffer. If it does not fit, the buffer is written first. If it still does not fit,
    /// because the file accepts no more, the line is dropped.
    fn add(&mut self, begun: (&[u8], &[u8]), sent: &SentResponse) {
        if !self.append(begun, sent) {
            self.flush();
            self.dropped += u64::from(!self.append(begun, sent));
        }
    }

    /// Appends a line to the buffer. Returns false if it does not fit.
    fn append(&mut self, begun: (&[u8], &[u8]), sent: &SentResponse) -> bool {
        let start = self.buffer.len();
        self.format.complete(&mut self.buffer, begun, sent);
        let fits = self.buffer.len() <= ACCESS_LOG_BUFFER_BYTES;
        if !fits {
            self.buffer.truncate(start);
        }
        fits
    }

    /// Writes as much of the buffer as the file accepts. If a pipe stalls, the rest stays in the buffer for
    /// the next turn. If the write fails, as on a full disk, the buffer is dropped.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.buffer_start == BufferStart::AfterTornLine {
            // The end of the torn line, which no line begins with.
            self.buffer.insert(0, b'\n');
            self.buffer_start = BufferStart::Next;
        }
        match self.file.write_some(&self.buffer) {
            Ok(0) => {}
            Ok(written) => {
                self.buffer.drain(..written);
                self.report();
            }
            Err(error) => {
                if self.dropped == 0 {
                    log::warn!(
                        "cannot write the access log: {error}; its lines are dropped until a write succeeds"
                    );
                }
                self.drop_lines(self.buffer.len());
                if self.file.ends_mid_line() {
                    self.buffer_start = BufferStart::AfterTornLine;
                }
            }
        }
    }

    /// Returns whether the buffer holds lines that were not written.
    pub fn is_waiting(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Reopens the log file, as after a rotation. Another file begins with a line: the rest of one that the old file
    /// did not accept is dropped, and the lines after it are kept.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.flush();
        let was_mid_line = self.file.ends_mid_line();
        if self.file.reopen()? == Reopened::Same {
            return Ok(());
        }
        if was_mid_line && self.buffer_start == BufferStart::Next {
            let rest = memchr::memchr(b'\n', &self.buffer).map_or(self.buffer.len(), |end| end + 1);
            self.drop_lines(rest);
        }
        self.buffer_start = BufferStart::Next;
        Ok(())
    }

    /// Drops the first `length` bytes of the buffer and counts their lines.
    fn drop_lines(&mut self, length: usize) {
        let ends = memchr::memchr_iter(b'\n', &self.buffer[..length]).count();
        // The end of a torn line, which is already counted.
        let counted = self.buffer.first() == Some(&b'\n');
        self.dropped += (ends - usize::from(counted)) as u64;
        self.buffer.drain(..length);
    }

    /// Logs the number of dropped lines, once lines can be written again.
    fn report(&mut self) {
        if self.dropped > 0 {
            log::warn!("{} lines of the access log were dropped", self.dropped);
            self.dropped = 0;
        }
    }

    fn show_time(&mut self, clock: &Clock) {
        if clock.second() != self.second {
            self.second = clock.second();
            self.time = clock.local(self.format.time());
        }
    }
}
