//! What the acknowledging services have in common.

use super::{RateLimiter, Template};
use crate::limits::UDP_RATE;

/// The services of the acknowledging protocol.
pub struct AckServices {
    /// The reply to a message.
    pub reply: Template,
    /// How many datagrams of a peer are answered.
    pub rate_limiter: RateLimiter,
}

impl Default for AckServices {
    fn default() -> AckServices {
        AckServices { reply: Template::default(), rate_limiter: RateLimiter::new(UDP_RATE) }
    }
}
