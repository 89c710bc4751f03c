//! The acknowledging protocol: replies to every message with a template, like the message servers of the
//! teaching notes on sockets. It is the smallest protocol, and a good starting point for a new one.

use std::net::SocketAddr;

use crate::clock::Instant;
use crate::close_reason::CloseReason;
use crate::limits::{AMPLIFICATION_BYTES, AMPLIFICATION_FACTOR, DATAGRAM_MAX_BYTES};
use crate::observe::{Activity, ProtocolStatus};
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::services::{AckServices, Context, Core, Message, Services};

use super::contract::{Evictability, Protocol, Step};

/// The protocol's name in logs.
pub(super) const NAME: &str = "ack";

/// The state of one connection.
#[derive(Debug, Default)]
pub struct Ack {
    /// The number of messages received so far.
    count: u64,
}

impl Protocol for Ack {
    /// TCP keeps no message boundaries, so all bytes that are offered at once count as one message.
    fn on_input(&mut self, input: &[u8], out: &mut Outbox, cx: &mut Context<'_>) -> Step {
        self.count += 1;
        cx.statistics.requests += 1;
        let message = Message { bytes: input, peer: cx.peer, count: self.count };
        out.write(|bytes| cx.ack.reply.write(message, &cx.core.clock, bytes));
        Step::after(input.len(), cx.core.is_past_drain_grace().then_some(CloseReason::ServerClosed))
    }

    fn on_eof(&mut self, _rest: &[u8], _out: &mut Outbox, _cx: &mut Context<'_>) -> Option<CloseReason> {
        Some(CloseReason::PeerClosed)
    }

    fn on_deadline(&mut self, _out: &mut Outbox, cx: &mut Context<'_>) -> Option<CloseReason> {
        Some(cx.core.idle_close_reason())
    }

    fn deadline(&self, quiet_since: Option<Instant>, core: &Core) -> Option<Instant> {
        Some(core.idle_deadline(quiet_since? + core.limits.timeouts.file_idle))
    }

    fn evictability(&self) -> Evictability {
        if self.count == 0 { Evictability::Incomplete } else { Evictability::Session }
    }

    fn status(&self) -> ProtocolStatus {
        ProtocolStatus::new(Activity::Idle, "waits for a message")
    }
}

/// Writes the reply to a datagram into `reply`, which is empty before. Returns whether to send it.
///
/// The source of a datagram can be forged, so replies must not cause loops or floods. System ports (below
/// 1024), multicast addresses and the ports of this server's own datagram services get no reply. The rate of
/// replies to a peer is limited, and so is the size of a reply, to a small multiple of the datagram's size.
pub(super) fn on_datagram(
    datagram: &[u8],
    peer: SocketAddr,
    reply: &mut Vec<u8>,
    services: &mut Services,
) -> bool {
    let Services { core, ack: AckServices { reply: template, rate_limiter }, .. } = services;
    if peer.port() < 1024
        || peer.ip().to_canonical().is_multicast()
        || core.datagram_ports.contains(&peer.port())
    {
        return false;
    }
    let Some(count) = rate_limiter.try_acquire(peer.ip(), core.clock.now.monotonic) else { return false };
    let message = Message { bytes: datagram, peer: Peer::from(peer), count };
    template.write(message, &core.clock, reply);
    let most = AMPLIFICATION_FACTOR * datagram.len() + AMPLIFICATION_BYTES;
    cut(reply, most.min(DATAGRAM_MAX_BYTES));
    true
}

/// Truncates UTF-8 text to at most `most` bytes, at the end of a character.
fn cut(text: &mut Vec<u8>, most: usize) {
    if text.len() > most {
        let is_first = |at: &usize| text[*at] & 0b1100_0000 != 0b1000_0000;
        // A UTF-8 character has at most four bytes. Bytes that are not UTF-8 are cut anywhere.
        let end = (most.saturating_sub(3)..=most).rev().find(is_first).unwrap_or(most);
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn text_is_cut_between_characters() {
        for (text, most, expected) in [
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("收到", 6, "收到"),
            ("收到", 5, "收"),
            ("收到", 3, "收"),
            ("收到", 2, ""),
            ("a\u{1f600}", 4, "a"),
            ("a\u{1f600}b", 5, "a\u{1f600}"),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            cut(&mut bytes, most);
            assert_eq!(String::from_utf8(bytes).as_deref(), Ok(expected), "{text} {most}");
        }
        let mut bytes = vec![0x80; 10];
        cut(&mut bytes, 7);
        assert_eq!(bytes.len(), 7);
    }
}
