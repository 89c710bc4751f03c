//! `/events`: a stream of frames as server-sent events (HTML Standard section 9.2). All viewers get the same frames at
//! the same times, so a frame costs one census and is written once, and it lists all turns since the one before.

use std::rc::Rc;
use std::time::Duration;

use super::frame;
use crate::limits::{FRAME_INTERVAL, FRAME_TURNS_MAX};
use crate::observe::Census;
use crate::protocol::http::semantics::{BodySource, Field, NextSlice};
use crate::services::{Context, Core, Detail, ViewerPlace, frame_interval};
use crate::store::StoreError;

/// A stream of frames.
#[derive(Debug)]
pub(super) struct EventStream {
    _place: ViewerPlace,
    /// The turn of the last frame; `None` before the time of the first one is known.
    last: Option<u64>,
    /// The time between two frames.
    interval: Duration,
}

impl EventStream {
    pub(super) fn new(place: ViewerPlace) -> EventStream {
        EventStream { _place: place, last: None, interval: FRAME_INTERVAL }
    }

    /// Returns when the next frame is due: at a multiple of the interval since the start, for all viewers.
    fn next(&self, core: &Core) -> NextSlice {
        let started = core.started.monotonic;
        let (uptime, interval) = ((core.clock.now.monotonic - started).as_nanos(), self.interval.as_nanos());
        NextSlice::At(started + Duration::from_nanos(((uptime / interval + 1) * interval) as u64))
    }
}

impl BodySource for EventStream {
    fn advance(&mut self, out: &mut Vec<u8>, cx: &mut Context<'_>) -> Result<NextSlice, StoreError> {
        let Some(last) = self.last else {
            self.last = Some(0);
            return Ok(self.next(cx.core));
        };
        cx.core.inspector.watch(cx.core.clock.now.monotonic);
        match cx.core.inspector.census(Detail::Overview) {
            Some(census) if census.turn > last => {
                self.last = Some(census.turn);
                self.interval = frame_interval(census.slots.protocols.len());
                out.extend_from_slice(shared_frame(&census, cx.core).as_bytes());
                Ok(self.next(cx.core))
            }
            _ => Ok(NextSlice::InNextTurn),
        }
    }

    fn skip(&mut self, core: &Core) -> NextSlice {
        self.next(core)
    }

    fn fields(&self) -> Vec<Field> {
        Vec::new()
    }
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
