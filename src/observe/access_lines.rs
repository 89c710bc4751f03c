//! The lines of the access log that are begun: their responses are queued, and not sent completely yet.

use crate::clock::Instant;

/// The lines begun for the responses of one connection, in the order of the responses.
#[derive(Debug, Default)]
pub(super) struct BegunLines {
    /// The texts of the lines, without separators.
    text: Vec<u8>,
    lines: Vec<BegunLine>,
}

/// A line that is begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct BegunLine {
    /// The length of the line's text.
    pub length: usize,
    /// Where in the text the number of bytes belongs.
    pub bytes_at: usize,
    /// When the first byte of the request was received.
    pub request_begun: Instant,
    /// How much of the response was queued.
    pub queued: QueuedBytes,
    /// Whether the connection closes before the response is sent completely.
    pub is_cut: bool,
}

/// How much of a response was queued so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueuedBytes {
    /// The bytes of the body.
    pub body: u64,
    /// All bytes: the head, the body and its framing.
    pub total: u64,
    /// Whether more of the body follows.
    pub is_partial: bool,
}

impl QueuedBytes {
    /// A complete response of `total` bytes, of which `body` are its body.
    pub fn whole(body: u64, total: u64) -> QueuedBytes {
        QueuedBytes { body, total, is_partial: false }
    }
}

impl BegunLines {
    /// Returns whether there are no lines.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the number of lines.
    pub(super) fn count(&self) -> usize {
        self.lines.len()
    }

    /// Returns the bytes of memory that the lines need.
    pub(super) fn size(&self) -> usize {
        self.text.len() + self.lines.len() * size_of::<BegunLine>()
    }

    /// Adds a line. `write` appends its text and returns where in it the number of bytes belongs.
    pub(super) fn begin(
        &mut self,
        request_begun: Instant,
        queued: QueuedBytes,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) {
        let start = self.text.len();
        let bytes_at = write(&mut self.text);
        let length = self.text.len() - start;
        self.lines.push(BegunLine { length, bytes_at, request_begun, queued, is_cut: false });
    }

    /// Adds bytes to the last response, if it is partial.
    pub(super) fn extend(&mut self, more: QueuedBytes) {
        if let Some(line) = self.lines.last_mut().filter(|line| line.queued.is_partial) {
            line.queued.body += more.body;
            line.queued.total += more.total;
            line.queued.is_partial = more.is_partial;
        }
    }

    /// Returns the number of lines whose responses were sent completely, if the last `unsent` bytes of the output
    /// were not.
    pub(super) fn sent(&self, mut unsent: u64) -> usize {
        let mut count = self.lines.len();
        for line in self.lines.iter().rev() {
            if unsent == 0 && !line.queued.is_partial {
                break;
            }
            unsent = unsent.saturating_sub(line.queued.total);
            count -= 1;
        }
        count
    }

    /// Subtracts the last `unsent` bytes of the output, which are never sent. Returns how many of them belong to
    /// responses before these lines.
    pub(super) fn cut(&mut self, mut unsent: u64) -> u64 {
        for line in self.lines.iter_mut().rev() {
            if unsent == 0 && !line.queued.is_partial {
                break;
            }
            let cut = unsent.min(line.queued.total);
            line.queued.total -= cut;
            line.queued.body = line.queued.body.saturating_sub(cut);
            line.queued.is_partial = false;
            line.is_cut = true;
            unsent -= cut;
        }
        unsent
    }

    /// Returns the lines, each with the two parts of its text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (BegunLine, (&[u8], &[u8]))> {
        let mut text = &self.text[..];
        self.lines.iter().map(move |line| {
            let (own, rest) = text.split_at(line.length);
            text = rest;
            (*line, own.split_at(line.bytes_at))
        })
    }

    /// Removes the first `count` lines.
    pub(super) fn remove(&mut self, count: usize) {
        if count == self.lines.len() {
            self.lines.clear();
            self.text.clear();
            return;
        }
        let length: usize = self.lines.drain(..count).map(|line| line.length).sum();
        self.text.drain(..length);
    }

    /// Moves the lines of `others` behind these.
    pub(super) fn append(&mut self, others: &mut BegunLines) {
        self.text.append(&mut others.text);
        self.lines.append(&mut others.lines);
    }

    /// Moves the lines into memory of their own size. This memory stays for other lines.
    pub(super) fn take(&mut self) -> BegunLines {
        let taken = BegunLines { text: self.text.as_slice().into(), lines: self.lines.as_slice().into() };
        self.remove(self.lines.len());
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins a line for each response, given as the bytes of its head and its body.
    fn begun(responses: &[(u64, u64)]) -> BegunLines {
        let mut lines = BegunLines::default();
        for (head, body) in responses {
            lines.begin(Instant::now(), QueuedBytes::whole(*body, head + body), |text| {
                text.extend_from_slice(format!("{head}+{body}").as_bytes());
                head.to_string().len()
            });
        }
        lines
    }

    fn bodies(lines: &BegunLines) -> Vec<u64> {
        lines.iter().map(|(line, _)| line.queued.body).collect()
    }

    #[test]
    fn unsent_bytes_belong_to_the_newest_responses() {
        let responses = [(10, 100), (10, 0), (20, 50)];
        for (unsent, sent, cut) in [
            (0, 3, [100, 0, 50]),
            (1, 2, [100, 0, 49]),
            (50, 2, [100, 0, 0]),
            (70, 2, [100, 0, 0]),
            (71, 1, [100, 0, 0]),
            (80, 1, [100, 0, 0]),
            (81, 0, [99, 0, 0]),
            (999, 0, [0, 0, 0]),
        ] {
            let mut lines = begun(&responses);
            assert_eq!(lines.sent(unsent), sent, "{unsent} unsent");
            assert_eq!(lines.cut(unsent), unsent.saturating_sub(190), "{unsent} unsent");
            assert_eq!(bodies(&lines), cut, "{unsent} unsent");
            assert_eq!(lines.iter().filter(|(line, _)| !line.is_cut).count(), sent);
        }
    }

    #[test]
    fn a_partial_response_is_extended_until_it_is_complete() {
        let mut lines = begun(&[(10, 100)]);
        lines.extend(QueuedBytes { body: 7, total: 7, is_partial: true });
        assert_eq!(bodies(&lines), [100]);
        lines.lines[0].queued.is_partial = true;
        lines.extend(QueuedBytes { body: 7, total: 9, is_partial: true });
        assert_eq!((bodies(&lines), lines.sent(0)), (vec![107], 0));
        lines.extend(QueuedBytes { body: 1, total: 1, is_partial: false });
        assert_eq!((bodies(&lines), lines.sent(0), lines.sent(1)), (vec![108], 1, 0));
    }

    #[test]
    fn removed_and_appended_lines_keep_the_texts_of_the_others() {
        let texts = |lines: &BegunLines| -> Vec<String> {
            let parts = lines.iter().map(|(_, (before, after))| [before, b"|", after].concat());
            parts.map(|text| String::from_utf8(text).expect("text")).collect()
        };
        let mut lines = begun(&[(1, 22), (333, 4), (5, 6)]);
        lines.remove(1);
        assert_eq!(texts(&lines), ["333|+4", "5|+6"]);
        lines.append(&mut begun(&[(7, 8)]));
        let taken = lines.take();
        assert!(lines.is_empty() && taken.count() == 3);
        assert_eq!(texts(&taken), ["333|+4", "5|+6", "7|+8"]);
    }
}
