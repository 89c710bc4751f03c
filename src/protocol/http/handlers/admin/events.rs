//! `/events`: a stream of frames as server-sent events (HTML Standard section 9.2), one for each census. All viewers
//! get the same frame, so the text is made once.

use std::rc::Rc;

use super::frame;
use crate::limits::FRAME_TURNS_MAX;
use crate::observe::Census;
use crate::protocol::http::semantics::{BodySource, Field, NextSlice};
use crate::services::{Context, Core, Detail, frame_interval};
use crate::store::StoreError;

/// A stream of frames.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    /// The turn of the last frame.
    last: u64,
}

impl BodySource for EventStream {
    fn advance(&mut self, out: &mut Vec<u8>, cx: &mut Context<'_>) -> Result<NextSlice, StoreError> {
        let now = cx.core.clock.now.monotonic;
        match cx.core.inspector.census(Detail::Overview, now) {
            Some(census) if census.turn > self.last => {
                self.last = census.turn;
                out.extend_from_slice(shared_frame(&census, cx.core).as_bytes());
                Ok(NextSlice::At(census.now.monotonic + frame_interval(census.slots.protocols.len())))
            }
            _ => Ok(NextSlice::InNextTurn),
        }
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
