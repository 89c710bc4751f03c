//! Server-sent events that arrive in pieces (HTML standard, section 9.2.6).

/// The most bytes of an event. A frame has two characters for every connection that the server may have.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// An event has more than [`EVENT_BYTES_MAX`] bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventTooLarge;

/// The event that is being received.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    /// The beginning of a line.
    line: Vec<u8>,
    /// Whether the last line ended with CR, so that an LF belongs to its end.
    after_cr: bool,
    name: Vec<u8>,
    content: Vec<u8>,
}

impl EventReader {
    /// Takes received bytes, and calls `found` with the name and the content of each event that they complete.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut found: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), EventTooLarge> {
        let mut rest = bytes;
        loop {
            if self.after_cr && !rest.is_empty() {
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
                self.after_cr = false;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else { break };
            self.line.extend_from_slice(&rest[..end]);
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.end_line(&mut found);
            self.check_size(0)?;
        }
        self.check_size(rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    fn check_size(&self, more: usize) -> Result<(), EventTooLarge> {
        let size = self.line.len() + self.name.len() + self.content.len() + more;
        if size > EVENT_BYTES_MAX { Err(EventTooLarge) } else { Ok(()) }
    }

    fn end_line(&mut self, found: &mut impl FnMut(&[u8], &[u8])) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if !self.content.is_empty() {
                found(&self.name, self.content.trim_ascii_end());
            }
            self.name.clear();
            self.content.clear();
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (&line[..], &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => self.name = value.to_owned(),
            b"data" => {
                self.content.extend_from_slice(value);
                self.content.push(b'\n');
            }
            // Comments begin with a colon; ids and other fields are not used.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Result<Vec<(String, String)>, EventTooLarge> {
        let mut reader = EventReader::default();
        let mut events = Vec::new();
        for piece in pieces {
            reader.take(piece, |name, content| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                events.push((text(name), text(content)));
            })?;
        }
        Ok(events)
    }

    #[test]
    fn events_are_the_same_wherever_they_are_cut() {
        for text in [
            "event: frame\nid: 7\ndata: {\"a\":1}\n\n: comment\n\nretry: 5\nevent:x\ndata:b\ndata: c\n\ndata: d\n\n",
            "event: frame\r\nid: 7\r\ndata: {\"a\":1}\r\n\r\nevent:x\r\ndata:b\r\ndata: c\r\n\r\ndata: d\r\n\r\n",
            "event: frame\rdata: {\"a\":1}\r\revent:x\rdata:b\rdata: c\r\rdata: d\r\r",
        ] {
            let expected = [("frame", "{\"a\":1}"), ("x", "b\nc"), ("", "d")];
            let expected = Ok(expected.map(|(name, content)| (name.to_owned(), content.to_owned())).to_vec());
            let bytes = text.as_bytes();
            for at in 0..=bytes.len() {
                let (one, other) = bytes.split_at(at);
                assert_eq!(events(&[one, other]), expected, "{text:?} cut at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(events(&single), expected, "{text:?} byte by byte");
        }
    }

    #[test]
    fn an_incomplete_event_is_not_reported() {
        assert_eq!(events(&[b"event: frame\ndata: 1\n"]), Ok(vec![]));
        assert_eq!(events(&[b"event: frame\n\nid: 1\n\n\n"]), Ok(vec![]));
    }

    #[test]
    fn an_event_is_bounded() {
        let piece = vec![b'a'; 1 << 20];
        let pieces = |count| vec![&piece[..]; count];
        assert_eq!(events(&pieces(8)), Ok(vec![]));
        assert_eq!(events(&pieces(9)), Err(EventTooLarge));
        let line = [b"data:", &piece[..], b"\n"].concat();
        assert_eq!(events(&[&line[..]; 9]), Err(EventTooLarge));
    }
}
