//! Tokens: a slab key and a generation, so that an event for a connection that is gone cannot
//! reach the next one in its place.

/// What an event is for. Key and generation share a `usize`, which is all that a poll carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    key: usize,
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
