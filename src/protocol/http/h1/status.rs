//! What an HTTP connection waits for, for the inspector.

use super::version::Version;
use super::{Http1, State, Waiting};
use crate::observe::{Activity, AtDeadline, ProtocolStatus};

impl Http1 {
    /// Describes the state.
    pub(super) fn describe(&self) -> ProtocolStatus {
        let (activity, why) = match &self.state {
            State::Idle(Waiting::ForTheFirst(_)) => (Activity::Idle, "waits for the first request"),
            State::Idle(Waiting::ForTheNext) => (Activity::Idle, "waits for the next request"),
            State::Head { .. } => (Activity::Request, "waits for the rest of a request head"),
            State::Discarding(body) if body.is_handled() => (
                Activity::Body,
                "has responded, and waits for the rest of a request body that it does not use",
            ),
            State::Discarding(_) => {
                (Activity::Body, "waits for the rest of a request body that it does not use")
            }
            State::Receiving(_) => (Activity::Body, "waits for the rest of an upload"),
            State::Responding(response) if response.is_live() => {
                (Activity::Streaming, "waits until the next part of a live response is due")
            }
            State::Responding(_) => (Activity::Responding, "continues its response in the next turn"),
            State::Comparing(_) => (Activity::Responding, "compares an upload with the stored file"),
            State::Verifying(_) => {
                (Activity::Responding, "hashes the part of an upload that is already stored")
            }
        };
        let at_deadline = match &self.state {
            // The request is handled, although its body is incomplete.
            State::Discarding(body) if !body.is_handled() => AtDeadline::Continue,
            State::Responding(_) => AtDeadline::Continue,
            _ => AtDeadline::Close,
        };
        let version = self.version.map(|version| match version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        });
        ProtocolStatus { activity, why, version, at_deadline }
    }
}
