//! The output that a connection still has to send, in order: inline bytes, shared bytes, file ranges and
//! pauses.

use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use crate::limits::{COPIED_BODY_MAX_BYTES, OUTBOX_MAX_BYTES, OUTBOX_PAUSES_MAX, TURN_WRITE_SHARED_BYTES};
use crate::store::{CountedFile, SharedBytes};

/// A part of the output.
#[derive(Debug)]
enum Segment {
    /// A number of bytes in the outbox's own buffer.
    Inline(usize),
    /// Bytes that have other owners, too, such as the cache.
    Shared(SharedBytes),
    /// A range of a file, sent to the socket without passing through the outbox.
    File(Rc<CountedFile>, Range<u64>),
    /// A pause, which begins when the peer has acknowledged all output before it.
    Pause(Duration),
}

/// The next output to send.
#[derive(Debug)]
pub enum Next<'a> {
    /// Nothing: everything was sent.
    Nothing,
    /// The number of pieces in memory, and whether other output follows them immediately.
    Pieces(usize, bool),
    /// A file, the offset to send from, and the number of bytes.
    File(&'a File, u64, usize),
    /// A pause.
    Pause,
}

/// The output queue of a connection. An empty queue owns no memory, unless it was used as the loop's spare
/// one.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The bytes of the inline segments, concatenated. The first `sent` of them were sent.
    bytes: Vec<u8>,
    sent: usize,
    segments: VecDeque<Segment>,
    /// The number of unsent bytes in memory, inline and shared.
    in_memory: usize,
    /// The number of file segments.
    files: usize,
    /// The number of pauses.
    pauses: usize,
}

/// The maximum number of pieces in one gathered write. A pipelined batch is inline bytes, which make one
/// piece; only shared bodies add more.
pub const PIECES_MAX: usize = 16;

/// Sent bytes are removed from the front of the buffer once this many have accumulated.
const SENT_MAX_BYTES: usize = 64 * 1024;

impl Outbox {
    /// Calls `write` to append bytes.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.copy_alone();
        let before = self.bytes.len();
        write(&mut self.bytes);
        let written = self.bytes.len() - before;
        if written == 0 {
            return;
        }
        self.in_memory += written;
        match self.segments.back_mut() {
            Some(Segment::Inline(length)) => *length += written,
            _ => self.segments.push_back(Segment::Inline(written)),
        }
    }

    /// Copies a small shared segment into the buffer if it is the only segment, before another follows.
    fn copy_alone(&mut self) {
        if self.segments.len() == 1
            && let Some(Segment::Shared(bytes)) = self.segments.front()
            && !is_large(bytes)
        {
            let length = bytes.len();
            self.bytes.extend_from_slice(bytes);
            self.segments[0] = Segment::Inline(length);
        }
    }

    /// Appends shared bytes.
    pub fn share(&mut self, bytes: SharedBytes) {
        if !bytes.is_empty() {
            self.in_memory += bytes.len();
            self.segments.push_back(Segment::Shared(bytes));
        }
    }

    /// Appends shared bytes that form a complete message. A message that is alone in the outbox is sent
    /// without being copied. Small messages of a batch are copied into one piece, because a gathered write
    /// costs more.
    pub fn append(&mut self, bytes: SharedBytes) {
        if self.segments.is_empty() || is_large(&bytes) {
            self.share(bytes);
        } else {
            self.write(|own| own.extend_from_slice(&bytes));
        }
    }

    /// Appends a range of a file.
    pub fn send_file(&mut self, file: Rc<CountedFile>, range: Range<u64>) {
        if range.start < range.end {
            self.files += 1;
            self.segments.push_back(Segment::File(file, range));
        }
    }

    /// Appends a pause, which begins when the peer has acknowledged all output before it.
    pub fn pause(&mut self, duration: Duration) {
        self.pauses += 1;
        self.segments.push_back(Segment::Pause(duration));
    }

    /// Returns the pause at the front, if there is one.
    pub fn front_pause(&self) -> Option<Duration> {
        match self.segments.front() {
            Some(Segment::Pause(duration)) => Some(*duration),
            _ => None,
        }
    }

    /// Removes the pause at the front, which is over.
    pub fn end_pause(&mut self) {
        if let Some(Segment::Pause(_)) = self.segments.front() {
            self.segments.pop_front();
            self.pauses -= 1;
        }
    }

    /// Returns whether everything was sent.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Returns the number of bytes that are still to be sent.
    pub fn unsent(&self) -> u64 {
        let in_file = |segment: &Segment| match segment {
            Segment::File(_, range) => range.end - range.start,
            Segment::Inline(_) | Segment::Shared(_) | Segment::Pause(_) => 0,
        };
        let in_files = if self.files == 0 { 0 } else { self.segments.iter().map(in_file).sum() };
        self.in_memory as u64 + in_files
    }

    /// Returns whether the next request has to wait: a high-water mark is reached, or a file is queued. One
    /// file at a time bounds the descriptors that a pipelining peer can make us hold.
    pub fn is_full(&self) -> bool {
        self.files > 0 || self.in_memory >= OUTBOX_MAX_BYTES || self.pauses >= OUTBOX_PAUSES_MAX
    }

    /// Returns whether more is queued than a turn sends while others are served: a file, or that many bytes.
    pub fn is_large(&self) -> bool {
        self.files > 0 || self.in_memory > TURN_WRITE_SHARED_BYTES
    }

    /// Returns the next output, at most `limit` bytes of it. Bytes in memory are put into `pieces`.
    pub fn next<'a>(&'a self, pieces: &mut [IoSlice<'a>], limit: usize) -> Next<'a> {
        if self.is_empty() {
            return Next::Nothing;
        }
        if let Some((file, range)) = self.front_file() {
            let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            return Next::File(file, range.start, left.min(limit));
        }
        match self.gather(pieces, limit) {
            (0, _) => Next::Pause,
            (count, more) => Next::Pieces(count, more),
        }
    }

    /// Returns the file range at the front, if there is one.
    pub fn front_file(&self) -> Option<(&File, &Range<u64>)> {
        match self.segments.front() {
            Some(Segment::File(file, range)) => Some((file, range)),
            _ => None,
        }
    }

    /// Fills `pieces` with the bytes in memory at the front, at most `limit` of them. Returns the number of
    /// pieces, and whether more output follows immediately.
    pub fn gather<'a>(&'a self, pieces: &mut [IoSlice<'a>], limit: usize) -> (usize, bool) {
        let mut count = 0;
        let mut inline = self.sent;
        let mut room = limit;
        for segment in &self.segments {
            let bytes = match segment {
                Segment::Inline(length) => {
                    inline += length;
                    &self.bytes[inline - length..inline]
                }
                Segment::Shared(bytes) => bytes,
                Segment::File(..) => return (count, true),
                // Output before a pause must be sent immediately.
                Segment::Pause(_) => return (count, false),
            };
            if count == pieces.len() || room == 0 {
                return (count, true);
            }
            let bytes = &bytes[..bytes.len().min(room)];
            pieces[count] = IoSlice::new(bytes);
            count += 1;
            room -= bytes.len();
        }
        (count, false)
    }

    /// Removes the first `count` bytes, which were sent.
    pub fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let Some(front) = self.segments.front_mut() else { break };
            let (taken, left) = match front {
                Segment::Inline(length) => {
                    let taken = count.min(*length);
                    *length -= taken;
                    self.sent += taken;
                    self.in_memory -= taken;
                    (taken, *length > 0)
                }
                Segment::Shared(bytes) => {
                    let taken = count.min(bytes.len());
                    bytes.advance(taken);
                    self.in_memory -= taken;
                    (taken, !bytes.is_empty())
                }
                // A pause has no bytes.
                Segment::Pause(_) => break,
                Segment::File(_, range) => {
                    let taken = count.min(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
                    range.start += taken as u64;
                    let left = range.start < range.end;
                    self.files -= usize::from(!left);
                    (taken, left)
                }
            };
            count -= taken;
            if !left {
                self.segments.pop_front();
            }
        }
        self.forget_sent();
    }

    fn forget_sent(&mut self) {
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= SENT_MAX_BYTES {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Frees unneeded memory. Called when a connection keeps its outbox after a turn.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.segments.shrink_to_fit();
    }

    /// Returns the bytes of memory held, used or not.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.segments.capacity() * size_of::<Segment>()
    }
}

/// Returns whether there are too many bytes to copy them next to others.
fn is_large(bytes: &[u8]) -> bool {
    bytes.len() as u64 > COPIED_BODY_MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Descriptors;

    /// Sends everything, at most `step` bytes at a time.
    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            let mut pieces = [IoSlice::new(&[]); 3];
            let (count, _) = outbox.gather(&mut pieces, step);
            let before = sent.len();
            pieces[..count].iter().for_each(|piece| sent.extend_from_slice(piece));
            assert!((1..=step).contains(&(sent.len() - before)));
            outbox.advance(sent.len() - before);
        }
        sent
    }

    #[test]
    fn bytes_are_sent_in_order_with_any_step_size() {
        let shared = SharedBytes::from(&b"0123456789"[..]);
        for step in 1..40 {
            let mut outbox = Outbox::default();
            outbox.write(|bytes| bytes.extend_from_slice(b"abc"));
            outbox.write(|bytes| bytes.extend_from_slice(b"def"));
            outbox.share(shared.part(2..7));
            outbox.share(shared.part(4..4));
            outbox.write(|_| ());
            outbox.write(|bytes| bytes.extend_from_slice(b"ghi"));
            outbox.share(shared.part(0..1));
            assert_eq!(drain(&mut outbox, step), b"abcdef23456ghi0");
            assert_eq!((outbox.in_memory, outbox.sent, outbox.bytes.len()), (0, 0, 0));
        }
    }

    #[test]
    fn a_lone_message_is_not_copied_and_a_small_batch_is_one_piece() {
        let (small, large) = (SharedBytes::from(&b"small"[..]), SharedBytes::from(vec![b'x'; 20_000]));
        let pieces = |outbox: &Outbox| outbox.gather(&mut [IoSlice::new(&[]); 9], usize::MAX).0;
        let mut outbox = Outbox::default();
        outbox.append(small.clone());
        assert_eq!((pieces(&outbox), outbox.bytes.len()), (1, 0));
        outbox.advance(2);
        outbox.append(small.clone());
        outbox.write(|bytes| bytes.extend_from_slice(b","));
        outbox.append(small.clone());
        assert_eq!((pieces(&outbox), outbox.bytes.len()), (1, 14));
        outbox.append(large.clone());
        outbox.append(small);
        assert_eq!((pieces(&outbox), outbox.in_memory), (3, 14 + 20_000 + 5));
        let sent = drain(&mut outbox, 7000);
        assert_eq!(sent, [b"allsmall,small", &large[..], b"small"].concat());
        outbox.append(large);
        outbox.write(|bytes| bytes.extend_from_slice(b"more"));
        assert_eq!((pieces(&outbox), outbox.bytes.len()), (2, 4));
    }

    #[test]
    fn sent_bytes_do_not_accumulate_in_front_of_unsent_bytes() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.write(|bytes| bytes.extend_from_slice(&[7; 1000]));
            outbox.advance(if outbox.in_memory > 2000 { 1000 } else { 0 });
        }
        assert!(outbox.bytes.len() < SENT_MAX_BYTES + 4000, "{} bytes", outbox.bytes.len());
    }

    #[test]
    fn a_queued_file_makes_the_outbox_full() {
        let mut outbox = Outbox::default();
        let file = File::open("/dev/null").expect("open /dev/null");
        let file = Descriptors::default().count(file).expect("a descriptor");
        outbox.write(|bytes| bytes.extend_from_slice(b"head"));
        outbox.send_file(file, 0..10);
        assert!(outbox.is_full() && outbox.front_file().is_none());
        assert_eq!(outbox.unsent(), 4 + 10);
        assert_eq!(outbox.gather(&mut [IoSlice::new(&[]); 4], 99), (1, true));
        outbox.advance(4 + 9);
        assert_eq!(outbox.front_file().map(|(_, range)| range.clone()), Some(9..10));
        assert_eq!(outbox.unsent(), 1);
        outbox.advance(1);
        assert!(outbox.is_empty() && !outbox.is_full() && outbox.unsent() == 0);
    }
}
