//! `/events`: a stream of frames as server-sent events (HTML Standard section 9.2). All viewers get the same frames at
//! the same times, so a frame costs one census and is written once, and it lists all turns since the one before.

use std::rc::Rc;
use std::time::Duration;

use super::frame;
use crate::clock::Instant;
use crate::limits::{FRAME_INTERVAL, FRAME_TURNS_MAX};
use crate::observe::Census;
use crate::protocol::http::semantics::{BodySource, Field, NextSlice};
use crate::services::{Context, Core, Detail, ViewerPlace, frame_interval};
use crate::store::StoreError;

/// A stream of frames.
#[derive(Debug)]
pub(super) struct EventStream {
    _place: ViewerPlace,
    /// The turn of the last frame.
    last: u64,
    /// Whether the stream has waited for the time of its first frame.
    has_begun: bool,
}

impl EventStream {
    pub(super) fn new(place: ViewerPlace) -> EventStream {
        EventStream { _place: place, last: 0, has_begun: false }
    }
}

impl BodySource for EventStream {
    fn advance(&mut self, out: &mut Vec<u8>, cx: &mut Context<'_>) -> Result<NextSlice, StoreError> {
        let (now, started) = (cx.core.clock.now.monotonic, cx.core.started.monotonic);
        if !std::mem::replace(&mut self.has_begun, true) {
            return Ok(NextSlice::At(next_frame(now - started, FRAME_INTERVAL, started)));
        }
        cx.core.inspector.watch(now);
        match cx.core.inspector.census(Detail::Overview) {
            Some(census) if census.turn > self.last => {
                self.last = census.turn;
                out.extend_from_slice(shared_frame(&census, cx.core).as_bytes());
                let interval = frame_interval(census.slots.protocols.len());
                Ok(NextSlice::At(next_frame(now - started, interval, started)))
            }
            _ => Ok(NextSlice::InNextTurn),
        }
    }

    fn fields(&self) -> Vec<Field> {
        Vec::new()
    }
}

/// Returns when the next frame is due: at a multiple of the interval since the start, for all viewers.
fn next_frame(uptime: Duration, interval: Duration, started: Instant) -> Instant {
    let (uptime, interval) = (uptime.as_nanos() as u64, interval.as_nanos() as u64);
    started + Duration::from_nanos((uptime / interval + 1) * interval)
}

/// Returns the event for a census, which the first viewer makes.
fn shared_frame(census: &Census, core: &mut Core) -> Rc<str> {
    if let Some(frame) = core.inspector.frame(census.turn) {
        return frame;
    }
    let mut event = format!("event: frame\nid: {}\ndata: {{", census.turn);
    let first = core.inspector.last_frame().max(census.turn.saturating_sub(FRAME_TURNS_MAX)) + 1;
    frame::write_members(census, first, core, &mut event);
    event.push(',');
    frame::write_slots(census, &mut event);
    event.push_str("}\n\n");
    let event: Rc<str> = event.into();
    core.inspector.keep_frame(census.turn, Rc::clone(&event));
    event
}
