//! What a connection does or waits for, for the inspector.

use super::output::OutputWait;
use super::{Connection, Phase};
use crate::observe::{Activity, AtDeadline, ConnectionStatus, ProtocolStatus};
use crate::peer::Peer;
use crate::protocol::Protocol;
use crate::services::Core;
use crate::transport::Transport;

impl<T: Transport> Connection<T> {
    /// Returns the activity alone.
    pub(in crate::event_loop) fn activity(&self) -> Activity {
        self.waiting().activity
    }

    /// Describes the connection, whose number is `id` and whose key is `slot`. `is_queued` says that it is driven in
    /// the next turn.
    pub(in crate::event_loop) fn status(
        &self,
        (id, slot): (usize, usize),
        peer: Peer,
        is_queued: bool,
        core: &Core,
    ) -> ConnectionStatus {
        let ProtocolStatus { activity, why, version, at_deadline } = self.waiting();
        let (why, at_deadline) = match activity {
            Activity::Responding => (why, AtDeadline::Nothing),
            _ if is_queued => ("has an event to handle and is driven in the next turn", AtDeadline::Nothing),
            _ => (why, at_deadline),
        };
        ConnectionStatus {
            id,
            slot,
            protocol: self.protocol.name(),
            version,
            is_encrypted: self.is_encrypted(),
            peer,
            activity,
            accepted: self.accepted,
            last_activity: self.last_activity,
            received: self.traffic.received,
            sent: self.traffic.sent,
            queued: self.output.unsent(),
            unread: self.input.unread_bytes(),
            requests: self.traffic.requests,
            deadline: self.deadline(core),
            at_deadline,
            why,
        }
    }

    fn waiting(&self) -> ProtocolStatus {
        let own = self.protocol.status();
        let (activity, why) = match self.phase {
            Phase::Handshaking => (Activity::Handshake, "waits for the client to continue the TLS handshake"),
            Phase::Lingering(..) => (
                Activity::Lingering,
                "has sent everything, and drops what the client still sends until it closes",
            ),
            Phase::Finishing(_) => (Activity::Finishing, "waits for the client to receive the last output"),
            Phase::Open => match self.output.wait() {
                OutputWait::Nothing => return own,
                OutputWait::Turn => (
                    Activity::Responding,
                    "has more output than it may send in a turn, and continues in the next one",
                ),
                OutputWait::Peer => {
                    (Activity::Sending, "waits for the client to receive: its socket accepts no more output")
                }
                OutputWait::Disk => (Activity::Disk, "waits for the disk to read a part of a file"),
                OutputWait::Acknowledgement => {
                    (Activity::Pause, "waits for the client to acknowledge a message before it pauses")
                }
                OutputWait::Pause => {
                    (Activity::Pause, "pauses, since pauses separate messages to this client")
                }
            },
        };
        let at_deadline = match activity {
            Activity::Disk | Activity::Pause => AtDeadline::Continue,
            _ => AtDeadline::Close,
        };
        ProtocolStatus { activity, why, at_deadline, ..own }
    }
}
