//! Text that is typed at a terminal: lines up to one that is `##`.

/// The result of reading a piece of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// The number of input bytes consumed.
    pub taken: usize,
    /// Whether the line that ends the text was received.
    pub ended: bool,
}

/// The state of reading text whose pieces may be cut anywhere.
#[derive(Debug)]
pub(super) struct InteractiveText {
    /// Bytes that are held back, at most three: the beginning of a line that may end the text, or a CR that
    /// may belong to the end of a line.
    held: Vec<u8>,
    at_line_start: bool,
}

impl Default for InteractiveText {
    fn default() -> InteractiveText {
        InteractiveText { held: Vec::new(), at_line_start: true }
    }
}

impl InteractiveText {
    /// Returns whether the input may end here: the last line is a `##` that only lacks its end.
    pub(super) fn ends_here(&self) -> bool {
        self.at_line_start && matches!(self.held.as_slice(), b"##" | b"##\r")
    }

    /// Reads text from `input` and appends the content of the file to `text`, with LF for each CRLF.
    pub(super) fn take(&mut self, input: &[u8], text: &mut Vec<u8>) -> Typed {
        for (index, byte) in input.iter().enumerate() {
            if *byte == b'\n' {
                if self.at_line_start && matches!(self.held.as_slice(), b"##" | b"##\r") {
                    return Typed { taken: index + 1, ended: true };
                }
                if self.held.last() == Some(&b'\r') {
                    self.held.pop();
                }
                text.append(&mut self.held);
                text.push(b'\n');
                self.at_line_start = true;
                continue;
            }
            self.held.push(*byte);
            let may_end = self.at_line_start && b"##\r".starts_with(&self.held);
            if may_end {
                continue;
            }
            self.at_line_start = false;
            // A CR is held back until the next byte is known.
            let kept = usize::from(*byte == b'\r');
            text.extend(self.held.drain(..self.held.len() - kept));
        }
        Typed { taken: input.len(), ended: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_a_line_of_two_hashes() {
        for (input, text, rest) in [
            ("a\nb\n##\nL\n", "a\nb\n", "L\n"),
            ("a\r\nb\r\n##\r\nL\r\n", "a\nb\n", "L\r\n"),
            ("##\n", "", ""),
            ("###\n##\n", "###\n", ""),
            (" ##\n## \n#\n##\n", " ##\n## \n#\n", ""),
            ("a##\n##\n", "a##\n", ""),
            ("a\rb\r\r\n##\n", "a\rb\r\n", ""),
            ("\n\n##\n", "\n\n", ""),
            ("##\rx\n##\n", "##\rx\n", ""),
        ] {
            for cut in 0..=input.len() {
                let (mut typing, mut found) = (InteractiveText::default(), Vec::new());
                let first = typing.take(&input.as_bytes()[..cut], &mut found);
                let mut taken = first.taken;
                if !first.ended {
                    let second = typing.take(&input.as_bytes()[cut..], &mut found);
                    assert!(second.ended, "{input:?} cut at {cut}");
                    taken += second.taken;
                }
                assert_eq!(String::from_utf8_lossy(&found), text, "{input:?} cut at {cut}");
                assert_eq!(&input[taken..], rest, "{input:?} cut at {cut}");
            }
        }
    }
}
