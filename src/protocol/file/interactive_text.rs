//! Text that is typed at a terminal: lines until one that is `##`.

/// How a piece of text was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// Bytes of the input that were taken.
    pub taken: usize,
    /// Whether the line that ends the text has come.
    pub ended: bool,
}

/// Where in a line the text stands.
#[derive(Debug)]
pub(super) struct InteractiveText {
    /// The beginning of a line that may be the last one, or a CR that may belong to a line's end: at
    /// most three bytes.
    held: Vec<u8>,
    at_line_start: bool,
}

impl Default for InteractiveText {
    fn default() -> InteractiveText {
        InteractiveText { held: Vec::new(), at_line_start: true }
    }
}

impl InteractiveText {
    /// Whether the text is whole if nothing more comes: its last line has no end.
    pub(super) fn ends_here(&self) -> bool {
        self.at_line_start && matches!(self.held.as_slice(), b"##" | b"##\r")
    }

    /// Takes text from `input` and appends to `text` what belongs to the file, each CRLF as LF.
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
            // A CR is held back until it is known what it stands before.
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
