//! `/loop.json`: the state of the loop and a list of its connections, which is written in slices.

use std::fmt::Write;
use std::rc::Rc;

use super::frame;
use super::query::Query;
use crate::limits::{FRAME_TURNS_MAX, LISTING_SLICE_ENTRIES};
use crate::observe::{Census, ConnectionStatus, Why};
use crate::protocol::http::handlers::escape::escape_json;
use crate::protocol::http::semantics::{BodySource, Field, NextSlice};
use crate::services::{Context, Core, Inspector};
use crate::store::StoreError;

/// The list of the connections in a census.
#[derive(Debug)]
pub(super) struct ConnectionList {
    census: Rc<Census>,
    /// What precedes the list. It is written at once, since the sums over all turns grow with every slice.
    head: String,
    /// The indices of the connections that are listed.
    selected: Vec<u32>,
    /// How many were written.
    written: usize,
}

impl ConnectionList {
    pub(super) fn new(census: Rc<Census>, query: &Query, core: &Core) -> ConnectionList {
        let (selected, matched) = query.select(&census);
        let mut head = String::from("{");
        let first = census.turn.saturating_sub(FRAME_TURNS_MAX) + 1;
        frame::write_members(&census, first, core, &mut head);
        let _ = write!(head, ",\"matched\":{matched},\"connections\":[");
        ConnectionList { census, head, selected, written: 0 }
    }
}

impl BodySource for ConnectionList {
    fn advance(&mut self, out: &mut Vec<u8>, cx: &mut Context<'_>) -> Result<NextSlice, StoreError> {
        let mut text = std::mem::take(&mut self.head);
        let end = self.selected.len().min(self.written + LISTING_SLICE_ENTRIES);
        for (position, index) in (self.written..).zip(&self.selected[self.written..end]) {
            if position > 0 {
                text.push(',');
            }
            let connection = &self.census.connections[*index as usize];
            write_connection(connection, &self.census, &cx.core.inspector, &mut text);
        }
        self.written = end;
        let is_complete = end == self.selected.len();
        if is_complete {
            text.push_str("]}\n");
        }
        out.extend_from_slice(text.as_bytes());
        Ok(if is_complete { NextSlice::None } else { NextSlice::InNextTurn })
    }

    fn fields(&self) -> Vec<Field> {
        Vec::new()
    }
}

fn write_connection(one: &ConnectionStatus, census: &Census, inspector: &Inspector, out: &mut String) {
    let now = census.now.monotonic;
    let _ = write!(out, "\n{{\"id\":{},\"slot\":{},\"protocol\":\"{}\"", one.id, one.slot, one.protocol);
    let _ = match one.version {
        Some(version) => write!(out, ",\"version\":\"{version}\""),
        None => write!(out, ",\"version\":null"),
    };
    let _ = write!(
        out,
        ",\"tls\":{},\"peer\":\"{}\",\"phase\":\"{}\",\"age_ms\":{},\"inactive_ms\":{},\"in\":{},\"out\":{}",
        one.is_encrypted,
        one.peer,
        one.activity.name().0,
        (now - one.accepted).as_millis(),
        (now - one.last_activity).as_millis(),
        one.received,
        one.sent,
    );
    let _ = write!(
        out,
        ",\"queued\":{},\"unread\":{},\"requests\":{},\"last_request\":",
        one.queued, one.unread, one.requests
    );
    match inspector.last_request(one.id) {
        Some(request) => {
            out.push('"');
            escape_json(&String::from_utf8_lossy(request), out);
            out.push('"');
        }
        None => out.push_str("null"),
    }
    let _ =
        write!(out, ",\"deadline_ms\":{},\"why\":\"{}\"}}", (one.deadline - now).as_millis(), Why(one, now));
}
