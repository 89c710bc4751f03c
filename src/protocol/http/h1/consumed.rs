//! The part of an input that belongs to a body.

/// The result of reading body bytes from an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Consumed {
    /// The number of input bytes that belong to the body.
    pub consumed: usize,
    /// Whether the body ends after them.
    pub done: bool,
}

/// Reads from `input` the bytes of a body that has `left` bytes left.
pub(super) fn take_length(left: &mut u64, input: &[u8], mut content: impl FnMut(&[u8])) -> Consumed {
    let consumed = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    content(&input[..consumed]);
    *left -= consumed as u64;
    Consumed { consumed, done: *left == 0 }
}
