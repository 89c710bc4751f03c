//! The keys that the terminal sends, as bytes that may be cut anywhere.

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Enter,
    Escape,
    Backspace,
    /// A control key, such as `Control('c')`.
    Control(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// A key that has no meaning here.
    Other,
}

/// The received bytes that are not a whole key yet.
#[derive(Debug, Default)]
pub(super) struct KeyReader {
    bytes: Vec<u8>,
}

impl KeyReader {
    /// Takes bytes from the terminal.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns whether the beginning of a key has arrived, and perhaps more of it follows.
    pub(super) fn is_waiting(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Returns the next key that has arrived completely.
    pub(super) fn next(&mut self) -> Option<Key> {
        let (key, length) = parse(&self.bytes)?;
        self.bytes.drain(..length);
        Some(key)
    }

    /// Returns the next key, if nothing follows what has arrived: an escape sequence that stays incomplete is the
    /// key Escape.
    pub(super) fn next_at_pause(&mut self) -> Option<Key> {
        self.next().or_else(|| {
            let is_escape = self.bytes == [ESCAPE];
            let is_empty = self.bytes.is_empty();
            self.bytes.clear();
            if is_empty { None } else { Some(if is_escape { Key::Escape } else { Key::Other }) }
        })
    }
}

const ESCAPE: u8 = 0x1b;

/// The most bytes of an escape sequence.
const SEQUENCE_BYTES_MAX: usize = 16;

/// Returns the first key and the number of its bytes, or `None` if its end is missing.
fn parse(bytes: &[u8]) -> Option<(Key, usize)> {
    match bytes {
        [] | [ESCAPE] => None,
        // Escape twice in a row, or before another sequence.
        [ESCAPE, ESCAPE, ..] => Some((Key::Escape, 1)),
        [ESCAPE, b'O', last, ..] => Some((arrow(*last), 3)),
        [ESCAPE, b'O'] => None,
        [ESCAPE, b'[', rest @ ..] => sequence(rest),
        // A letter with Alt.
        [ESCAPE, ..] => Some((Key::Other, 2)),
        [b'\r' | b'\n', ..] => Some((Key::Enter, 1)),
        [0x7f | 0x08, ..] => Some((Key::Backspace, 1)),
        [byte @ 1..=26, ..] => Some((Key::Control(char::from(byte - 1 + b'a')), 1)),
        [byte, ..] if *byte < 0x20 => Some((Key::Other, 1)),
        [byte, ..] => letter(bytes, *byte),
    }
}

/// Parses what follows `ESC [`: parameters, then a final byte.
fn sequence(rest: &[u8]) -> Option<(Key, usize)> {
    let Some(end) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
        let is_long = rest.len() > SEQUENCE_BYTES_MAX;
        return is_long.then_some((Key::Other, rest.len() + 2));
    };
    let key = match (&rest[..end], rest[end]) {
        (b"1" | b"7", b'~') => Key::Home,
        (b"4" | b"8", b'~') => Key::End,
        (b"5", b'~') => Key::PageUp,
        (b"6", b'~') => Key::PageDown,
        (b"", last) => arrow(last),
        _ => Key::Other,
    };
    Some((key, end + 3))
}

fn arrow(last: u8) -> Key {
    match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => Key::Other,
    }
}

/// Parses a character in UTF-8.
fn letter(bytes: &[u8], first: u8) -> Option<(Key, usize)> {
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        0x80.. => return Some((Key::Other, 1)),
        _ => 1,
    };
    let letter = std::str::from_utf8(bytes.get(..length)?).ok().and_then(|text| text.chars().next());
    Some(letter.map_or((Key::Other, 1), |letter| (Key::Letter(letter), length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pieces: &[&[u8]]) -> Vec<Key> {
        let (mut reader, mut keys) = (KeyReader::default(), Vec::new());
        for piece in pieces {
            reader.add(piece);
            keys.extend(std::iter::from_fn(|| reader.next()));
        }
        keys.extend(std::iter::from_fn(|| reader.next_at_pause()));
        assert!(!reader.is_waiting());
        keys
    }

    #[test]
    fn keys_are_the_same_wherever_they_are_cut() {
        let bytes = "q\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[4~\x1b[1;5C\r\x7f\x03\u{e4}\u{6536}\x1bx\x1b\x1b"
            .as_bytes();
        let expected = [
            Key::Letter('q'),
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
            Key::Other,
            Key::Enter,
            Key::Backspace,
            Key::Control('c'),
            Key::Letter('\u{e4}'),
            Key::Letter('\u{6536}'),
            Key::Other,
            Key::Escape,
            Key::Escape,
        ];
        for at in 0..=bytes.len() {
            let (one, other) = bytes.split_at(at);
            assert_eq!(keys(&[one, other]), expected, "cut at {at}");
        }
    }

    #[test]
    fn garbage_is_skipped() {
        assert_eq!(keys(&[b"\xff\x80\x1b["]), [Key::Other, Key::Other, Key::Other]);
        assert_eq!(keys(&[b"\xc3("]), [Key::Other, Key::Letter('(')]);
        let long = [b"\x1b[".as_slice(), &[b'1'; 100]].concat();
        assert_eq!(keys(&[&long, b"q"]), [Key::Other, Key::Letter('q')]);
    }
}
