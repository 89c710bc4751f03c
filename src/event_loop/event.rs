//! Readiness events, and the tokens that identify their sources.

use mio::event::Event;

/// Identifies the source of an event by a slab key and a generation, so that an event for a closed connection
/// cannot reach the next connection with the same key. Both share a `usize`, which is all that a poll
/// carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(usize);

const KEY_BITS: u32 = usize::BITS / 2;
const KEY_MASK: usize = (1 << KEY_BITS) - 1;

impl Token {
    /// The token of the signals, which are not in the slab.
    pub const SIGNALS: Token = Token(usize::MAX);

    /// The maximum number of sources that tokens can distinguish.
    pub const KEYS_MAX: usize = KEY_MASK - 1;

    /// Returns the token of `key` with a running `generation`, of which the token keeps the low half.
    pub fn new(key: usize, generation: usize) -> Token {
        debug_assert!(key < Token::KEYS_MAX);
        Token((generation & KEY_MASK) << KEY_BITS | key)
    }

    /// Returns the key in the slab.
    pub fn key(self) -> usize {
        self.0 & KEY_MASK
    }

    /// Returns the number that orders sources by their age, until it wraps around. It names a connection in logs.
    pub(super) fn generation(self) -> usize {
        self.0 >> KEY_BITS
    }
}

impl From<Token> for mio::Token {
    fn from(token: Token) -> mio::Token {
        mio::Token(token.0)
    }
}

impl From<mio::Token> for Token {
    fn from(token: mio::Token) -> Token {
        Token(token.0)
    }
}

/// What an event reports about a source.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// The token of the source.
    pub token: Token,
    /// Input or EOF can be read.
    pub readable: bool,
    /// Output can be written.
    pub writable: bool,
    /// EOF or an error follows the remaining input.
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
    fn tokens_survive_the_conversion_to_mio_and_back() {
        for token in [Token::new(0, 0), Token::new(5, 7), Token::new(KEY_MASK - 2, KEY_MASK), Token::SIGNALS]
        {
            assert_eq!(Token::from(mio::Token::from(token)), token);
        }
        assert_ne!(Token::new(5, 7), Token::new(5, 8));
        assert_eq!(Token::new(5, 1 + (1 << KEY_BITS)), Token::new(5, 1));
    }
}
