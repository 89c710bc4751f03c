//! The token of the admin interface, without which a page cannot write.

use std::fmt;

/// The secret that a page of the admin interface sends with its writes: 128 random bits.
#[derive(Clone, Copy)]
pub struct AdminToken([u8; 16]);

impl AdminToken {
    /// Makes a token from the system's random numbers.
    pub fn new() -> Result<AdminToken, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(AdminToken(bytes))
    }

    /// Returns whether `text` is the token, in a time that does not depend on where they differ.
    pub fn is(&self, text: &[u8]) -> bool {
        let own = self.to_string();
        own.len() == text.len() && own.bytes().zip(text).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
    }
}

impl fmt::Display for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}
