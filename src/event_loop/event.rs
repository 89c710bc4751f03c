//! Events as the loop takes them: what is ready, and of which source.

use mio::event::Event;

/// What an event is for: a slab key and a generation, so that an event for a connection that is gone
/// cannot reach the next one in its place. They share a `usize`, which is all that a poll carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub(super) key: usize,
    generation: usize,
}

const KEY_BITS: u32 = usize::BITS / 2;
const KEY_MASK: usize = (1 << KEY_BITS) - 1;

impl Token {
    /// Not in the slab: the signals.
    pub const SIGNALS: Token = Token { key: KEY_MASK, generation: KEY_MASK };

    /// The most sources that tokens can tell apart.
    pub const KEYS_MAX: usize = KEY_MASK - 1;

    /// The token of `key` in its `generation`, a running number of which the low half counts.
    pub fn new(key: usize, generation: usize) -> Token {
        debug_assert!(key < Token::KEYS_MAX);
        Token { key, generation: generation & KEY_MASK }
    }

    /// The place in the slab.
    pub fn key(self) -> usize {
        self.key
    }
}

impl From<Token> for mio::Token {
    fn from(token: Token) -> mio::Token {
        mio::Token(token.generation << KEY_BITS | token.key)
    }
}

impl From<mio::Token> for Token {
    fn from(token: mio::Token) -> Token {
        Token { key: token.0 & KEY_MASK, generation: token.0 >> KEY_BITS }
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// Of which source.
    pub token: Token,
    /// Input has come, or its end.
    pub readable: bool,
    /// Output may go on.
    pub writable: bool,
    /// The end of input or an error is among what can be read.
    pub ending: bool,
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Readiness {
        let ending = event.is_read_closed() || event.is_error();
        Readiness {
            token: event.token().into(),
            readable: event.is_readable() || ending,
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            ending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_poll() {
        for token in [Token::new(0, 0), Token::new(5, 7), Token::new(KEY_MASK - 2, KEY_MASK), Token::SIGNALS]
        {
            assert_eq!(Token::from(mio::Token::from(token)), token);
        }
        assert_ne!(Token::new(5, 7), Token::new(5, 8));
        assert_eq!(Token::new(5, 1 + (1 << KEY_BITS)), Token::new(5, 1));
    }
}
