//! The state that all acknowledging services share.

use super::{RateLimiter, Template};
use crate::limits::UDP_RATE;

/// The services for the acknowledging protocol.
pub struct AckServices {
    /// The template of the reply to a message.
    pub reply: Template,
    /// The limiter of replies to datagrams.
    pub rate_limiter: RateLimiter,
}

impl Default for AckServices {
    fn default() -> AckServices {
        AckServices { reply: Template::default(), rate_limiter: RateLimiter::new(UDP_RATE) }
    }
}
