//! How much of some input belongs to a body.

/// What a body took of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes of input that belong to it.
    pub consumed: usize,
    /// Whether it ends there.
    pub done: bool,
}

/// Takes from `input` what belongs to a body of which `left` bytes are to come.
pub(super) fn take_length(left: &mut u64, input: &[u8], mut content: impl FnMut(&[u8])) -> Taken {
    let consumed = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    content(&input[..consumed]);
    *left -= consumed as u64;
    Taken { consumed, done: *left == 0 }
}
